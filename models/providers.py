"""Execution providers as data: what brings each, the options that pin full precision, what it needs, what is known to fail.

Options come from onnxruntime's pages (each row names its page); libraries and option names were also read from the
published files where that was possible (`read:`). "Known" are faults that users reported, each with its thread. None
of this says that a provider runs *here*: only its self-test does (`selftest.py`), and until then it never ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from annotation.errors import InvalidInput, LamproomError, Unavailable

Opened = TypeVar("Opened")
FLOAT32_BITS = 23
"""Bits after the point of a float32: what a provider must keep to count as full precision."""


@dataclass(frozen=True, slots=True)
class Known:
    """A fault that is known: what happens, what to do, and the thread or page that tells it."""

    said: str
    remedy: str
    source: str


@dataclass(frozen=True, slots=True)
class Package:
    """One way to bring a provider.

    Attributes:
        distribution: as pip names it, with extras where they help.
        platforms: of `sys.platform`-`machine`, as "linux-x86_64"; wheels exist for these.
        module: the import name of a plug-in that sits beside onnxruntime; "" for a full build, which *replaces* it.
        options: the options of the plug-in where they differ from the full build's.
    """

    distribution: str
    platforms: tuple[str, ...]
    module: str = ""
    options: Mapping[str, str] | None = None

    @property
    def plain(self) -> str:
        """The distribution's name without extras."""
        return self.distribution.partition("[")[0]


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of the table. In option values {device} and {threads} are filled in.

    Attributes:
        title: its name for people.
        real: onnxruntime's name for it.
        packages: what brings it, the recommended way first.
        options: what makes it compute in float32.
        page: where its options are documented.
        device: the device when none is named ("cuda:1" names one).
        environment: variables it must see before its first session.
        libraries: by platform, shared libraries that its package does *not* bring.
        files: by platform, its own library in onnxruntime's `capi` folder, whose needs are looked through.
        preload: onnxruntime can load the vendor's libraries from Python packages first.
        serial: only one run at a time in the process.
        sparing: session settings that it refuses are off: memory patterns and parallel nodes.
        processor: it computes on the processor's cores, so that threads of one run count.
        driver: a command that prints device and driver, or a file that names the driver.
        known: faults, with remedies.
    """

    title: str
    real: str
    packages: tuple[Package, ...]
    options: Mapping[str, str]
    page: str
    device: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    preload: bool = False
    serial: bool = False
    processor: bool = False
    sparing: bool = False
    driver: tuple[str, ...] = ()
    known: tuple[Known, ...] = ()


def _row(**values: str) -> Mapping[str, str]:
    return MappingProxyType(values)


_PAGE = "https://onnxruntime.ai/docs/execution-providers/{}-ExecutionProvider.html"
_ISSUE = "https://github.com/microsoft/onnxruntime/issues/{}"
_NVIDIA = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
# read: the needs of libonnxruntime_providers_cuda.so and _tensorrt.so in onnxruntime-gpu 1.31.1
_CUDA_SO = (
    "libcuda.so.1",
    "libcudart.so.13",
    "libcublas.so.13",
    "libcublasLt.so.13",
    "libcurand.so.10",
    "libcufft.so.12",
    "libcudnn.so.9",
)
_CUDA_DLL = (
    "nvcuda.dll",
    "cudart64_13.dll",
    "cublas64_13.dll",
    "cublasLt64_13.dll",
    "cufft64_12.dll",
    "cudnn64_9.dll",
)

# Threads are a property of the processor alone: the graphics device refuses it.
_OPENVINO = (
    '{"CPU":{"INFERENCE_PRECISION_HINT":"f32","INFERENCE_NUM_THREADS":"{threads}"},'
    '"GPU":{"INFERENCE_PRECISION_HINT":"f32"}}'
)

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "cpu": Provider(
            "CPU",
            "CPUExecutionProvider",
            (
                Package(
                    "onnxruntime",
                    ("linux-x86_64", "linux-aarch64", "win32-amd64", "win32-arm64", "darwin-arm64"),
                ),
            ),
            MappingProxyType({}),
            "https://onnxruntime.ai/docs/execution-providers/",
        ),
        "cuda": Provider(
            "NVIDIA CUDA",
            "CUDAExecutionProvider",
            (Package("onnxruntime-gpu[cuda,cudnn]", ("linux-x86_64", "win32-amd64")),),
            # TF32 rounds to ten bits. The exhaustive search takes whichever algorithm won a race of this start,
            # so that two starts differ; the heuristic one does not.
            _row(device_id="{device}", use_tf32="0", cudnn_conv_algo_search="HEURISTIC"),
            _PAGE.format("CUDA"),
            device="0",
            libraries=MappingProxyType({"linux": _CUDA_SO, "win32": _CUDA_DLL}),
            files=_row(linux="libonnxruntime_providers_cuda.so", win32="onnxruntime_providers_cuda.dll"),
            preload=True,
            driver=_NVIDIA,
            known=(
                Known(
                    "since onnxruntime-gpu 1.27 the packages are made for CUDA 13 and cuDNN 9; with CUDA 12 alone it does not start",
                    "install onnxruntime-gpu[cuda,cudnn], which brings the libraries, or onnxruntime-gpu before 1.27",
                    "https://github.com/dudarenok-maker/Castwright/issues/2534",
                ),
                Known(
                    "uninstalling onnxruntime beside onnxruntime-gpu leaves an empty module, because both own one folder",
                    "keep one build: `lamproom doctor` prints the commands",
                    _ISSUE.format(26996),
                ),
            ),
        ),
        "tensorrt": Provider(
            "NVIDIA TensorRT",
            "TensorrtExecutionProvider",
            (Package("onnxruntime-gpu[cuda,cudnn]", ("linux-x86_64", "win32-amd64")),),
            _row(device_id="{device}", trt_fp16_enable="0", trt_bf16_enable="0", trt_int8_enable="0"),
            _PAGE.format("TensorRT"),
            device="0",
            # It has no option for TF32: NVIDIA's own variable turns it off for the process.
            environment=_row(NVIDIA_TF32_OVERRIDE="0"),
            libraries=MappingProxyType(
                {
                    "linux": (*_CUDA_SO, "libnvinfer.so.10", "libnvonnxparser.so.10"),
                    "win32": (*_CUDA_DLL, "nvinfer_10.dll", "nvonnxparser_10.dll"),
                }
            ),
            files=_row(
                linux="libonnxruntime_providers_tensorrt.so", win32="onnxruntime_providers_tensorrt.dll"
            ),
            preload=True,
            driver=_NVIDIA,
            known=(
                Known(
                    "libnvinfer is missing: onnxruntime-gpu does not bring TensorRT",
                    "install TensorRT 10 (the package tensorrt) and put its libraries on the library path, or use cuda",
                    "https://github.com/FocoosAI/focoos/issues/143",
                ),
                Known(
                    "the first run builds an engine, which takes minutes, and again for every new input size",
                    "wait for the first picture; keep one input size, or use cuda",
                    _ISSUE.format(17434),
                ),
            ),
        ),
        "directml": Provider(
            "DirectML",
            "DmlExecutionProvider",
            (Package("onnxruntime-directml", ("win32-amd64",)),),
            # It computes in the model's own types and has no option for precision. read: onnxruntime-directml 1.24.4
            _row(device_id="{device}"),
            _PAGE.format("DirectML"),
            device="0",
            libraries=MappingProxyType({"win32": ("d3d12.dll", "dxgi.dll")}),
            serial=True,
            sparing=True,
            known=(
                Known(
                    "several threads in one session crash it, and several sessions at once too",
                    "Lamproom runs one picture at a time on it; let no other program use the device meanwhile",
                    _ISSUE.format(25577),
                ),
                Known(
                    "the device is removed in the middle of a run (887A0005)",
                    "update the graphics driver and resume the job; it kept what was done",
                    _ISSUE.format(22700),
                ),
                Known(
                    "it is only maintained, its package is behind, and models above opset 20 may not run",
                    "export the model with an older opset",
                    _PAGE.format("DirectML"),
                ),
            ),
        ),
        "openvino": Provider(
            "Intel OpenVINO",
            "OpenVINOExecutionProvider",
            (
                Package(
                    "onnxruntime-ep-openvino",
                    ("linux-x86_64", "win32-amd64"),
                    module="onnxruntime_ep_openvino",
                    options=_row(load_config=_OPENVINO),
                ),
                Package("onnxruntime-openvino", ("linux-x86_64", "win32-amd64")),
            ),
            # `precision` and `num_of_threads` are deprecated since 1.23 in favour of load_config. Without the hint a
            # processor with bfloat16 may round to seven bits, which moved scores by up to 0.08 (measured).
            _row(
                device_type="{device}",
                load_config=_OPENVINO,
            ),
            _PAGE.format("OpenVINO"),
            device="CPU",
            processor=True,
            files=_row(
                linux="libonnxruntime_providers_openvino.so", win32="onnxruntime_providers_openvino.dll"
            ),
            known=(
                Known(
                    "the plug-in finds no device on a processor that is not Intel's",
                    "use the full build onnxruntime-openvino there, or cpu",
                    "https://github.com/microsoft/onnxruntime/pull/31981",
                ),
                Known(
                    "results differ from one processor to the next, because the precision follows the hardware",
                    "Lamproom asks for f32; the self-test says whether it is kept",
                    "https://github.com/openvinotoolkit/openvino/issues/27795",
                ),
            ),
        ),
        "cann": Provider(
            "Huawei Ascend (CANN)",
            "CANNExecutionProvider",
            (Package("onnxruntime-cann", ("linux-x86_64", "linux-aarch64")),),
            # The default of the graph engine is force_fp16.
            _row(
                device_id="{device}",
                precision_mode="must_keep_origin_dtype",
                op_select_impl_mode="high_precision",
            ),
            "https://onnxruntime.ai/docs/execution-providers/community-maintained/CANN-ExecutionProvider.html",
            device="0",
            # read: the needs of libonnxruntime_providers_cann.so in onnxruntime-cann 1.24.4
            libraries=MappingProxyType(
                {"linux": ("libascendcl.so", "libacl_op_compiler.so", "libfmk_onnx_parser.so")}
            ),
            files=_row(linux="libonnxruntime_providers_cann.so"),
            driver=("/usr/local/Ascend/driver/version.info",),
            known=(
                Known(
                    "onnxruntime-cann 1.24.4 was built for NumPy 1 and does not load beside the NumPy 2 that Lamproom needs",
                    "take a newer onnxruntime-cann, or one built against NumPy 2; the cpu provider needs neither",
                    'its wheel for x86-64, tried: "import numpy failed" with NumPy 2.4, loads with 1.26',
                ),
                Known(
                    "libascendcl is not found: the CANN toolkit's variables are not set",
                    "source /usr/local/Ascend/ascend-toolkit/set_env.sh before Lamproom is started",
                    "https://onnxruntime.ai/docs/execution-providers/community-maintained/CANN-ExecutionProvider.html",
                ),
                Known(
                    "an operator fails to compile (aclopCompileAndExecute) when the toolkit does not fit the package",
                    "install the CANN version that the page names for this onnxruntime-cann",
                    _ISSUE.format(26195),
                ),
            ),
        ),
        "migraphx": Provider(
            "AMD MIGraphX",
            "MIGraphXExecutionProvider",
            (Package("onnxruntime-migraphx", ("linux-x86_64",)),),
            _row(device_id="{device}", migraphx_fp16_enable="0", migraphx_int8_enable="0"),
            _PAGE.format("MIGraphX"),
            device="0",
            # These win over the options of a session.
            environment=_row(
                ORT_MIGRAPHX_FP16_ENABLE="0",
                ORT_MIGRAPHX_BF16_ENABLE="0",
                ORT_MIGRAPHX_FP8_ENABLE="0",
                ORT_MIGRAPHX_INT8_ENABLE="0",
            ),
            libraries=MappingProxyType({"linux": ("libamdhip64.so", "libmigraphx_c.so.3")}),
            files=_row(linux="libonnxruntime_providers_migraphx.so"),
            driver=("/sys/module/amdgpu/version",),
            known=(
                Known(
                    "the first run compiles the model, for minutes to half an hour, and again for every new input size",
                    "wait for the first picture; set ORT_MIGRAPHX_MODEL_CACHE_PATH to keep what was compiled",
                    "https://github.com/ROCm/AMDMIGraphX/issues/4164",
                ),
            ),
        ),
        "rocm": Provider(
            "AMD ROCm",
            "ROCMExecutionProvider",
            (Package("onnxruntime-rocm", ("linux-x86_64",)),),
            _row(device_id="{device}"),
            _PAGE.format("ROCm"),
            device="0",
            libraries=MappingProxyType({"linux": ("libamdhip64.so", "librocblas.so", "libMIOpen.so.1")}),
            files=_row(linux="libonnxruntime_providers_rocm.so"),
            driver=("/sys/module/amdgpu/version",),
            known=(
                Known(
                    "onnxruntime dropped it after 1.22, and ROCm after 7.0",
                    "use migraphx",
                    "https://github.com/microsoft/onnxruntime/pull/25181",
                ),
            ),
        ),
        "coreml": Provider(
            "Apple Core ML",
            "CoreMLExecutionProvider",
            (Package("onnxruntime", ("darwin-arm64",)),),
            # The default format computes in 16 bits, and so does the neural engine whatever it is asked.
            _row(ModelFormat="MLProgram", MLComputeUnits="CPUAndGPU", AllowLowPrecisionAccumulationOnGPU="0"),
            _PAGE.format("CoreML"),
            known=(
                Known(
                    "wrong results on macOS 15 with static input shapes asked for",
                    "Lamproom does not ask for them; update to macOS 26 if the self-test differs",
                    _ISSUE.format(32569),
                ),
            ),
        ),
        "qnn": Provider(
            "Qualcomm QNN",
            "QNNExecutionProvider",
            (Package("onnxruntime-qnn", ("win32-arm64",), module="onnxruntime_qnn"),),
            # The neural processor computes float models in 16 bits; the graphics processor can keep 32.
            _row(backend_type="{device}", enable_htp_fp16_precision="0"),
            _PAGE.format("QNN"),
            device="gpu",
            known=(
                Known(
                    "the neural processor (htp) takes quantised models, and float ones only in 16 bits",
                    "use qnn:gpu for float models",
                    _ISSUE.format(18351),
                ),
                Known(
                    "the plug-in does not show among onnxruntime's available providers",
                    "that is so for every plug-in; Lamproom asks for its devices",
                    _ISSUE.format(27832),
                ),
            ),
        ),
    }
)
"""Our name of a provider -> what is known of it."""


@dataclass(frozen=True, slots=True)
class Choice(Generic[Opened]):
    """What an ordered list came to: the first that opened, and why each before it did not."""

    name: str
    opened: Opened
    skipped: tuple[tuple[str, str], ...]


def split(wanted: str) -> tuple[str, str]:
    """"cuda:1" -> ("cuda", "1"); without a device the provider's own default.

    Raises:
        InvalidInput: the name is unknown, or the provider has no devices to choose from.
    """  # fmt: skip
    name, colon, device = wanted.strip().partition(":")
    if name not in PROVIDERS:
        raise InvalidInput("unknown provider", where=name, remedy=f"use one of {', '.join(PROVIDERS)}")
    row = PROVIDERS[name]
    if colon and (not row.device or not device.replace(".", "").isalnum()):
        raise InvalidInput(
            "there is no such device", where=wanted, remedy="leave the part after the colon out"
        )
    return name, device or row.device


def listed(text: str) -> tuple[str, ...]:
    """The names of a list such as "cuda,cpu", in order, each once.

    Raises:
        InvalidInput: an unknown name, or none at all.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        split(name)
    if not names:
        raise InvalidInput("no provider is named", remedy=f"use one of {', '.join(PROVIDERS)}")
    return names


