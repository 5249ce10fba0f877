"""Execution providers: what each is called in onnxruntime, its options, and which are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from annotation.errors import InvalidInput, Unavailable

PROVIDERS: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "cpu": ("CPUExecutionProvider", MappingProxyType({})),
        # TF32 rounds to ten bits: the same model must give the same boxes on every machine.
        "cuda": ("CUDAExecutionProvider", MappingProxyType({"use_tf32": "0"})),
        "directml": ("DmlExecutionProvider", MappingProxyType({})),
        # Without the hint it rounds to 16 bits, which moved scores by up to 0.08 (measured).
        "openvino": ("OpenVINOExecutionProvider", MappingProxyType({"precision": "FP32"})),
        "cann": ("CANNExecutionProvider", MappingProxyType({"precision_mode": "must_keep_origin_dtype"})),
    }
)
"""Our name of a provider -> onnxruntime's name and the options that pin full precision."""


def pick(wanted: str, available: Sequence[str]) -> tuple[str, Mapping[str, str]]:
    """onnxruntime's name and the options of a provider, if the installed runtime has it.

    onnxruntime only *warns* about a missing provider and quietly runs on the CPU, so absence is refused here.

    Args:
        wanted: a key of PROVIDERS.
        available: what `onnxruntime.get_available_providers()` says.

    Raises:
        InvalidInput: the name is unknown.
        Unavailable: the installed runtime lacks it.
    """
    if wanted not in PROVIDERS:
        raise InvalidInput("unknown provider", where=wanted, remedy=f"use one of {', '.join(PROVIDERS)}")
    name, options = PROVIDERS[wanted]
    if name not in available:
        here = ", ".join(key for key, (other, _) in PROVIDERS.items() if other in available) or "none"
        raise Unavailable(
            "the installed onnxruntime has no such provider",
            where=wanted,
            remedy=f"here: {here}; install the onnxruntime build made for this device",
        )
    return name, options
