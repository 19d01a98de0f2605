"""The arrays that a function sees while its array operations are recorded.

They hold an ordinary NumPy value, have its operators, attributes and methods, and answer to
`array_namespace`, to NumPy's functions and to arrays of NumPy on either side of an operator. What
they do is left to `recorder.call`, which gets the name of the function and NumPy's own function.
"""

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from ..errors import CannotRecord


class Recorder(Protocol):
    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Evaluate a function of arrays, and write it down if they depend on parameters."""

    def read(self, array: "RecordedArray") -> np.ndarray:
        """Return the value, and write down that Python has seen it."""

    def record(self, rule: Callable[..., Any], value: Any, *operands: Any) -> Any:
        """Write down an operation: its rule, its unperturbed value and the rule's operands."""


active_recorder: ContextVar[Recorder] = ContextVar("active recorder")
"""Who records the functions of the namespace, some of which take no array."""


class RecordedArray:
    """One array, and the number it has in a recording: None if it depends on no parameter."""

    __slots__ = ("node", "recorder", "value")

    def __init__(self, recorder: Recorder, value: np.ndarray, node: int | None = None) -> None:
        self.recorder = recorder
        self.value = value
        self.node = node

    @property
    def depends(self) -> bool:
        """Whether any parameter goes into the value."""
        return self.node is not None

    # What a shape or dtype tells is the same in all copies.

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def itemsize(self) -> int:
        return self.value.itemsize

    @property
    def nbytes(self) -> int:
        return self.value.nbytes

    @property
    def device(self) -> str:
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> "RecordedArray":
        self.value.to_device(device, stream=stream)  # raises for any device but "cpu"
        return self

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"RecordedArray({self.value!r})"

    # What Python takes out of an array must turn out to be the same in all copies.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.recorder.read(self)
        return np.array(value, dtype, copy=copy) if copy is not None else np.asarray(value, dtype)

    def __bool__(self) -> bool:
        return bool(self.recorder.read(self))

    def __int__(self) -> int:
        return int(self.recorder.read(self))

    def __index__(self) -> int:
        return self.recorder.read(self).__index__()

    def __float__(self) -> float:
        return float(self.recorder.read(self))

    def __complex__(self) -> complex:
        return complex(self.recorder.read(self))

    def item(self, *index: Any) -> Any:
        return self.recorder.read(self).item(*index)

    def tolist(self) -> Any:
        return self.recorder.read(self).tolist()

    # The protocols of the array API standard and of NumPy.

    def __array_namespace__(self, *, api_version: str | None = None) -> "RecordedNamespace":
        return recorded_namespace()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__":
            return self.recorder.call(ufunc.__name__, ufunc, *inputs, **kwargs)
        name = f"{ufunc.__name__}.{method}"
        return self.recorder.call(name, getattr(ufunc, method), *inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        module = function.__module__.removeprefix("numpy").lstrip(".")
        name = f"{module}.{function.__name__}" if module else function.__name__
        return self.recorder.call(name, function, *args, **kwargs)

    # Indexing and attributes that are functions.

    def __getitem__(self, key: Any) -> Any:
        return self.recorder.call("getitem", np.ndarray.__getitem__, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise CannotRecord(
            "f assigns to entries of an array; write it without, for instance with where or concat"
        )

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[index] for index in range(len(self)))

    @property
    def T(self) -> Any:  # noqa: N802
        return self.recorder.call("permute_dims", np.transpose, self)

    @property
    def mT(self) -> Any:  # noqa: N802
        return self.recorder.call("matrix_transpose", np.matrix_transpose, self)

    @property
    def real(self) -> Any:
        return self.recorder.call("real", np.real, self)

    @property
    def imag(self) -> Any:
        return self.recorder.call("imag", np.imag, self)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return self.recorder.call("astype", np.ndarray.astype, self, dtype)

    def copy(self) -> Any:
        return self.recorder.call("positive", np.positive, self)

    def flatten(self) -> Any:
        return self.reshape(-1)

    def reshape(self, *shape: Any, **settings: Any) -> Any:
        new = shape[0] if len(shape) == 1 else shape
        return self.recorder.call("reshape", np.reshape, self, new, **settings)

    def transpose(self, *axes: Any) -> Any:
        order = axes[0] if len(axes) == 1 else axes or None
        return self.recorder.call("permute_dims", np.transpose, self, order)

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"a recorded array has no attribute {name!r}")
        function = getattr(np, name)

        def method(*args: Any, **kwargs: Any) -> Any:
            return self.recorder.call(name, function, self, *args, **kwargs)

        return method

    __hash__ = None  # type: ignore[assignment]

    # Set below, with the other operators.
    __mul__: Callable[..., Any]
    __sub__: Callable[..., Any]
    __truediv__: Callable[..., Any]


METHODS = frozenset(
    (
        "all any argmax argmin argsort clip compress conj conjugate cumprod cumsum diagonal dot "
        "max mean min nonzero prod ravel repeat round searchsorted squeeze std sum swapaxes take "
        "trace var"
    ).split()
)

UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "divmod": np.divmod,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}


def _operator(ufunc: np.ufunc, swapped: bool = False) -> Callable[..., Any]:
    def operator(self: RecordedArray, *other: Any) -> Any:
        if other and not isinstance(
            other[0], RecordedArray | np.ndarray | np.generic | complex | float | int
        ):
            return NotImplemented
        operands = (*other, self) if swapped else (self, *other)
        return self.recorder.call(ufunc.__name__, ufunc, *operands)

    return operator


for _name, _ufunc in {**UNARY, **COMPARISONS, **BINARY}.items():
    setattr(RecordedArray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in BINARY.items():
    setattr(RecordedArray, f"__r{_name}__", _operator(_ufunc, swapped=True))


class RecordedNamespace:
    """The array API namespace of recorded arrays: that of NumPy, each function recorded.

    There is one for all recordings, as code may remember the namespace of a type of array.
    """

    def __init__(self, module: Any, prefix: str = "") -> None:
        self._module = module
        self._prefix = prefix
        # array_namespace compares names, so recorded and ordinary arrays go together.
        self.__name__ = module.__name__

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._module, name)
        if name in ("linalg", "fft") and not self._prefix:
            return RecordedNamespace(attribute, f"{name}.")
        if not callable(attribute) or isinstance(attribute, type):
            return attribute

        def function(*args: Any, **kwargs: Any) -> Any:
            return active_recorder.get().call(f"{self._prefix}{name}", attribute, *args, **kwargs)

        return function

    def __dir__(self) -> list[str]:
        return dir(self._module)


@functools.cache
def recorded_namespace() -> RecordedNamespace:
    import array_api_compat.numpy

    return RecordedNamespace(array_api_compat.numpy)