def on_processor(wanted: str) -> bool:
    """Whether a provider other than the CPU's own computes on the processor's cores."""
    name, device = split(wanted)
    return PROVIDERS[name].processor and device == PROVIDERS[name].device


def options(wanted: str, *, threads: int = 1, plugin: bool = False) -> Mapping[str, str]:
    """The options that pin full precision, filled in for a device and a number of threads."""
    name, device = split(wanted)
    row = PROVIDERS[name]
    found = row.options
    if plugin:
        found = next((p.options for p in row.packages if p.module and p.options is not None), found)
    return {
        key: value.replace("{device}", device).replace("{threads}", str(threads))
        for key, value in found.items()
    }


def pick(wanted: str, available: Sequence[str]) -> tuple[str, Mapping[str, str]]:
    """onnxruntime's name and the options of a provider, if the installed runtime has it.

    onnxruntime only *warns* about a missing provider and quietly runs on the CPU, so absence is refused here.

    Args:
        wanted: a key of PROVIDERS, with a device or without.
        available: onnxruntime's names of what is installed, plug-ins with them.

    Raises:
        InvalidInput: the name is unknown.
        Unavailable: the installed runtime lacks it.
    """
    name, _ = split(wanted)
    row = PROVIDERS[name]
    if row.real not in available:
        here = ", ".join(key for key, other in PROVIDERS.items() if other.real in available) or "none"
        raise Unavailable(
            "the installed onnxruntime has no such provider",
            where=wanted,
            remedy=f"here: {here}; {row.packages[0].distribution} brings it",
        )
    return row.real, options(wanted)


def choose(wanted: Sequence[str], attempt: Callable[[str], Opened]) -> Choice[Opened]:
    """The first provider of an ordered list that `attempt` opens.

    One name alone is no list: its error is raised as it is, and nothing else is tried.

    Args:
        wanted: names in the order of preference (see `listed`).
        attempt: opens and tests a provider; a LamproomError says why it will not do.

    Raises:
        LamproomError: of the only one. Unavailable: none of several will do.
    """
    if len(wanted) == 1:
        return Choice(wanted[0], attempt(wanted[0]), ())
    skipped: list[tuple[str, str]] = []
    for name in wanted:
        try:
            return Choice(name, attempt(name), tuple(skipped))
        except LamproomError as error:
            skipped.append((name, f"{error.what} ({error.remedy})" if error.remedy else error.what))
    raise Unavailable(
        "none of the providers will do",
        where=", ".join(wanted),
        remedy="; ".join(f"{name}: {why}" for name, why in skipped),
    )
