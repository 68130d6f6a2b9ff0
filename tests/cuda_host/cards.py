"""Kernels compiled for real cards without one: by nvcc where it is, else by the wheel of NVRTC."""

import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

EVERY_CARD = ("75", "80", "86", "89", "90", "100", "120")


class Compiled(NamedTuple):
    """What the compiler tells of a file: registers by kernel, bytes that spilled, and its PTX."""

    registers: dict[str, int]
    spilled: int
    ptx: str

    def of(self, kernel: str) -> str:
        """The PTX of one kernel."""
        return re.search(rf"\.entry {kernel}\(.*?^}}", self.ptx, re.DOTALL | re.MULTILINE).group()


def compiler():
    """A function (source, card, options) -> :class:`Compiled`, or None where there is no compiler."""
    if shutil.which("nvcc"):
        return by_nvcc
    return by_nvrtc if nvrtc_path() else None


def by_nvcc(source: Path, card: str, options: tuple) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        command = ["nvcc", f"-arch=sm_{card}", "-std=c++17", "-Xptxas", "-v", "-x", "cu", *options, "--keep"]
        places = ["--keep-dir", folder, "-cubin", "-o", f"{folder}/kernels.cubin", str(source)]
        done = subprocess.run([*command, *places], capture_output=True, text=True, check=True)
        ptx = next(Path(folder).glob("*.ptx")).read_text()
    return told(done.stderr, ptx)


def by_nvrtc(source: Path, card: str, options: tuple) -> Compiled:
    library = ctypes.CDLL(nvrtc_path())
    options = ("--std=c++17", "--ptxas-options=-v", *options)
    log = compiled_by(library, source, (f"--gpu-architecture=sm_{card}", *options), "ProgramLog")
    return told(log, compiled_by(library, source, (f"--gpu-architecture=compute_{card}", *options), "PTX"))


def nvrtc_path() -> str | None:
    found = (path for folder in sys.path for path in Path(folder or ".").glob("nvidia/*/lib/libnvrtc.so.*"))
    return next(map(str, found), None)


def compiled_by(library: ctypes.CDLL, source: Path, options: tuple, wanted: str) -> str:
    """A program's log or PTX."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    code = source.read_text(encoding="utf-8").encode()
    library.nvrtcCreateProgram(ctypes.byref(program), code, b"kernels.cu", 0, None, None)
    asked = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = library.nvrtcCompileProgram(program, len(options), asked)
    wanted = "ProgramLog" if failed else wanted
    getattr(library, f"nvrtcGet{wanted}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{wanted}")(program, text)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise RuntimeError(text.value.decode())
    return text.value.decode()


def told(log: str, ptx: str) -> Compiled:
    names = re.findall(r"Function properties for (\w+)", log)
    registers = map(int, re.findall(r"Used (\d+) registers", log))
    spilled = sum(map(int, re.findall(r"(\d+) bytes spill", log)))
    return Compiled(dict(zip(names, registers, strict=True)), spilled, ptx)
