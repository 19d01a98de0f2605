"""Random programs over the array API, with exact derivatives by dual numbers of this module's own.

A program is a list of steps, drawn from a seed, over leaves of 1 to 144 entries. Its values come
from the array namespace of its parameters (NumPy, JAX, PyTorch, ...); its derivatives come from
a table of tangent rules in NumPy, which share nothing with what gradparity does. About one in
ten programs has kinks at its point (`Program.kinks`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .scenario import Scenario

Array = Any
Path = tuple[Any, ...]

LARGEST_LEAF = 144
MOST_ENTRIES = 600  # of one intermediate array
CLEAR = 1e-4  # a kink farther away than this is none to float32, nor to a long step
MODERATE = 6.0  # larger values are scaled down before they go on


class Ties:
    """Which branch is taken where two values are compared, and where they are the same.

    shared: the first tangent decides for all of them (so that a gradient is one of a piece),
    else each decides for itself (so that a slope is the one-sided derivative along it)
    """

    def __init__(self, shared: bool):
        self.shared, self.smallest_gap, self.kinks = shared, math.inf, 0

    def deciding(self, tangent: np.ndarray) -> Array:
        return tangent[:1] if self.shared else tangent

    def note(self, gap: np.ndarray, tangent_gap: np.ndarray) -> None:
        differ = np.any(tangent_gap != 0, axis=0)
        gaps = np.abs(np.broadcast_to(gap, differ.shape)[differ])
        self.smallest_gap = min(self.smallest_gap, float(np.min(gaps, initial=math.inf)))
        self.kinks += int(np.count_nonzero(gaps == 0))

    def first(self, gap: np.ndarray, tangent_gap: np.ndarray) -> Array:
        """Return where the first of two branches is taken: where gap, its own value, grows."""
        self.note(gap, tangent_gap)
        return (gap > 0) | ((gap == 0) & (self.deciding(tangent_gap) >= 0))


# Values: (namespace, setting, *arrays) -> array.

VALUES: dict[str, Callable[..., Array]] = {
    "constant": lambda xp, c: c,
    "add": lambda xp, _, a, b: a + b,
    "subtract": lambda xp, _, a, b: a - b,
    "multiply": lambda xp, _, a, b: a * b,
    "divide": lambda xp, _, a, b: a / b,
    "logaddexp": lambda xp, _, a, b: xp.logaddexp(a, b),
    "hypot": lambda xp, _, a, b: xp.hypot(a, b),
    "maximum": lambda xp, _, a, b: xp.maximum(a, b),
    "minimum": lambda xp, _, a, b: xp.minimum(a, b),
    "where greater": lambda xp, _, a, b, c: xp.where(a > 0, b, c),
    "where": lambda xp, mask, a, b: xp.where(xp.asarray(mask), a, b),
    "scale": lambda xp, c, a: c * a,
    "shift": lambda xp, c, a: a + c,
    "power": lambda xp, c, a: a**c,
    "negative": lambda xp, _, a: -a,
    "sin": lambda xp, _, a: xp.sin(a),
    "cos": lambda xp, _, a: xp.cos(a),
    "tanh": lambda xp, _, a: xp.tanh(a),
    "exp": lambda xp, _, a: xp.exp(a),
    "expm1": lambda xp, _, a: xp.expm1(a),
    "log": lambda xp, _, a: xp.log(a),
    "log1p": lambda xp, _, a: xp.log1p(a),
    "sqrt": lambda xp, _, a: xp.sqrt(a),
    "atan": lambda xp, _, a: xp.atan(a),
    "sinh": lambda xp, _, a: xp.sinh(a),
    "abs": lambda xp, _, a: xp.abs(a),
    "clip": lambda xp, bounds, a: xp.clip(a, *bounds),
    "sum": lambda xp, s, a: xp.sum(a, axis=s[0], keepdims=s[1]),
    "mean": lambda xp, s, a: xp.mean(a, axis=s[0], keepdims=s[1]),
    "var": lambda xp, s, a: xp.var(a, axis=s[0], keepdims=s[1]),
    "prod": lambda xp, s, a: xp.prod(a, axis=s[0], keepdims=s[1]),
    "max": lambda xp, s, a: xp.max(a, axis=s[0], keepdims=s[1]),
    "min": lambda xp, s, a: xp.min(a, axis=s[0], keepdims=s[1]),
    "cumulative_sum": lambda xp, axis, a: xp.cumulative_sum(a, axis=axis),
    "sort": lambda xp, axis, a: xp.sort(a, axis=axis),
    "matmul": lambda xp, _, a, b: a @ b,
    "solve": lambda xp, _, a, b: xp.linalg.solve(a, b),
    "index": lambda xp, key, a: a[(..., *key)],
    "index with an array": lambda xp, s, a: a[(..., xp.asarray(s[0]), *s[1])],
    "take": lambda xp, s, a: xp.take(a, xp.asarray(s[0]), axis=s[1]),
    "reshape": lambda xp, shape, a: xp.reshape(a, shape),
    "permute": lambda xp, axes, a: xp.permute_dims(a, axes),
    "flip": lambda xp, axis, a: xp.flip(a, axis=axis),
    "roll": lambda xp, s, a: xp.roll(a, s[0], axis=s[1]),
    "broadcast": lambda xp, shape, a: xp.broadcast_to(a, shape),
    "expand": lambda xp, axis, a: xp.expand_dims(a, axis=axis),
    "concat": lambda xp, axis, *arrays: xp.concat(list(arrays), axis=axis),
    "stack": lambda xp, axis, *arrays: xp.stack(list(arrays), axis=axis),
}


# Tangents: (ties, setting, arrays, tangents, result) -> tangent. Each tangent has one leading
# axis, for the directions; axes in settings are negative, so that they mean the same beside it.


def _aligned(tangent: np.ndarray, dimensions: int) -> Array:
    """Return the tangent of an array that is broadcast to so many dimensions."""
    missing = dimensions + 1 - tangent.ndim
    return tangent.reshape(tangent.shape[0], *(1,) * missing, *tangent.shape[1:])


Rule = Callable[..., Array]


def _entrywise(slope: Callable[[Array, Array], Array]) -> Rule:
    """Return the rule of a function of one array, from its derivative (of input and output)."""
    return lambda ties, s, arrays, tangents, y: slope(arrays[0], y) * tangents[0]


def _pairwise(rule: Rule) -> Rule:
    def aligned(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
        both = [_aligned(tangent, y.ndim) for tangent in tangents]
        return np.broadcast_to(rule(ties, *arrays, *both, y), (len(tangents[0]), *y.shape))

    return aligned


def _linear(name: str) -> Rule:
    """Return the rule of a function that treats a tangent as it treats the array."""
    return lambda ties, s, arrays, tangents, y: VALUES[name](np, s, *tangents)


def _larger(ties: Ties, a: Any, b: Any, da: Any, db: Any, y: Any) -> Array:
    return np.where(ties.first(a - b, da - db), da, db)


def _smaller(ties: Ties, a: Any, b: Any, da: Any, db: Any, y: Any) -> Array:
    return np.where(ties.first(b - a, db - da), da, db)


def _where_greater(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    condition, first, second = (_aligned(tangent, y.ndim) for tangent in tangents)
    # A change of branch is a kink only where the branches have different slopes.
    chosen = ties.first(arrays[0], np.where(first != second, condition, 0.0))
    return np.where(chosen, first, second)


def _absolute(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    return np.where(ties.first(arrays[0], tangents[0]), tangents[0], -tangents[0])


def _clipped(ties: Ties, bounds: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    (a,), (da,), (low, high) = arrays, tangents, bounds
    raised = np.where(ties.first(a - low, da), da, 0.0)
    return np.where(ties.first(high - a, -raised), raised, 0.0)


def _all_axes(a: np.ndarray, axis: int | None) -> tuple[int, ...]:
    return tuple(range(-a.ndim, 0)) if axis is None else (axis,)


def _summed(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    return np.sum(tangents[0], axis=_all_axes(arrays[0], s[0]), keepdims=s[1])


def _averaged(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    return np.mean(tangents[0], axis=_all_axes(arrays[0], s[0]), keepdims=s[1])


def _variance(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    axes = _all_axes(arrays[0], s[0])
    centred = arrays[0] - np.mean(arrays[0], axis=axes, keepdims=True)
    return 2 * np.mean(centred * tangents[0], axis=axes, keepdims=s[1])


def _product(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    axes = _all_axes(arrays[0], s[0])
    whole = np.prod(arrays[0], axis=axes, keepdims=True)
    return np.sum(whole / arrays[0] * tangents[0], axis=axes, keepdims=s[1])


def _extreme(sign: int) -> Rule:
    def rule(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
        (a,), (da,), (axis, keepdims) = arrays, tangents, s
        kept = da.ndim - 1
        if axis is None:
            a, da, axis = a.reshape(-1), da.reshape(len(da), -1), -1
        a, da = np.moveaxis(sign * a, axis, -1), np.moveaxis(sign * da, axis, -1)
        deciding = np.broadcast_to(ties.deciding(da), da.shape)
        largest = np.max(a, axis=-1, keepdims=True)
        place = np.argmax(np.where(a == largest, deciding, -np.inf), axis=-1)[..., None]
        chosen = np.take_along_axis(da, place, axis=-1)
        ties.note(a + np.where(_one_at(place, a.shape), np.inf, 0) - largest, da - chosen)
        result = sign * chosen[..., 0]
        if keepdims:
            result = np.expand_dims(result, axis) if s[0] is not None else result
            result = result.reshape(len(da), *(1,) * kept) if s[0] is None else result
        return result

    return rule


def _one_at(place: np.ndarray, shape: tuple[int, ...]) -> Array:
    """Return a mask of the entry that the first direction has chosen."""
    return np.broadcast_to(np.arange(shape[-1]) == place[0], shape)


def _sorted(ties: Ties, axis: int, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    a = np.broadcast_to(np.moveaxis(arrays[0], axis, -1), np.moveaxis(tangents[0], axis, -1).shape)
    da = np.moveaxis(tangents[0], axis, -1)
    order = np.lexsort((np.broadcast_to(ties.deciding(da), da.shape), a), axis=-1)
    moved = np.take_along_axis(da, order, axis=-1)
    ties.note(np.diff(np.sort(a[0], axis=-1), axis=-1), np.diff(moved, axis=-1))
    return np.moveaxis(moved, -1, axis)


def _matrix_product(ties: Ties, s: Any, arrays: Any, tangents: Any, y: Any) -> Array:
    (a, b), (da, db) = arrays, tangents
    row, column = a.ndim == 1, b.ndim == 1
    if row:
        a, da = a[None, :], da[:, None, :]
    if column:
        b, db = b[:, None], db[:, :, None]
    dimensions = max(a.ndim, b.ndim)
    product = _aligned(da, dimensions) @ b + a @ _aligned(db, dimensions)
    if row:
        product = product[..., 0, :]
    return product[..., 0] if column else product


def _solution(ties: Ties, s: Any, arrays: Any, tangents: Any, y: np.ndarray) -> Array:
    return np.linalg.solve(arrays[0], tangents[1] - tangents[0] @ y)


TANGENTS: dict[str, Rule] = {
    "add": _pairwise(lambda ties, a, b, da, db, y: da + db),
    "subtract": _pairwise(lambda ties, a, b, da, db, y: da - db),
    "multiply": _pairwise(lambda ties, a, b, da, db, y: da * b + a * db),
    "divide": _pairwise(lambda ties, a, b, da, db, y: (da - y * db) / b),
    "logaddexp": _pairwise(lambda ties, a, b, da, db, y: np.exp(a - y) * da + np.exp(b - y) * db),
    "hypot": _pairwise(lambda ties, a, b, da, db, y: (a * da + b * db) / y),
    "maximum": _pairwise(_larger),
    "minimum": _pairwise(_smaller),
    "where greater": _where_greater,
    "where": lambda ties, mask, arrays, tangents, y: np.where(
        mask, *(_aligned(tangent, y.ndim) for tangent in tangents)
    ),
    "scale": lambda ties, c, arrays, tangents, y: c * tangents[0],
    "shift": lambda ties, c, arrays, tangents, y: tangents[0],
    "power": lambda ties, c, arrays, tangents, y: c * arrays[0] ** (c - 1) * tangents[0],
    "negative": _entrywise(lambda x, y: np.asarray(-1.0)),
    "sin": _entrywise(lambda x, y: np.cos(x)),
    "cos": _entrywise(lambda x, y: -np.sin(x)),
    "tanh": _entrywise(lambda x, y: 1 / np.cosh(x) ** 2),
    "exp": _entrywise(lambda x, y: y),
    "expm1": _entrywise(lambda x, y: np.exp(x)),
    "log": _entrywise(lambda x, y: 1 / x),
    "log1p": _entrywise(lambda x, y: 1 / (1 + x)),
    "sqrt": _entrywise(lambda x, y: 0.5 / y),
    "atan": _entrywise(lambda x, y: 1 / (1 + x * x)),
    "sinh": _entrywise(lambda x, y: np.cosh(x)),
    "abs": _absolute,
    "clip": _clipped,
    "sum": _summed,
    "mean": _averaged,
    "var": _variance,
    "prod": _product,
    "max": _extreme(1),
    "min": _extreme(-1),
    "cumulative_sum": lambda ties, axis, arrays, tangents, y: np.cumsum(tangents[0], axis=axis),
    "sort": _sorted,
    "matmul": _matrix_product,
    "solve": _solution,
    "index": _linear("index"),
    "index with an array": _linear("index with an array"),
    "take": _linear("take"),
    "reshape": lambda ties, shape, arrays, tangents, y: tangents[0].reshape(-1, *y.shape),
    "permute": lambda ties, axes, arrays, tangents, y: np.transpose(
        tangents[0], (0, *(axis + 1 for axis in axes))
    ),
    "flip": _linear("flip"),
    "roll": _linear("roll"),
    "broadcast": lambda ties, shape, arrays, tangents, y: np.broadcast_to(
        _aligned(tangents[0], y.ndim), (len(tangents[0]), *shape)
    ),
    "expand": _linear("expand"),
    "concat": _linear("concat"),
    "stack": _linear("stack"),
}


@dataclass(frozen=True)
class Step:
    """One operation on earlier results, by their numbers; the leaves come first."""

    name: str
    inputs: tuple[int, ...] = ()
    setting: Any = None


@dataclass(frozen=True)
class Program:
    """A function of one pytree of arrays, the point it was drawn at, and its derivatives there.

    kinks: whether the derivative jumps at the point in something that the program computes;
    gap: how far the nearest such place is, in the values that are compared there (0 at a kink)
    """

    seed: int
    paths: tuple[Path, ...] = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    params: Any = field(repr=False)
    kinks: bool = False
    gap: float = math.inf

    def __str__(self) -> str:
        shapes = ", ".join(str(leaf.shape) for leaf in self.leaves(self.params))
        return f"program {self.seed} of {shapes}: " + " ".join(step.name for step in self.steps)

    def leaves(self, tree: Any) -> list[Array]:
        return [_at(tree, path) for path in self.paths]

    def tree(self, leaves: list[Array]) -> Any:
        """Return a tree like the parameters with these leaves, in the order of `leaves`."""
        return _filled(self.params, self.paths, leaves)

    def scenario(self, name: str | None = None) -> Scenario:
        """Return the program at its point, as the other functions are kept."""
        name = f"random program {self.seed}" if name is None else name
        return Scenario(name, self.f, self.params, kinks=self.kinks)

    def f(self, params: Any) -> Array:
        """Return the program's value, a 0-d array of the namespace and dtype of the leaves."""
        results = self.leaves(params)
        xp, dtype = array_namespace(results[0]), results[0].dtype
        for step in self.steps:
            if step.name == "constant":
                results.append(xp.asarray(step.setting, dtype=dtype))
            else:
                inputs = (results[number] for number in step.inputs)
                results.append(VALUES[step.name](xp, step.setting, *inputs))
        return results[-1]

    def gradient(self) -> Any:
        """Return the exact gradient, a NumPy tree like the parameters.

        At a kink it is that of one of the pieces that meet there, the same for all entries: the
        one towards `side()`.
        """
        return self._tree(_gradient(self, Ties(True)))

    def side(self) -> Any:
        """Return the direction towards which kinks are resolved in the gradient."""
        entries = sum(leaf.size for leaf in self.leaves(self.params))
        return self._tree(np.random.default_rng([self.seed, 1]).normal(size=entries))

    def slope(self, direction: Any) -> float:
        """Return the exact one-sided derivative along a direction, a tree like the parameters.

        The other side's is minus that of the opposite direction: equal where there is no kink.
        """
        flat = np.concatenate([leaf.reshape(-1) for leaf in self.leaves(direction)])
        return float(_forward(self, flat[None], Ties(False))[0])

    def _tree(self, flat: np.ndarray) -> Any:
        ends = np.cumsum([leaf.size for leaf in self.leaves(self.params)])
        parts = np.split(flat, ends[:-1])
        shapes = [_at(self.params, path).shape for path in self.paths]
        return self.tree([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _filled(like: Any, paths: tuple[Path, ...], leaves: list[Array]) -> Any:
    """Return a tree like another with these leaves."""
    found = dict(zip(paths, leaves, strict=True))

    def fill(tree: Any, path: Path) -> Any:
        if isinstance(tree, dict):
            return {key: fill(value, (*path, key)) for key, value in tree.items()}
        if isinstance(tree, list):
            return [fill(value, (*path, key)) for key, value in enumerate(tree)]
        return found[path]

    return fill(like, ())


@np.errstate(over="ignore")  # 1 / cosh(x)**2 is 0 where the square overflows
def _forward(program: Program, directions: np.ndarray, ties: Ties) -> Array:
    """Return the slopes along directions of all entries, flat, one a row."""
    values = program.leaves(program.params)
    ends = np.cumsum([leaf.size for leaf in values])
    tangents = [
        part.reshape(len(directions), *leaf.shape)
        for part, leaf in zip(np.split(directions, ends[:-1], axis=1), values, strict=True)
    ]
    for step in program.steps:
        arrays = [values[number] for number in step.inputs]
        moved = [tangents[number] for number in step.inputs]
        value = np.asarray(VALUES[step.name](_numpy(), step.setting, *arrays))
        tangent = (
            np.zeros((len(directions), *value.shape))
            if step.name == "constant"
            else TANGENTS[step.name](ties, step.setting, arrays, moved, value)
        )
        values.append(value)
        tangents.append(tangent)
    return tangents[-1]


def _gradient(program: Program, ties: Ties) -> Array:
    side = np.concatenate([leaf.reshape(-1) for leaf in program.leaves(program.side())])
    return _forward(program, np.concatenate([side[None], np.eye(side.size)]), ties)[1:]


def _numpy() -> Any:
    return array_namespace(np.zeros(()))


# Drawing.

SMOOTH = ("sin", "cos", "tanh", "atan", "exp", "expm1", "sinh", "negative")
OF_POSITIVE = ("log", "log1p", "sqrt", "power")
PAIRS = ("add", "subtract", "multiply", "multiply", "divide", "logaddexp", "hypot")


class NoneFound(Exception):
    """Nothing in the draft fits what was to be drawn."""


class Draft:
    """A program while it is drawn: its steps, their values, and which results nothing uses yet.

    kinky: whether kinks are planted, by constants that meet the values they are compared with
    """

    def __init__(self, generator: np.random.Generator, leaves: list[np.ndarray], kinky: bool):
        self.generator, self.values, self.steps = generator, list(leaves), list[Step]()
        self.unused, self.constants, self.kinky = set(range(len(leaves))), set[int](), kinky

    def add(self, name: str, *inputs: int, setting: Any = None) -> int:
        arrays = [self.values[number] for number in inputs]
        value = np.asarray(VALUES[name](_numpy(), setting, *arrays))
        if value.size > MOST_ENTRIES:
            raise NoneFound
        self.values.append(value)
        self.steps.append(Step(name, inputs, setting))
        self.unused -= set(inputs)
        number = len(self.values) - 1
        (self.constants if name == "constant" else self.unused).add(number)
        return number

    def shape(self, number: int) -> tuple[int, ...]:
        return self.values[number].shape

    def constant(self, value: Any) -> int:
        return self.add("constant", setting=np.asarray(value, dtype=float))

    def normal(self, *shape: int) -> int:
        return self.constant(self.generator.normal(size=shape))

    def scaled(self, number: int, factor: float) -> int:
        return self.add("scale", number, setting=float(f"{factor:.3g}"))

    def moderate(self, number: int) -> int:
        largest = float(np.max(np.abs(self.values[number])))
        return self.scaled(number, 2 / largest) if largest > MODERATE else number

    def positive(self, number: int) -> int:
        """Return a result that is at least 0.2 everywhere."""
        if np.min(self.values[number]) > 0.2:
            return number
        if np.min(self.values[number]) > -1.5 and self.chance(0.5):
            return self.add("exp", number)
        return self.add("shift", self.add("multiply", number, number), setting=0.3)

    def chance(self, probability: float) -> bool:
        return bool(self.generator.random() < probability)

    def choose(self, options: Any) -> Any:
        return options[int(self.generator.integers(len(options)))]

    def pick(self, accept: Callable[[np.ndarray], bool] = lambda a: True) -> int:
        """Return a result that is accepted, sooner one that nothing uses yet."""
        found = [
            number
            for number, value in enumerate(self.values)
            if number not in self.constants and accept(value)
        ]
        fresh = [number for number in found if number in self.unused]
        if not found:
            raise NoneFound
        return int(self.choose(fresh if fresh and self.chance(0.7) else found))

    def axis(self, number: int) -> int:
        """Return an axis of a result, counted from the last one."""
        if not self.values[number].ndim:
            raise NoneFound
        return -1 - int(self.generator.integers(self.values[number].ndim))

    def partner(self, number: int) -> int:
        """Return something that broadcasts against a result."""
        shape = self.shape(number)

        def fits(value: np.ndarray) -> bool:
            try:
                return math.prod(np.broadcast_shapes(value.shape, shape)) <= MOST_ENTRIES
            except ValueError:
                return False

        if self.chance(0.7):
            return self.pick(fits)
        kept = shape[int(self.generator.integers(len(shape) + 1)) :]
        return self.normal(*(1 if self.chance(0.2) else length for length in kept))


def entrywise(draft: Draft) -> None:
    draft.add(draft.choose(SMOOTH), draft.moderate(draft.pick()))


def of_positive(draft: Draft) -> None:
    name = draft.choose(OF_POSITIVE)
    power = draft.choose((-1.5, -1, 0.5, 1.5, 2, 3)) if name == "power" else None
    draft.add(name, draft.positive(draft.moderate(draft.pick())), setting=power)


def pairwise(draft: Draft) -> None:
    name, one = draft.choose(PAIRS), draft.moderate(draft.pick())
    other = draft.moderate(draft.partner(one))
    if name in ("divide", "hypot"):
        other = draft.positive(other)
    draft.add(name, *((other, one) if name == "subtract" and draft.chance(0.5) else (one, other)))


def _reference(draft: Draft, number: int) -> int:
    """Return what a result is compared with; where kinks are planted, some of its own values."""
    if not draft.kinky:
        return draft.partner(number)
    value = draft.values[number]
    meets = draft.generator.random(value.shape) < 0.3
    return draft.constant(np.where(meets, value, draft.generator.normal(size=value.shape)))


def branching(draft: Draft) -> None:
    kind, one = draft.choose(("max", "min", "abs", "relu", "leaky", "clip", "huber")), draft.pick()
    one = draft.moderate(one)
    if kind in ("max", "min"):
        draft.add(f"{kind}imum", one, _reference(draft, one))
        return
    if draft.chance(0.5) or draft.kinky:
        one = draft.add("subtract", one, _reference(draft, one))
    if kind == "abs":
        draft.add("abs", one)
    elif kind == "relu":
        draft.add("maximum", one, draft.constant(0.0))
    elif kind == "leaky":
        draft.add("where greater", one, one, draft.scaled(one, 0.1))
    elif kind == "clip":
        draft.add("clip", one, setting=(-0.5, 0.75))
    else:
        distance = draft.add("abs", one)
        outside = draft.add("shift", distance, setting=-1.0)
        quadratic = draft.scaled(draft.add("multiply", one, one), 0.5)
        draft.add("where greater", outside, draft.add("shift", distance, setting=-0.5), quadratic)


def masked(draft: Draft) -> None:
    one = draft.pick(lambda a: a.ndim > 0)
    shape = draft.shape(one)
    if draft.chance(0.3):
        mask = np.tri(shape[-2], shape[-1]) > 0 if len(shape) > 1 else np.arange(shape[0]) % 2 == 0
    else:
        mask = draft.generator.random(shape) < 0.6
    other = draft.choose((draft.constant(0.0), draft.constant(-3.0), draft.add("tanh", one)))
    draft.add("where", one, other, setting=mask)


def reduced(draft: Draft) -> None:
    one = draft.moderate(draft.pick(lambda a: a.ndim > 0))
    names = ["sum", "mean", "var", "max", "min", "logsumexp", "norm", "prod"]
    name, keep = draft.choose(names), draft.chance(0.4)
    axis = None if draft.chance(0.15) else draft.axis(one)
    if name == "logsumexp":
        total = draft.add("sum", draft.add("exp", one), setting=(axis, keep))
        draft.add("log", total)
    elif name == "norm":
        total = draft.add("sum", draft.add("multiply", one, one), setting=(axis, keep))
        draft.add("sqrt", draft.add("shift", total, setting=0.1))
    elif name == "prod":
        if len(draft.shape(one)) == 1 and draft.shape(one)[0] > 12:
            raise NoneFound
        near_one = draft.add("shift", draft.scaled(draft.add("tanh", one), 0.3), setting=1.0)
        draft.add("prod", near_one, setting=(axis, keep))
    else:
        draft.add(name, one, setting=(axis, keep))


def product(draft: Draft) -> None:
    one = draft.pick(lambda a: a.ndim > 0)
    inner = draft.shape(one)[-1]

    def fits(value: np.ndarray) -> bool:
        return value.ndim > 0 and value.shape[-2 if value.ndim > 1 else -1] == inner

    kind = draft.choose(("constant", "pair", "pair", "transposed"))
    if kind == "constant":
        other = draft.normal(inner, int(draft.generator.integers(1, 9)))
    elif kind == "transposed":
        if len(draft.shape(one)) != 2:
            raise NoneFound
        other = draft.add("permute", one, setting=(1, 0))
    else:
        other = draft.pick(fits)
    try:
        result = draft.add("matmul", draft.moderate(one), draft.moderate(other))
    except ValueError as error:  # stacks that do not broadcast
        raise NoneFound from error
    draft.scaled(result, 1 / math.sqrt(inner))


def solved(draft: Draft) -> None:
    one = draft.pick(lambda a: a.ndim == 2 and a.shape[0] == a.shape[1] <= 8)
    size = draft.shape(one)[0]
    small = draft.scaled(draft.add("tanh", one), 0.5 / size)
    system = draft.add("add", small, draft.constant(np.eye(size)))
    right = draft.choose((draft.normal(size, 2), one))
    draft.add("solve", system, right)


def indexed(draft: Draft) -> None:
    one = draft.pick(lambda a: a.ndim > 0)
    axis = draft.axis(one)
    length = draft.shape(one)[axis]
    rest = (slice(None),) * (-1 - axis)
    kind = draft.choose(("take", "slice", "number", "array", "differences"))
    chosen = draft.generator.integers(length, size=int(draft.generator.integers(1, 7)))
    if kind == "take":
        draft.add("take", one, setting=(chosen, axis))
    elif kind == "array":
        draft.add("index with an array", one, setting=(chosen, rest))
    elif kind == "number":
        draft.add("index", one, setting=(int(draft.generator.integers(-length, length)), *rest))
    elif length < 2:
        raise NoneFound
    elif kind == "slice":
        keys = (slice(1, None), slice(None, -1), slice(None, None, 2))
        draft.add("index", one, setting=(draft.choose(keys), *rest))
    else:
        later = draft.add("index", one, setting=(slice(1, None), *rest))
        earlier = draft.add("index", one, setting=(slice(None, -1), *rest))
        draft.add("subtract", later, earlier)


def reshaped(draft: Draft) -> None:
    one = draft.pick(lambda a: a.ndim > 0)
    shape = draft.shape(one)
    kind = draft.choose(("flat", "permute", "flip", "roll", "broadcast", "expand", "split"))
    if kind == "flat":
        draft.add("reshape", one, setting=(-1,))
    elif kind == "permute":
        axes = tuple(int(axis) for axis in draft.generator.permutation(len(shape)))
        draft.add("permute", one, setting=axes)
    elif kind == "flip":
        draft.add("flip", one, setting=draft.axis(one))
    elif kind == "roll":
        draft.add("roll", one, setting=(int(draft.generator.integers(1, 4)), draft.axis(one)))
    elif kind == "broadcast":
        draft.add("broadcast", one, setting=(int(draft.generator.integers(2, 4)), *shape))
    elif kind == "expand":
        draft.add("expand", one, setting=draft.axis(one))
    else:
        divisors = [n for n in range(2, shape[-1]) if shape[-1] % n == 0]
        if not divisors:
            raise NoneFound
        n = draft.choose(divisors)
        draft.add("reshape", one, setting=(*shape[:-1], n, shape[-1] // n))


def joined(draft: Draft) -> None:
    one = draft.pick(lambda a: a.ndim > 0)
    shape, axis = draft.shape(one), draft.axis(one)

    def fits(value: np.ndarray) -> bool:
        at = value.ndim + axis
        return value.ndim == len(shape) and all(
            a == b for k, (a, b) in enumerate(zip(value.shape, shape, strict=True)) if k != at
        )

    other = draft.choose((draft.pick(fits), draft.normal(*shape), draft.add("sin", one)))
    if draft.shape(other) == shape and draft.chance(0.5):
        draft.add("stack", one, other, setting=axis)
    else:
        draft.add("concat", *draft.choose(((one, other), (other, one))), setting=axis)


def cumulated(draft: Draft) -> None:
    one = draft.moderate(draft.pick(lambda a: a.ndim > 0))
    if draft.chance(0.7):
        total = draft.add("cumulative_sum", one, setting=draft.axis(one))
        draft.scaled(total, 0.5)
    else:
        draft.add("sort", one, setting=draft.axis(one))


def _softmax(draft: Draft, one: int, axis: int) -> int:
    largest = draft.constant(np.max(draft.values[one], axis=axis, keepdims=True))
    if draft.chance(0.5):
        largest = draft.add("max", one, setting=(axis, True))
    powers = draft.add("exp", draft.add("subtract", one, largest))
    return draft.add("divide", powers, draft.add("sum", powers, setting=(axis, True)))


def normalised(draft: Draft) -> None:
    one = draft.moderate(draft.pick(lambda a: a.ndim > 0))
    axis, kind = draft.axis(one), draft.choose(("softmax", "layer", "unit", "log softmax"))
    if draft.shape(one)[axis] < 2:
        raise NoneFound
    if kind == "softmax":
        _softmax(draft, one, axis)
    elif kind == "log softmax":
        draft.add("log", draft.positive(_softmax(draft, one, axis)))
    elif kind == "layer":
        centred = draft.add("subtract", one, draft.add("mean", one, setting=(axis, True)))
        variance = draft.add("var", one, setting=(axis, True))
        root = draft.add("sqrt", draft.add("shift", variance, setting=1e-2))
        draft.add("divide", centred, root)
    else:
        squares = draft.add("sum", draft.add("multiply", one, one), setting=(axis, True))
        draft.add("divide", one, draft.add("sqrt", draft.add("shift", squares, setting=0.05)))


def attended(draft: Draft) -> None:
    """Let rows attend to rows, as a transformer's do."""
    one = draft.moderate(draft.pick(lambda a: a.ndim == 2 and min(a.shape) > 1))
    scores = draft.add("matmul", one, draft.add("permute", one, setting=(1, 0)))
    scores = draft.moderate(draft.scaled(scores, 1 / math.sqrt(draft.shape(one)[1])))
    draft.add("matmul", _softmax(draft, scores, -1), one)


def recurrent(draft: Draft) -> None:
    """Run a small recurrence over rows."""
    one = draft.moderate(draft.pick(lambda a: a.ndim == 2 and 2 <= a.shape[0] <= 6))
    rows, columns = draft.shape(one)
    weights = draft.scaled(draft.normal(columns, columns), 0.5 / math.sqrt(columns))
    state = draft.add("index", one, setting=(0, slice(None)))
    for row in range(1, rows):
        moved = draft.add("matmul", state, weights)
        entering = draft.add("index", one, setting=(row, slice(None)))
        state = draft.add("tanh", draft.add("add", moved, entering))


BUILDERS = (
    *(entrywise, entrywise, of_positive, pairwise, pairwise, pairwise, branching, masked),
    *(reduced, reduced, product, product, product, solved, indexed, indexed, reshaped, joined),
    *(cumulated, normalised, normalised, attended, recurrent),
)


def _loss(draft: Draft, one: int) -> int:
    """Return one number made of a result."""
    one, whole = draft.moderate(one), (None, False)
    shape = draft.shape(one)
    kind = draft.choose(("square", "logistic", "absolute", "weighted", "cross entropy", "hinge"))
    if kind == "cross entropy" and len(shape) == 2 and shape[1] > 1:
        labels = np.eye(shape[1])[draft.generator.integers(shape[1], size=shape[0])]
        likely = draft.add("shift", _softmax(draft, one, -1), setting=1e-2)
        chosen = draft.add("multiply", draft.add("log", likely), draft.constant(labels))
        return draft.scaled(draft.add("sum", chosen, setting=whole), -1 / shape[0])
    if kind == "weighted":
        weighted = draft.add("multiply", one, draft.normal(*shape))
        return draft.add("mean", weighted, setting=whole)
    residual = draft.add("subtract", one, draft.normal(*shape))
    if kind == "absolute":
        return draft.add("mean", draft.add("abs", residual), setting=whole)
    if kind == "hinge":
        positive = draft.add("maximum", residual, draft.constant(0.0))
        return draft.add("mean", draft.add("multiply", positive, residual), setting=whole)
    if kind == "logistic":
        return draft.add("mean", draft.add("log1p", draft.add("exp", residual)), setting=whole)
    return draft.add("mean", draft.add("multiply", residual, residual), setting=whole)


def _draw_leaf(generator: np.random.Generator) -> Array:
    size = int(np.exp(generator.uniform(0, math.log(LARGEST_LEAF + 1))))
    dimensions = int(generator.choice([0, 1, 1, 2, 2, 2, 3])) if size > 1 else 0
    if dimensions == 0 and size > 1:
        dimensions = 1
    shape = [1] * dimensions
    for axis in range(dimensions - 1):
        shape[axis] = int(generator.integers(1, math.isqrt(size) + 1))
        size //= shape[axis]
    if dimensions:
        shape[-1] = size
    leaf = generator.normal(size=[shape[k] for k in generator.permutation(dimensions)])
    return np.asarray(np.abs(leaf) + 0.3 if generator.random() < 0.2 else leaf)


def _draw_params(generator: np.random.Generator) -> Any:
    count = int(generator.integers(1, 7))
    leaves = [_draw_leaf(generator) for _ in range(count)]
    # Leaves that fit each other meet more often: a matrix, its bias, a second of its shape.
    matrices = [leaf for leaf in leaves if leaf.ndim == 2]
    if matrices and generator.random() < 0.7:
        like = matrices[0]
        leaves.append(generator.normal(size=like.shape[generator.integers(3) :]))
        most = min(7, 1 + LARGEST_LEAF // like.shape[1])
        leaves.append(generator.normal(size=(like.shape[1], int(generator.integers(1, most)))))
    if len(leaves) == 1 and generator.random() < 0.5:
        return leaves[0]
    if generator.random() < 0.2:
        return leaves
    params: dict[str, Any] = {}
    for number, leaf in enumerate(leaves):
        place = params
        for _ in range(int(generator.integers(3))):
            place = place.setdefault(f"block{int(generator.integers(2))}", {})
        place[f"p{number}"] = leaf
    return params


def _paths(tree: Any, path: Path = ()) -> list[Path]:
    """Return the paths of the leaves, in the order of pytrees: sorted keys."""
    if isinstance(tree, dict):
        return [found for key in sorted(tree) for found in _paths(tree[key], (*path, key))]
    if isinstance(tree, list):
        return [found for key, value in enumerate(tree) for found in _paths(value, (*path, key))]
    return [path]


def random_program(seed: int) -> Program:
    """Return the program of a seed: always the same one, its values and slopes moderate."""
    for attempt in range(100):
        generator = np.random.default_rng([seed, attempt])
        params = _draw_params(generator)
        paths = _paths(params)
        program = _drawn(seed, generator, params, paths)
        if program is not None:
            return program
    raise AssertionError(f"seed {seed} gave no program in 100 attempts")


def smooth_program(seed: int) -> Program:
    """Return the first program from this seed on that has no kink near its point."""
    program = random_program(seed)
    while program.gap < CLEAR:
        seed += 1
        program = random_program(seed)
    return program


def _drawn(
    seed: int, generator: np.random.Generator, params: Any, paths: list[Path]
) -> Program | None:
    kinky = bool(generator.random() < 0.1)
    draft = Draft(generator, [_at(params, path) for path in paths], kinky)
    for _ in range(int(generator.integers(2, 16))):
        try:
            draft.choose(BUILDERS)(draft)
            if kinky:
                branching(draft)
        except NoneFound:
            continue
    if len(paths) > 1 and generator.random() < 0.05:
        draft.unused.discard(int(generator.integers(len(paths))))  # a leaf that is not used
    ends = [number for number in sorted(draft.unused) if number not in draft.constants]
    if not ends:
        return None
    total = _loss(draft, ends[0])
    for number in ends[1:]:
        total = draft.add("add", total, _loss(draft, number))
    program, ties = Program(seed, tuple(paths), tuple(draft.steps), params), Ties(True)
    largest = float(np.max(np.abs(_gradient(program, ties))))
    if not (1e-3 < largest < 1e3 and abs(float(draft.values[-1])) < 1e3):
        return None
    return Program(seed, program.paths, program.steps, params, ties.kinks > 0, ties.smallest_gap)


# Faults.

Fault = tuple[str, Any]
# A leaf whose largest entry is below this share of the gradient's largest has no fault planted.
SMALLEST_SHARE = 1e-3


def planted_faults(gradient: Any, seed: int) -> list[Fault]:
    """Return the ways in which a right gradient is made wrong, with the wrong ones.

    Each is off by at least a thousandth of its leaf's largest entry, in a leaf that matters.
    """
    generator = np.random.default_rng([seed, 3])
    paths = _paths(gradient)
    leaves = [np.asarray(_at(gradient, path), dtype=float) for path in paths]
    largest = [float(np.max(np.abs(leaf), initial=0.0)) for leaf in leaves]
    matter = [k for k, size in enumerate(largest) if size > SMALLEST_SHARE * max(largest)]
    if not matter:
        return []
    whole: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "sign": lambda leaf: -leaf,
        "factor 2": lambda leaf: 2 * leaf,
        "factor 1 + 1e-3": lambda leaf: leaf * (1 + 1e-3),
        "missing 1/N": lambda leaf: leaf * int(generator.integers(3, 12)),
        "zero leaf": np.zeros_like,
        "transposed": lambda leaf: leaf.T.reshape(leaf.shape),
        "reversed": lambda leaf: leaf.reshape(-1)[::-1].reshape(leaf.shape),
        "rolled": lambda leaf: np.roll(leaf, 1, axis=-1) if leaf.ndim else leaf,
        "mean over an axis": lambda leaf: np.broadcast_to(
            leaf.mean(axis=0) if leaf.ndim else leaf, leaf.shape
        ).copy(),
        "clipped": lambda leaf: np.clip(leaf, -0.5 * abs(leaf).max(), 0.5 * abs(leaf).max()),
        "constant added": lambda leaf: leaf + 0.01 * np.max(np.abs(leaf)),
    }
    faults: list[tuple[str, list[np.ndarray]]] = []
    for name, change in whole.items():
        leaf = int(generator.choice(matter))
        faults.append((name, _with(leaves, leaf, change(leaves[leaf]))))
    faults += _entry_faults(leaves, matter, generator)
    faults.append(("all leaves by 1 + 1e-3", [leaf * (1 + 1e-3) for leaf in leaves]))
    faults.append(("all zeros", [np.zeros_like(leaf) for leaf in leaves]))
    pairs = [
        (one, other)
        for one in matter
        for other in range(len(leaves))
        if one != other and leaves[one].shape == leaves[other].shape
    ]
    if pairs:
        one, other = pairs[int(generator.integers(len(pairs)))]
        faults.append(
            ("swapped leaves", _with(_with(leaves, one, leaves[other]), other, leaves[one]))
        )
    return [
        (name, _filled(gradient, tuple(paths), wrong))
        for name, wrong in faults
        if _is_wrong(leaves, wrong, matter)
    ]


def _entry_faults(
    leaves: list[np.ndarray], matter: list[int], generator: np.random.Generator
) -> list[tuple[str, list[np.ndarray]]]:
    """Return gradients wrong in one entry, or with two of them exchanged."""
    leaf = int(generator.choice(matter))
    flat, size = leaves[leaf].reshape(-1), float(np.max(np.abs(leaves[leaf])))
    entry = int(generator.integers(flat.size))
    off, negated, swapped = flat.copy(), flat.copy(), flat.copy()
    off[entry] += 2e-3 * size
    largest = int(np.argmax(np.abs(flat)))
    negated[largest] *= -1
    swapped[[0, largest]] = swapped[[largest, 0]]
    shape = leaves[leaf].shape
    return [
        (name, _with(leaves, leaf, wrong.reshape(shape)))
        for name, wrong in (
            ("one entry", off),
            ("one entry's sign", negated),
            ("two entries exchanged", swapped),
        )
    ]


def _with(leaves: list[np.ndarray], leaf: int, changed: np.ndarray) -> list[np.ndarray]:
    return [changed if k == leaf else other for k, other in enumerate(leaves)]


def _is_wrong(right: list[np.ndarray], wrong: list[np.ndarray], matter: list[int]) -> bool:
    """Return whether a leaf that matters is off by a thousandth of its largest entry."""
    return any(
        np.max(np.abs(wrong[k] - right[k])) > 0.99e-3 * np.max(np.abs(right[k])) for k in matter
    )
