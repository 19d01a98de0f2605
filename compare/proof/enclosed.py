"""Arrays whose entries are enclosed in balls, and the reverse mode through them.

A ball is a midpoint and a radius (`flint.arb`), and arithmetic on balls encloses every result that
numbers of the balls could have. So the entries of a gradient by reverse mode in balls contain the
exact derivatives. Arrays that are known exactly stay NumPy's, others are arrays of objects.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradparity.backends.errors import GradparityError

from .arithmetic import arb

# Relative: what two ways to evaluate f may differ by.
SAME_VALUE = 1e-6
WHOLE = (int, np.integer)  # sums of cotangents that are whole may be NumPy's
Cotangents = tuple[np.ndarray | None, ...]
Pullback = Callable[[np.ndarray], Cotangents]

_serials = itertools.count()

Perturbation = Callable[[np.ndarray], np.ndarray]

perturbation: ContextVar[Perturbation | None] = ContextVar("perturbation", default=None)
"""What is done to results that engines round: not for a proof, but to see how much that matters.

Slopes are computed from rounded values then, as engines do.
"""


class NotProved(GradparityError):
    """A proof stops here.

    hopeless: whether more digits would not help
    """

    def __init__(self, message: str, *, hopeless: bool = True) -> None:
        super().__init__(message)
        self.hopeless = hopeless


class IsRandom(NotProved):
    """A function gives different values at the same point: there is nothing to prove.

    By chance, or because it notices how it is read.
    """


@dataclass(eq=False, slots=True)
class Enclosed:
    """One array of a program, and what it was computed from.

    value: numbers of NumPy where all are exact, else objects: balls, and 0 where nothing arrives
    operation: what computed it; name: that of a leaf of the parameters
    depends: whether parameters go into it; only then it has parents, and a pullback
    kinks: distances of the operands of `operation` from where it has no derivative, for the entries
        where balls cannot tell the side; the pullback then holds the slopes of both sides
    ties: of a comparison that depends on parameters, where both sides are equal
    """

    value: Any
    operation: str = ""
    parents: tuple["Enclosed", ...] = ()
    pullback: Pullback | None = None
    depends: bool = False
    name: str | None = None
    kinks: dict[tuple[int, ...], arb] = field(default_factory=dict)
    ties: np.ndarray | None = None
    serial: int = field(default_factory=_serials.__next__)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        return int(self.value.ndim)


def computed(
    operation: str, value: Any, parents: Sequence[Enclosed], pullback: Pullback | None, **more: Any
) -> Enclosed:
    """Return the result of an operation, with its pullback where parameters go into it."""
    value = np.asarray(value)
    for parent in parents:
        settled(parent)
    depends = pullback is not None and any(parent.depends for parent in parents)
    if not depends:
        return Enclosed(value, operation)
    return Enclosed(value, operation, tuple(parents), pullback, True, **more)


def constant(value: Any) -> Enclosed:
    """Return an array that no parameter goes into: floats and integers are taken as they are.

    raises: NotProved for complex numbers, and floats that float64 does not hold
    """
    value = np.asarray(value)
    if value.dtype.kind == "c":
        raise NotProved("f computes with complex numbers, for which there are no balls here")
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:
        exact = value.astype(np.float64)
        if not np.array_equal(exact, value, equal_nan=True):
            raise NotProved(f"f computes with numbers of {value.dtype} that float64 does not hold")
        value = exact
    return Enclosed(value)


def settled(x: Enclosed) -> Enclosed:
    """Return an array, of which no entry is on the edge of two branches.

    raises: NotProved where one is
    """
    if x.ties is None or not x.ties.any():
        return x
    index = tuple(int(i) for i in np.argwhere(x.ties)[0])
    raise NotProved(
        f"{place(x, index)} is at the edge of {x.operation}, an exact tie: f changes its branch "
        "there"
    )


def whole_numbers(x: Enclosed) -> np.ndarray:
    """Return an array that says where entries are.

    raises: NotProved where balls do not decide it
    """
    if settled(x).value.dtype == object:
        raise NotProved("an index is not a whole number")
    return np.asarray(x.value)


@contextmanager
def following(name: str) -> Iterator[None]:
    """Name the operation that something is refused for; what a rule does not expect is refused."""
    try:
        yield
    except NotProved:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise NotProved(f"{name} cannot be followed: {type(error).__name__}: {said}") from error


def check_value(recorded: np.ndarray, plain: Any) -> None:
    """Check that f gives, where its operations are read, what it gives otherwise.

    raises: IsRandom where it notices, and gives something else
    """
    value = np.asarray(plain)
    same = value.shape == recorded.shape and np.allclose(
        value, recorded, rtol=SAME_VALUE, atol=0.0, equal_nan=True
    )
    if not same:
        raise IsRandom(
            f"f gives {value}, and {recorded} where its operations are read: it asks what it is "
            "given, or whether gradients are taken"
        )


def of_shape(name: str, found: Any, shape: Sequence[int]) -> None:
    """Check the shape of what a rule made of an operation.

    raises: NotProved where it is not that of f's own result
    """
    if isinstance(found, Enclosed) and found.shape != tuple(shape):
        raise NotProved(f"{name} gives shape {tuple(shape)} in f, and {found.shape} in balls")


def place(node: Enclosed, index: tuple[int, ...]) -> str:
    """Say where an operation is, by its parameter, as "x[3]", or by its own entry."""
    where = f"[{', '.join(map(str, index))}]" if index else ""
    for parent in node.parents:
        if parent.name is not None and parent.shape == node.shape:
            return f"{parent.name or 'params'}{where}"
    return f"entry {where} of an operand" if where else "an operand"


def upper(ball: Any) -> float:
    """Return an upper bound of the size of a ball."""
    return 0.0 if ball == 0 else math.nextafter(float(ball.abs_upper()), math.inf)


def short(ball: Any) -> str:
    """Return an upper bound of the size of a ball in few digits, be it ever so small."""
    return str(ball.abs_upper().str(1, radius=False)) if ball.is_finite() else "inf"


# Numbers to balls and back.


def balls(value: np.ndarray) -> Any:
    """Return an array of objects: a ball for each exact number, balls as they are."""
    if value.dtype == object:
        return value
    kind = value.dtype.kind
    numbers = value.astype(np.float64) if kind not in "biu" else value.astype(object)
    flat = np.empty(value.size, object)
    flat[:] = [arb(number) for number in numbers.ravel().tolist()]
    return flat.reshape(value.shape)


def nothing(shape: tuple[int, ...]) -> np.ndarray:
    """Return cotangents of which none has arrived; 0, and no ball, is 0 times anything."""
    zeros = np.empty(shape, object)
    zeros.fill(0)
    return zeros


def _scaled(cotangent: Any, slope: Any) -> Any:
    return 0 if isinstance(cotangent, WHOLE) and cotangent == 0 else cotangent * slope


scaled = np.frompyfunc(_scaled, 2, 1)
"""cotangent * slope, which is 0 where no cotangent arrives, be the slope finite or not."""


def each(function: Callable[..., Any], *values: np.ndarray) -> Any:
    """Apply a function of numbers entry by entry; a result with no axes is an array too."""
    result = np.empty(np.broadcast_shapes(*(v.shape for v in values)), object)
    result[...] = np.frompyfunc(function, len(values), 1)(*values)
    return result


def is_finite(ball: Any) -> bool:
    return isinstance(ball, WHOLE) or bool(ball.is_finite())


def zero_radius(ball: Any) -> bool:
    return isinstance(ball, WHOLE) or bool(ball.is_exact())


def rounded(values: np.ndarray) -> np.ndarray:
    """Return values as an engine has them, where rounding is looked at; else as they are."""
    change = perturbation.get()
    return values if change is None else change(balls(np.asarray(values)))


# Reverse mode.


@dataclass(frozen=True)
class Kink:
    """An entry at which both sides of a kink remain possible, and something depends on the side.

    effect: an upper bound of the cotangent that arrives there; certain: it is not zero
    """

    node: Enclosed
    index: tuple[int, ...]
    effect: float
    certain: bool = False

    @property
    def exact(self) -> bool:
        return bool(self.node.kinks[self.index] == 0)

    def __str__(self) -> str:
        gap = self.node.kinks[self.index]
        distance = "an exact tie" if self.exact else f"to within {short(gap)}"
        name = self.node.operation
        return f"{place(self.node, self.index)} is at the kink of {name}, {distance}"


def gradient_of(
    result: Enclosed, leaves: Sequence[Enclosed], watch: list[str] | None = None
) -> tuple[list[np.ndarray], list[Kink]]:
    """Return the derivatives of a result with one entry by each leaf, and the kinks on the way.

    watch: gets the operations whose slopes are not finite where what arrives there is
    """
    cotangents = {result.serial: np.full(result.shape, arb(1), object)}
    kinks: list[Kink] = []
    for node in sorted(_ancestors(result), key=lambda n: n.serial, reverse=True):
        cotangent = cotangents.get(node.serial)
        if cotangent is None or node.pullback is None:
            continue
        del cotangents[node.serial]
        kinks += _kinks(node, cotangent)
        for parent, share in zip(node.parents, node.pullback(cotangent), strict=True):
            if share is None or not parent.depends:
                continue
            if watch is not None and all_finite(cotangent) and not all_finite(share):
                watch.append(node.operation)
            before = cotangents.get(parent.serial)
            # Sums of nothing but whole numbers come back as NumPy's, and are objects here.
            share = np.asarray(share).astype(object, copy=False)
            together = share if before is None else rounded(before + share)
            cotangents[parent.serial] = np.asarray(together, object)
    arrived = (cotangents.get(leaf.serial, nothing(leaf.shape)) for leaf in leaves)
    return [each(lambda c: arb(c) if type(c) is int else c, leaf) for leaf in arrived], kinks


def all_finite(array: Any) -> bool:
    if np.asarray(array).dtype != object:
        return bool(np.isfinite(array).all())
    return all(is_finite(ball) for ball in np.ravel(array))


def _ancestors(result: Enclosed) -> list[Enclosed]:
    found, waiting = {result.serial: result}, [result]
    while waiting:
        for parent in waiting.pop().parents:
            if parent.depends and parent.serial not in found:
                found[parent.serial] = parent
                waiting.append(parent)
    return list(found.values())


def _kinks(node: Enclosed, cotangent: np.ndarray) -> list[Kink]:
    found = []
    for index in node.kinks:
        arriving = cotangent[index]
        if not (arriving == 0):
            effect = upper(arriving) if is_finite(arriving) else math.inf
            found.append(Kink(node, index, effect, not arriving.contains(0)))
    return found


def first_trouble(result: Enclosed) -> str | None:
    """Say which operation first gave entries that are not finite, or None."""
    for node in sorted(_ancestors(result), key=lambda n: n.serial):
        if node.value.dtype == object:
            finite = np.frompyfunc(is_finite, 1, 1)(node.value)
        elif node.value.dtype.kind == "f":
            finite = np.isfinite(node.value)
        else:
            continue
        if not np.all(finite):
            index = tuple(int(i) for i in np.argwhere(~np.asarray(finite, bool))[0])
            return f"{node.operation or 'a parameter'} is not finite at {list(index)}"
    return None
