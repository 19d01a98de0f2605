"""A function at a point: evaluated in float64 on private copies, along directions, and counted."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import check_scalar
from gradparity.backends.errors import (
    GradparityError,
    ImpureFunction,
)
from gradparity.backends.framework_trees import hint_at_models, settled
from gradparity.backends.precision import EPSILON, UNIT_ROUNDOFF, dtype_name, is_floating
from gradparity.backends.pytrees import (
    Array,
    PyTree,
    flatten,
    is_array,
    leaf_names,
    numpy_view,
    private_numpy,
    tree_map,
    unflatten,
)
from gradparity.backends.registry import device_of
from gradparity.backends.rounding import Cast, Lifted, lift

from .hosts import (
    choose_backend,
    float64_backend,
    framework_of,
    native_args,
    other_engines,
    private_native,
)
from .leaves import (
    Direction,
    assembler,
    complex_numpy,
    holds_complex,
    largest,
    read_leaves,
    real_parts,
)
from .scalars import RANDOM, random_cotangent, scalarised
from .spending import Spending
from .thresholds import CALLS_BEFORE_COMPILING, LAST_BITS, MANY, OTHER_SCALE, ROUND_BITS, SMALL

# Backends that can run a function without its casts.
LIFTING = ("torch", "jax", "numerical")
MOST_CASTS = 3
SINGLE_BITS = 24


class FunctionFailed(GradparityError, RuntimeError):
    """The function to differentiate raised an error at the given parameters."""


class Function:
    """A real function of some leaves, of which nothing is known but its values.

    f may give one real number, or, with a cotangent, arrays: then it is <cotangent, f>. The
    framework whose arrays the parameters are, or which f turns out to want, evaluates f, as it is,
    in float64; the leaves are private copies, and an f that changes its inputs is refused.

    Casts of f to a lower precision are ignored where its framework can run it without them.

    leaves: what moves; native: these, in the arrays of `backend`
    value, again: f at the point, evaluated twice
    casts: those that are ignored
    evaluations: how often f has been called; where JAX compiles f, this counts its runs
    spending: what calls are asked of, those at the point itself granted
    edges: what f raised at moved points, with the number of times
    raises: InvalidParameters for no parameters, integers or NaN; NonScalarLoss; ImpureFunction;
        FunctionFailed when f raises at `params`
    """

    def __init__(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[PyTree, ...] = (),
        backend: str | Backend | None = None,
        cotangent: PyTree | None = None,
        spending: Spending | None = None,
    ) -> None:
        params = settled(params)
        self.given, self.structure = flatten(params)
        self._whole = assembler(self.given)
        self.leaves = read_leaves(self.given, leaf_names(params))
        self.is_large = sum(leaf.size for leaf in self.leaves) > MANY
        self.f, self.given_args, self.cotangent = f, args, cotangent
        self.evaluations = 0
        self.spending, self._is_read = spending, False
        self.edges: dict[str, int] = {}
        self.backend = choose_backend(backend, (self.given, args))
        self._compiled: Callable[..., Any] | None = None
        self._moves_inside = False
        self.casts: tuple[Cast, ...] = ()
        self.scalar: Callable[..., Any] = f
        self.value = self._first_value(named=backend is not None)
        self.again = self.value
        self._evaluate_again()
        is_numpy = self.backend.xp is np and not self.casts
        if is_numpy and self.value != self.again and not self.is_random:
            # On arrays that ignore casts, a number is an array, whose power is another's.
            self.value, self.again = self.again, self._number(self._evaluate(self.native))
        self._is_read = True

    def _evaluate_again(self) -> None:
        if self.is_large and self._compile():
            # Compiling freezes what is random in f: then it differs from the first value.
            self.again = self._number(self._evaluate(self.native))
            if not self.is_random:
                self.value, self.again = self.again, self._number(self._evaluate(self.native))
            return
        again, compiles = self.backend.watched(lambda: self._evaluate(self.native))
        self.again = self._number(again)
        if compiles and self.again == self.value and self._compile():
            self.value = self.again = self._number(self._evaluate(self.native))

    def _first_value(self, named: bool) -> float:
        tried: list[Exception] = []
        for engine in (self.backend, *(() if named else other_engines(self.backend))):
            self.backend = engine
            self._prepare()
            try:
                with np.errstate(all="ignore"):
                    value = self._evaluate_without_casts()
                break
            except GradparityError:
                raise
            except Exception as error:
                self._check_purity()
                tried.append(error)
        else:
            raise self._failure(tried[0]) from tried[0]
        wanted = framework_of((value,))
        if wanted and not named and wanted != self.backend.name:
            # A JAX function takes NumPy arrays, and would compute in float32 all the same.
            own, self.backend = self.backend, float64_backend(wanted, device_of(wanted, (value,)))
            try:
                return self._first_value(named=True)
            except FunctionFailed:
                self.backend = own  # f takes NumPy's arrays alone, whatever it makes of them
                return self._first_value(named=True)
        self._check_purity()
        return self._number(value)

    def _evaluate_without_casts(self) -> Any:
        """Evaluate f for the first time, and keep it without its casts if it makes any."""
        if self.backend.name not in LIFTING:
            return self._evaluate(self.native)
        lifted = lift(self.scalar, self.backend.name)
        try:
            # JAX tells from a trace, without running f; the others have to run it.
            if self.backend.name == "jax" and not lifted.lowers(self.native, *self.args):
                return self._evaluate(self.native)
            value = lifted.on_native(self.native, *self.args)
        except GradparityError:
            raise
        except Exception:  # f itself fails, which is better seen without the lifting
            return self._evaluate(self.native)
        self.count()
        lifted_alone = bool(lifted.casts)
        if lifted.widened and not lifted_alone:
            try:  # it may run in float64 with what it holds in a lower precision, such as masks
                return self._evaluate(self.native)
            except Exception:
                lifted_alone = True
        if lifted_alone:
            self.casts, self.scalar = lifted.casts, lifted
            self._eager = self.backend._scoped(lifted.on_native)
        return value

    def _prepare(self) -> None:
        self.native = [self._shared(leaf.array) for leaf in self.leaves]
        self.args = native_args(self.backend, self.given_args)
        self.casts, self.scalar = (), self.f
        self.scalar = self.scalar_for(self.backend)
        self._eager = self.backend._scoped(self.scalar)
        self._compiled = None

    def scalar_for(self, backend: Backend) -> Callable[..., Any]:
        """Return the real function of a list of real leaves, in a backend's arrays.

        It is `Lifted` where f runs without its casts.
        """
        cotangent = None
        if self.cotangent is RANDOM:
            cotangent = functools.partial(random_cotangent, backend)
        elif self.cotangent is not None:
            (cotangent,) = native_args(backend, (self.cotangent,))
            if self.backend.name == "jax":  # whose product is the sum of w z, not of conj(w) z
                cotangent = tree_map(lambda weight: weight.conjugate(), cotangent)
        scalar = scalarised(self.f, self.structure, self.given, cotangent)
        # What it holds in a lower precision is no cast, and is widened, too.
        is_lifted = isinstance(self.scalar, Lifted) and backend.name in LIFTING
        return lift(scalar, backend.name) if is_lifted else scalar

    def gradient_by(self, backend: Backend) -> Callable[..., PyTree]:
        """Return `(params, *args) -> gradient` in a backend's arrays, without f's casts."""
        if not isinstance(self.scalar, Lifted):
            differentiate = backend.value_and_gradient(self.f)
            # In the engine's arrays, so that it may be differentiated once more.
            return lambda params, *args: differentiate(params, *args)[1]
        lifted = lift(self.f, backend.name)
        return lambda params, *args: backend.asarray(lifted.value_and_gradient(params, *args)[1])

    def moved(self, by: Sequence[np.ndarray]) -> "Function":
        """Return the same function at another point; by: for each leaf, flat."""
        there = [
            # Of an array without axes NumPy makes a number.
            self._moved_native(np.asarray(leaf.array + off.reshape(leaf.array.shape)))
            for leaf, off in zip(self.leaves, by, strict=True)
        ]
        params, args = self._assemble(there), self.given_args
        with np.errstate(all="ignore"):  # it may be beyond the domain of f
            return Function(self.f, params, args, self.backend, self.cotangent, self.spending)

    @property
    def params(self) -> PyTree:
        """The parameters as they were handed over."""
        return unflatten(self.structure, self.given)

    def count(self) -> None:
        """Ask for one call of f, and count it; raises BudgetSpent."""
        if self.spending is not None:
            self.spending.before_call(binding=self._is_read)
        self.evaluations += 1

    def _evaluate(
        self, leaves: list[Array], tangents: list[Array | None] | None = None, shift: float = 0.0
    ) -> Any:
        """Return f at leaves + shift * tangents, native arrays; None for a leaf that stays."""
        self.count()
        if self._compiled is None and self.evaluations > CALLS_BEFORE_COMPILING:
            self._compile()
        run = self._compiled or self._eager
        try:
            if not self._moves_inside:
                return run(self._at(leaves, tangents, shift), *self.args)
            if tangents is None or any(tangent is None for tangent in tangents):
                there = self._at(leaves, tangents, shift)
                return run(there, there, 0.0, *self.args)
            return run(leaves, tangents, shift, *self.args)
        except Exception:
            if run is self._eager:
                raise
            # Not every function can be traced: one that branches on values runs eagerly.
            self._compiled, self._moves_inside = self._eager, False
            return self._eager(self._at(leaves, tangents, shift), *self.args)

    def _at(
        self, leaves: list[Array], tangents: list[Array | None] | None, shift: float
    ) -> list[Array]:
        if tangents is None:
            return leaves
        moved = self.backend._scoped(self.backend.moved)
        return [
            leaf if tangent is None else moved(leaf, tangent, shift)
            for leaf, tangent in zip(leaves, tangents, strict=True)
        ]

    def _compile(self) -> bool:
        scalar = self.scalar
        # What moves a large point inside of the program needs no memory for it.
        inside = self.is_large and not self.casts

        def along(leaves: list[Array], tangents: list[Array], shift: float, *args: PyTree) -> Any:
            return scalar(self._at(leaves, tangents, shift), *args)

        program = along if inside else scalar
        compiled = self.backend.compile_alike(program)
        self._moves_inside = inside and compiled is not program
        self._compiled = self._eager if compiled is program else compiled
        return self._compiled is not self._eager

    def _shared(self, array: np.ndarray) -> Array:
        """Return a private, read-only array as a native one, in the same memory where it can be."""
        if self.backend.xp is np:
            view = array.view()
            view.flags.writeable = False
            return view
        array.flags.writeable = True  # torch warns of others
        try:
            return self._moved_native(array)
        finally:
            array.flags.writeable = False

    def _moved_native(self, array: np.ndarray) -> Array:
        """Return an array that nobody else holds as a native one, without a copy where it can."""
        if self.backend.xp is np:
            return array
        return self.backend._scoped(self.backend.to_native)(array)

    def _check_purity(self) -> None:
        given = [leaf for leaf in flatten(self.given_args)[0] if is_array(leaf)]
        used = [leaf for leaf in flatten(self.args)[0] if is_array(leaf)]
        pairs = [
            *(
                (leaf.name, native, original)
                for leaf, native, original in zip(self.leaves, self.native, self.given, strict=True)
            ),
            *(
                ("an argument", native, original)
                for native, original in zip(used, given, strict=True)
            ),
        ]
        for name, native, original in pairs:
            if native is original or framework_of((native,)) == "jax":
                continue  # JAX's arrays cannot be changed
            if not _same(native, original):
                raise ImpureFunction(
                    f"{name or 'params'}: {name_of(self.f)} changed it in place; expected a pure "
                    "function: work on a copy, for instance x = x + 0"
                )

    def _failure(self, error: Exception) -> Exception:
        shapes = ", ".join(f"{leaf.name or 'params'} {leaf.shape}" for leaf in self.leaves[:4])
        return FunctionFailed(
            f"{name_of(self.f)} raised {type(error).__name__} on float64 arrays of "
            f"{self.backend.requirement} ({shapes}){_user_line(error)}: {error}; expected a "
            "number. "
            + (
                hint_at_models(self.f)
                or "If it wants another framework's arrays, pass those, or backend='torch' or 'jax'"
            )
        )

    def _number(self, value: Any) -> float:
        check_scalar(self.f, value)
        self._roundoff = UNIT_ROUNDOFF.get(dtype_name(value), 0.0)
        # torch warns when a tensor that requires a gradient becomes a number.
        return float(value.detach() if hasattr(value, "detach") else value)

    def at(self, moved: Mapping[int, np.ndarray]) -> float:
        """Return f with some leaves replaced; NaN where it raises, which is noted in `edges`."""
        leaves = self._replaced(moved)
        return self._as_number(self._beside(lambda: self._evaluate(leaves), bool(moved)))

    def outputs(self, moved: Mapping[int, np.ndarray]) -> PyTree | None:
        """Return f as it is, with some leaves replaced; None where it raises."""
        leaves = self._replaced(moved)

        def run() -> PyTree:
            self.count()
            return self._whole_output(leaves, *self.args)

        return self._beside(run, bool(moved))

    def _replaced(self, moved: Mapping[int, np.ndarray]) -> list[Array]:
        leaves = list(self.native)
        for position, leaf in moved.items():
            leaves[position] = self._moved_native(leaf)
        return leaves

    def _beside(self, run: Callable[[], Any], is_moved: bool = True) -> Any:
        """Return what f gives beside the point; None where it raises."""
        try:
            with np.errstate(all="ignore"):
                return run()
        except (GradparityError, TimeoutError, MemoryError):
            raise
        except Exception as error:
            if not is_moved:
                raise self._failure(error) from error
            # The edge of a domain, or the user's own error: it is reported.
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            self.edges[text] = self.edges.get(text, 0) + 1
            return None

    def _as_number(self, value: Any) -> float:
        return math.nan if value is None else self._number(value)

    def along(self, direction: Direction) -> Callable[[float], float]:
        """Return `shift -> f(point + shift * direction)`."""
        # Few numbers are moved faster by NumPy than by an operation of JAX.
        if self.backend.name == "torch" or self.is_large:
            if all(span.size == self.leaves[span.leaf].size for span in direction):
                return self._natively_along(direction)
        # The leaves that move lie one after the other: thousands of them take one operation.
        moving = list(dict.fromkeys(span.leaf for span in direction))
        arrays = [self.leaves[leaf].array for leaf in moving]
        flat = [array.reshape(-1) for array in arrays]
        start = flat[0] if len(flat) == 1 else np.concatenate(flat)
        edges = [0, *itertools.accumulate(array.size for array in arrays)]
        places = itertools.starmap(slice, itertools.pairwise(edges))
        own = list(zip(moving, places, (array.shape for array in arrays), strict=True))
        first = dict(zip(moving, edges, strict=False))
        parts = [
            (slice(first[span.leaf] + span.start, first[span.leaf] + span.stop), weights)
            for span, weights in direction.items()
        ]
        if len(parts) == len(moving) and sum(span.size for span in direction) == start.size:
            parts = [(slice(None), np.concatenate([*direction.values()]))]

        def value(shift: float) -> float:
            if shift == 0.0:
                return self.value
            moved = start.copy()
            for part, weights in parts:
                moved[part] += shift * weights
            return self.at({leaf: moved[place].reshape(shape) for leaf, place, shape in own})

        return value

    def _natively_along(self, direction: Direction) -> Callable[[float], float]:
        """Return `shift -> f(point + shift * direction)` for whole leaves, moved by the backend."""
        tangents: list[Array | None] = [
            None if leaf.size else native
            for leaf, native in zip(self.leaves, self.native, strict=True)
        ]
        for span, weights in direction.items():
            shape = self.leaves[span.leaf].array.shape
            tangents[span.leaf] = self._moved_native(weights.reshape(shape))

        def value(shift: float) -> float:
            if shift == 0.0:
                return self.value
            return self._as_number(
                self._beside(lambda: self._evaluate(self.native, tangents, shift))
            )

        return value

    def entry_steps(self, leaf: int, entry: int) -> tuple[float, ...]:
        """Return unrelated steps by one entry; the second for one that is small, if it is."""
        scale = self.leaves[leaf].scale
        own = abs(float(self.leaves[leaf].array.reshape(-1)[entry]))
        if not 0 < own < SMALL * scale:
            return scale, OTHER_SCALE * scale
        # The edge of a domain may be as near as an entry is small, or f too flat to be seen there.
        return scale, OTHER_SCALE * 2 * own, OTHER_SCALE * scale

    @functools.cached_property
    def _whole_output(self) -> Callable[..., PyTree]:
        def run(leaves: list[Array], *args: PyTree) -> PyTree:
            return self.f(self._assemble(leaves), *args)

        if isinstance(self.scalar, Lifted):
            return self.backend._scoped(lift(run, self.backend.name).on_native)
        traced = self._compiled not in (None, self._eager)
        return self.backend.compile_alike(run) if traced else self.backend._scoped(run)

    def _assemble(self, leaves: Sequence[Array]) -> PyTree:
        return unflatten(self.structure, self._whole(leaves))

    def resolution(self, direction: Direction) -> float:
        """Return the spacing of shifts that the entries can tell apart, as f computes."""
        epsilon = 2 * UNIT_ROUNDOFF.get(self.computes_in, EPSILON / 2)
        spacings = []
        for span, weights in direction.items():
            moved = self.leaves[span.leaf].array.reshape(-1)[span.start : span.stop]
            if weight := largest(weights):
                whole = span.size == self.leaves[span.leaf].size
                peak = self.leaves[span.leaf].largest if whole else largest(moved)
                spacings.append(epsilon * peak / weight)
        return max(spacings, default=0.0)

    @property
    def is_random(self) -> bool:
        """Tell whether two values at one point differ by more than another order of summation."""
        if self.value == self.again or math.isnan(self.value) and math.isnan(self.again):
            return False
        return not abs(self.again - self.value) <= LAST_BITS * max(abs(self.value), abs(self.again))

    @property
    def blocked(self) -> str:
        """Say why no derivative can be measured here, "" where one can."""
        if self.is_random:
            return (
                f"f gives {self.value!r} and {self.again!r} at the same point: fix its seed, or "
                "call model.eval()"
            )
        if not math.isfinite(self.value):
            return f"f is {self.value} at the parameters: there is no derivative to compare with"
        return ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Say what f raised at moved points, and which casts of f were ignored."""
        lifted = [f"without f's casts {listed_casts(self.casts)}"] if self.casts else []
        if self.computes_in:
            lifted = [
                f"f's values are {self.computes_in} numbers: what is between them cannot be seen"
            ]
        return tuple(lifted) + tuple(
            f"f raised {text} at {times} points nearby, which count as beyond its domain"
            for text, times in list(self.edges.items())[:2]
        )

    @functools.cached_property
    def computes_in(self) -> str:
        """The lower precision that the values of f are numbers of, "" for none or for few bits."""
        if _has_bits(self.value, ROUND_BITS) or not _has_bits(self.value, SINGLE_BITS):
            return ""
        # Round parameters may have a round value: at others a function in float64 has none.
        elsewhere = self.perturbed(1 / 8, (0,)) if _has_bits(self.again, SINGLE_BITS) else math.nan
        return "float32" if _has_bits(elsewhere, SINGLE_BITS) else ""

    @property
    def dtype(self) -> str:
        """The dtype of the parameters as they were handed over; the coarsest, where they differ."""
        names = [dtype_name(leaf) for leaf in self.given]
        return max(names, key=lambda name: UNIT_ROUNDOFF.get(name, 0.0))

    @property
    def is_double(self) -> bool:
        return UNIT_ROUNDOFF.get(self.dtype, EPSILON) <= EPSILON

    @property
    def unsteadiness(self) -> float:
        if self.is_random:
            return 0.0
        # A constant of few bits does not show that it is a number of a smaller dtype.
        unit = max(self._roundoff, UNIT_ROUNDOFF.get(self.computes_in, 0.0))
        grain = unit * abs(self.value) if unit > EPSILON else 0.0
        return max(abs(self.again - self.value), grain)

    def call(self, rule: Callable[..., Any]) -> Any:
        """Return rule(params, *args) for private copies, in the dtype that was handed over."""
        native = [
            private_native(self.backend, leaf, kept)
            for leaf, kept in zip(self.given, self.native, strict=True)
        ]
        args = tuple(
            tree_map(lambda leaf: private_native(self.backend, leaf, leaf), arg)
            for arg in self.given_args
        )
        run = self.backend._scoped(rule) if self.is_double else rule
        return run(unflatten(self.structure, native), *args)

    def like_params(self, arrays: Sequence[np.ndarray]) -> PyTree:
        """Return private float64 arrays as `call` hands parameters over: in their own dtype."""

        def like(array: np.ndarray, given: Any) -> Any:
            native = self.backend._scoped(self.backend.to_native)(array)
            if self.is_double or not is_array(given):
                return native
            if framework_of((given,)):
                return self.backend.xp.astype(native, given.dtype)
            return private_native(self.backend, array.astype(given.dtype), native)

        return unflatten(self.structure, map(like, arrays, self.given))

    def call_in_float64(self, rule: Callable[..., Any]) -> Any:
        """Return rule(params, *args) for float64 arrays of the framework that evaluates f."""
        leaves = [self._shared(leaf.array.copy()) for leaf in self.leaves]
        return self.backend._scoped(rule)(self._assemble(leaves), *self.args)

    def perturbed(self, size: float, seed: Sequence[int]) -> float:
        """Return f with all parameters and arguments off by up to `size`, relatively."""
        rng = np.random.default_rng(seed)

        def moved(leaf: Any) -> Any:
            if not (is_array(leaf) and is_floating(leaf.dtype)):
                return leaf
            array = private_numpy(leaf, "float64")
            return self._moved_native(array * (1 + size * rng.uniform(-1, 1, array.shape)))

        args = tuple(tree_map(moved, arg) for arg in self.given_args)
        leaves = [moved(leaf.array) for leaf in self.leaves]
        self.count()
        try:
            return self._number(self._eager(leaves, *args))
        except Exception:
            return math.nan


def _has_bits(value: float, bits: int) -> bool:
    """Tell whether a number has no more than so many significant bits."""
    return math.isfinite(value) and math.ldexp(math.frexp(value)[0], bits) % 1 == 0


def listed_casts(casts: Sequence[Cast]) -> str:
    """Name a few casts, each with the line of f that asks for it."""
    more = f", and {len(casts) - MOST_CASTS} more" if len(casts) > MOST_CASTS else ""
    return ", ".join(map(str, casts[:MOST_CASTS])) + more


def name_of(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", None) or type(f).__name__


def _user_line(error: Exception) -> str:
    """Say where the user's own code raised, the innermost line outside of installed packages."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if "site-packages" not in path and "gradparity" not in trace.tb_frame.f_globals.get(
            "__name__", ""
        ):
            where = f" at {path}:{trace.tb_lineno}"
        trace = trace.tb_next
    return where


def _same(native: Any, original: Any) -> bool:
    one, two = (
        real_parts(complex_numpy(leaf)) if holds_complex(leaf) else numpy_view(leaf)
        for leaf in (native, original)
    )
    return np.array_equal(one, two) or np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
