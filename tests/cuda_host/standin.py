"""A stand-in for CuPy: its arrays lie in host memory, and its kernels run in the emulator, in a thread order of choice.

Like CuPy it refuses to mix its arrays with NumPy's and never becomes one of them by itself, hands a Python int to a
kernel as 64 bits, and knows only what it has been taught. Beyond CuPy it refuses arguments that have not the size of
the kernel's parameters: a card reads them as they come.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FOLDER = Path(tempfile.gettempdir()) / f"reservoir-hf-emulated-{os.getuid()}"
COMPILER = ("g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-U_FORTIFY_SOURCE", "-Wall", "-Werror", "-x", "c++")
ORDERS = (0, 1, 2, 3)  # ascending, descending, two at random
N_PROCESSORS = 16
THREADS_OF_A_PROCESSOR = 2048
SHARED_BYTES = 232448
FREE_BYTES = 2**32
ONE_AT_A_TIME = threading.Lock()  # as in a stream: the emulator is one to a process, and ctypes lets threads go
SHARED_BYTES_UNASKED = 48 * 1024


# -------------------------------------------------------------------------------------------------------- arrays


class ndarray:
    """An array of the device: NumPy underneath, which nobody but this file sees."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host):
        self._host = host

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    __array_ufunc__ = None  # NumPy's arrays leave operators with this one to it, which refuses them

    def get(self):
        return self._host.copy()

    def __len__(self):
        return len(self._host)

    def __bool__(self):
        return bool(self._host)

    def __float__(self):
        return float(self._host)

    def __int__(self):
        return int(self._host)

    def __getitem__(self, key):
        return lifted(self._host[lowered(key)])

    def __setitem__(self, key, value):
        self._host[lowered(key)] = lowered(value)

    def __repr__(self):
        return f"standin({self._host!r})"


PROPERTIES = ("shape", "ndim", "dtype", "size", "T", "nbytes", "itemsize", "strides")
METHODS = (
    *("reshape", "ravel", "astype", "copy", "sum", "mean", "max", "min", "any", "all", "dot", "transpose", "fill"),
    *("view", "argmax", "cumsum", "item", "std", "var"),
)
OPERATORS = (
    *("add", "radd", "iadd", "sub", "rsub", "isub", "mul", "rmul", "imul", "truediv", "rtruediv", "itruediv", "pow"),
    *("matmul", "rmatmul", "neg", "abs", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "invert", "mod", "floordiv"),
)
FUNCTIONS = (
    *("empty", "zeros", "ones", "full", "arange", "eye", "concatenate", "stack", "hstack", "vstack", "sqrt", "exp"),
    *("log", "tanh", "abs", "sum", "max", "min", "where", "isfinite", "isnan", "matmul", "dot", "empty_like", "diag"),
    *("zeros_like", "ones_like", "full_like", "ascontiguousarray", "maximum", "minimum", "mean", "average", "any"),
    *("all", "broadcast_to", "take", "repeat", "tril", "triu", "outer", "einsum", "cumsum", "argmax", "argmin", "clip"),
    *("copyto", "square", "sign", "multiply", "add", "subtract", "divide", "tensordot", "moveaxis", "count_nonzero"),
    *("log1p", "nan_to_num"),
)
TYPES = ("float32", "float64", "int32", "int64", "uint32", "uint64", "bool_")
LINALG = ("cholesky", "solve", "eigh", "svd", "norm", "qr", "inv")


