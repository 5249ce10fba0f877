"""Missing shared libraries are named: from loaders' messages, and by reading what a file needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import loader

SAID = {
    "glibc": (
        "FAIL : Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open "
        "shared object file: No such file or directory",
        ("libcublasLt.so.13",),
    ),
    "musl": (
        "Error loading shared library libcudnn.so.9: No such file (needed by /x/y.so)",
        ("libcudnn.so.9",),
    ),
    "macOS": ("dlopen(/x/y.dylib, 0x1): Library not loaded: @rpath/libomp.dylib", ("libomp.dylib",)),
    "Windows": (
        'LoadLibrary failed with error 126 "" when trying to load "C:\\x\\onnxruntime_providers_cuda.dll" which depends '
        'on "cublasLt64_13.dll" which is missing. (Error 126: "The specified module could not be found.")',
        ("cublasLt64_13.dll",),
    ),
    "Python on Windows": (
        "Could not find module 'C:\\x\\nvinfer_10.dll' (or one of its",
        ("nvinfer_10.dll",),
    ),
    "two, one of them twice": (
        "libb.so.1: cannot open shared object file\nliba.so: cannot open shared object file\nlibb.so.1: cannot open shared object file",
        ("libb.so.1", "liba.so"),
    ),
    "nothing": ("CUDA failure 100: no CUDA-capable device is detected", ()),
}


@pytest.mark.parametrize("system", SAID)
def test_a_loaders_message_names_the_library(system: str) -> None:
    text, names = SAID[system]
    assert loader.said_missing(text) == names


def test_a_library_that_is_nowhere_is_absent() -> None:
    assert loader.absent(["libno-such-thing.so.7"]) == ("libno-such-thing.so.7",)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF files are read on Linux only")


@linux
def test_a_whole_library_misses_nothing_and_names_its_needs() -> None:
    core = Path(np.__file__).parent / "_core"
    file = next(core.glob("_multiarray_umath*.so"))
    assert "libc.so.6" in loader.needs(file)
    assert loader.missing(file) == ()


@linux
def test_what_a_library_needs_through_another_is_found_missing_by_name(tmp_path: Path) -> None:
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler to make libraries with")

    def make(name: str, *needs: str) -> None:
        source = tmp_path / f"{name}.c"
        source.write_text(f"int of_{name}(void) {{ return 1; }}")
        subprocess.run(
            [compiler, "-shared", "-o", f"lib{name}.so", f"-Wl,-soname,lib{name}.so", source.name,
             "-Wl,--no-as-needed", "-L.", *(f"-l{n}" for n in needs), "-Wl,-rpath,$ORIGIN"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip

    make("driver")
    make("vendor", "driver")
    make("provider", "vendor")
    file = tmp_path / "libprovider.so"
    assert loader.missing(file) == ()
    (tmp_path / "libdriver.so").unlink()
    assert loader.missing(file) == ("libdriver.so",)
    (tmp_path / "libvendor.so").unlink()
    assert loader.missing(file) == ("libvendor.so",)


@linux
@pytest.mark.parametrize("damage", ["empty", "text", "cut", "zeros"])
def test_a_file_that_is_no_library_needs_nothing_and_raises_nothing(tmp_path: Path, damage: str) -> None:
    whole = next((Path(np.__file__).parent / "_core").glob("_multiarray_umath*.so")).read_bytes()
    data = {
        "empty": b"",
        "text": b"#!/bin/sh\n",
        "cut": whole[:700],
        "zeros": whole[:64] + bytes(4096),
    }[damage]
    file = tmp_path / "lib.so"
    file.write_bytes(data)
    assert loader.missing(file) == ()