def lowered(value):
    """What is inside, as NumPy; NumPy's own arrays have no business here."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (tuple, list)):
        return type(value)(map(lowered, value))
    return {k: lowered(v) for k, v in value.items()} if isinstance(value, dict) else value


def lifted(value):
    """Results as arrays of the device, numbers among them, as with CuPy."""
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple):
        return type(value)(*map(lifted, value)) if hasattr(value, "_fields") else tuple(map(lifted, value))
    return value


def on_device(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return lifted(function(*map(lowered, args), **lowered(kwargs)))

    return call


def teach(name):
    def operate(self, *others):
        found = getattr(self._host, f"__{name}__")(*map(lowered, others))
        if name.startswith("i") and name not in ("invert",):
            return self
        return NotImplemented if found is NotImplemented else lifted(found)

    setattr(ndarray, f"__{name}__", operate)


def teach_property(name):
    setattr(ndarray, name, property(lambda self: lifted_array(getattr(self._host, name))))


def teach_method(name):
    def call(self, *args, **kwargs):
        return lifted(getattr(self._host, name)(*map(lowered, args), **lowered(kwargs)))

    setattr(ndarray, name, call)


def lifted_array(value):
    return ndarray(value) if isinstance(value, np.ndarray) else value


for name in OPERATORS:
    teach(name)
for name in PROPERTIES:
    teach_property(name)
for name in METHODS:
    teach_method(name)


def asarray(values, dtype=None):
    if isinstance(values, ndarray):
        return ndarray(np.asarray(values._host, dtype=dtype))
    return ndarray(np.array(values, dtype=dtype))


# ------------------------------------------------------------------------------------------------------- kernels


@functools.cache
def built(code, options):
    """The shared library of a ``.cu`` text for the host, under a name of its own: libraries are known by path."""
    keep = [option for option in options if option.startswith(("-D", "-I"))]
    text = "\0".join((code, *keep, *COMPILER, (HERE / "emulator.h").read_text(encoding="utf-8"), *preludes(keep)))
    path = FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.so"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            source, library = Path(folder, "kernels.cu"), Path(folder, "kernels.so")
            source.write_text(code, encoding="utf-8")
            command = [*COMPILER, *keep, f"-I{HERE}", "-o", str(library), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the host compiler refuses the kernels:\n{done.stderr}")
            library.replace(path)
    return ctypes.CDLL(str(path))


def preludes(options):
    folders = [Path(option[2:]) for option in options if option.startswith("-I")]
    return [path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.glob("*.cuh"))]


class RawKernel:
    def __init__(self, library, name, together):
        self.name, self.together = name, together
        self.function = getattr(library, name)
        self.function.restype = ctypes.c_char_p
        sizes = (ctypes.c_int * 64)()
        n = getattr(library, f"{name}_parameters")(sizes)
        self.sizes = list(sizes[:n])
        self.max_dynamic_shared_size_bytes = SHARED_BYTES_UNASKED
        self.kernel = types.SimpleNamespace(ptr=self)

    def __call__(self, grid, block, args, *, shared_mem=0):
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE: more shared memory than was asked for")
        if not 1 <= np.prod(block) <= 1024:
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE: a block has 1 to 1024 threads")
        if self.together and np.prod(grid) > occupancy(self, int(np.prod(block)), shared_mem) * N_PROCESSORS:
            raise RuntimeError("CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE: the grid is not resident")
        values = [c_value(argument) for argument in args]
        came = [ctypes.sizeof(value) for value in values]
        if came != self.sizes:
            raise TypeError(f"{self.name} takes parameters of {self.sizes} bytes, got arguments of {came}")
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        sizes = [(ctypes.c_uint * 3)(*(*size, 1, 1)[:3]) for size in (grid, block)]
        with ONE_AT_A_TIME:
            error = self.function(pointers, *sizes, ctypes.c_uint(shared_mem), order_of_threads(), int(self.together))
        if error:
            raise RuntimeError(f"{self.name}: {error.decode()}")


def c_value(argument):
    """An argument as the kernel meets it; a Python int has 64 bits."""
    if isinstance(argument, ndarray):
        if not argument._host.flags.c_contiguous:
            raise TypeError("a kernel reads C-contiguous arrays")
        return ctypes.c_void_p(argument._host.ctypes.data)
    if isinstance(argument, np.generic):
        return np.ctypeslib.as_ctypes_type(argument.dtype)(argument.item())
    if isinstance(argument, (bool, int, float)):
        return {bool: ctypes.c_bool, int: ctypes.c_longlong, float: ctypes.c_double}[type(argument)](argument)
    raise TypeError(f"Unsupported type {type(argument)}")


def order_of_threads():
    return int(os.environ.get("EMULATED_ORDER", "0"))


def occupancy(kernel, n_threads, shared_bytes):
    """Blocks that one processor holds, by threads and by shared memory."""
    return min(THREADS_OF_A_PROCESSOR // n_threads, SHARED_BYTES // max(1, shared_bytes), 32)


class RawModule:
    def __init__(self, *, code, options=(), enable_cooperative_groups=False):
        self.library, self.together = built(code, tuple(options)), enable_cooperative_groups

    def get_function(self, name):
        return RawKernel(self.library, name, self.together)


# -------------------------------------------------------------------------------------------------------- module


def module():
    """The stand-in as a module that answers to the name ``cupy``."""
    made = types.ModuleType("cupy")
    made.linalg = types.SimpleNamespace(**{name: on_device(getattr(np.linalg, name)) for name in LINALG})
    vars(made).update({name: on_device(getattr(np, name)) for name in FUNCTIONS})
    vars(made).update({name: getattr(np, name) for name in TYPES})
    made.newaxis, made.pi, made.inf, made.nan = None, np.pi, np.inf, np.nan
    made.ndarray, made.RawModule, made.asarray = ndarray, RawModule, asarray
    made.asnumpy = lambda values: values.get() if isinstance(values, ndarray) else np.asarray(values)
    made.is_available = lambda: True
    made.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)
    made.cuda = types.SimpleNamespace(
        driver=types.SimpleNamespace(occupancyMaxActiveBlocksPerMultiprocessor=occupancy),
        Device=lambda: types.SimpleNamespace(
            id=0,
            attributes={"MultiProcessorCount": N_PROCESSORS, "MaxSharedMemoryPerBlockOptin": SHARED_BYTES},
            mem_info=(FREE_BYTES, 2**33),
        ),
    )
    return made


ndarray.__module__ = "cupy"


@contextlib.contextmanager
def installed(order=0):
    """Within it ``import cupy`` gives the stand-in, and kernels run their threads in ``order``."""
    from optim import device

    before = {"cupy": sys.modules.get("cupy")}, os.environ.get("EMULATED_ORDER")
    sys.modules["cupy"], os.environ["EMULATED_ORDER"] = module(), str(order)
    device.kernels.cache_clear()
    try:
        yield sys.modules["cupy"]
    finally:
        device.kernels.cache_clear()
        sys.modules.pop("cupy")
        os.environ.pop("EMULATED_ORDER")
        if before[0]["cupy"] is not None:
            sys.modules["cupy"] = before[0]["cupy"]
        if before[1] is not None:
            os.environ["EMULATED_ORDER"] = before[1]
