"""JAX: reverse mode by tracing, jit, and a fused training loop."""

import functools
import hashlib
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np

from .base import Backend, ModelFunction, Operator
from .errors import InvalidParameters
from .framework_trees import FrameworkStructure
from .pytrees import Array, PyTree, check_same_shapes, flatten, private_numpy

# What JAX reports of each program that it compiles.
COMPILED = "/jax/core/compile/backend_compile_duration"
# Programs that are kept, and the numbers that one may hold: to compare more takes memory.
MOST_PROGRAMS, MOST_CONSTANTS = 64, 2**20


class JaxAutodiff(Backend):
    """Differentiate with `jax.value_and_grad`, `jax.jvp` and `jax.vjp`.

    float64 is switched on for the duration of each call, in this thread only: the process's own
    JAX configuration stays as it is.
    """

    name: ClassVar[str] = "jax"
    requirement: ClassVar[str] = "jax"
    fused_scan: ClassVar[bool] = True

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        platforms = {device.platform for device in jax.devices()} | {"cpu"}
        return tuple(
            f"{device.platform}:{device.id}" if indexed else device.platform
            for platform in sorted(platforms)
            for device in jax.devices(platform)
            for indexed in ((False, True) if device.id == 0 else (True,))
        )

    @property
    def xp(self) -> Any:
        return jnp

    def _is_native(self, leaf: Any) -> bool:
        return isinstance(leaf, jax.Array)

    def to_native(self, array: np.ndarray) -> Array:
        # JAX may read, or keep, the buffer after this returns: it is ours alone.
        platform, _, index = (self.device or "").partition(":")
        device = jax.devices(platform)[int(index or 0)] if platform else None
        if self.dtype == "float32" and array.dtype in (np.int64, np.uint64):
            array = _halved(array)
        with jax.enable_x64(True):  # otherwise float64 and int64 arrays would lose half their bits
            return jax.device_put(array, device)

    def _scoped(self, operator: Operator) -> Operator:
        double = self.dtype == "float64"

        @functools.wraps(operator)
        def scoped(*args: Any) -> Any:
            if jax.enable_x64.value == double:  # entering a context costs a microsecond
                return operator(*args)
            with jax.enable_x64(double):
                return operator(*args)

        return scoped

    def wait(self, tree: PyTree) -> PyTree:
        return jax.block_until_ready(tree)

    def differentiate(self, f: ModelFunction) -> Operator:
        direct = jax.value_and_grad(f)
        array_type = type(self.asarray(0.0))

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            if _all_of(array_type, (params,)):
                return direct(params, *args)
            of_leaves, leaves, rebuild = _opened(f, params)
            value, gradient = jax.value_and_grad(of_leaves)(leaves, *args)
            return value, rebuild(gradient)

        return value_and_gradient

    def pullback(self, f: ModelFunction) -> Operator:
        def pullback(params: PyTree, cotangent: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
            args = self._native_args(args)
            (cotangent,) = self._native_args((cotangent,))
            of_leaves, leaves, rebuild = _opened(f, self._native_params(params))
            output, vjp = jax.vjp(lambda primal: of_leaves(primal, *args), leaves)
            check_same_shapes("cotangent", cotangent, "the output of f", output)
            return output, rebuild(vjp(cotangent)[0])

        return self._scoped(pullback)

    def pushforward(self, f: ModelFunction) -> Operator:
        def pushforward(params: PyTree, tangent: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
            params, args = self._native_params(params), self._native_args(args)
            (tangent,) = self._native_args((tangent,))
            check_same_shapes("tangent", tangent, "params", params)
            of_leaves, leaves, _ = _opened(f, params)
            tangents = flatten(tangent)[0] if leaves is not params else tangent
            return jax.jvp(lambda primal: of_leaves(primal, *args), (leaves,), (tangents,))

        return self._scoped(pushforward)

    def other_gradients(self, f: ModelFunction) -> dict[str, Operator]:
        return {"jit": _compiled_gradient(self, f)}

    def compile(self, f: Operator) -> Operator:
        """Return f under `jax.jit`; the first call with new shapes or dtypes compiles."""
        jitted, double, enabled = jax.jit(f), self.dtype == "float64", jax.enable_x64
        array_type = type(self.asarray(0.0))

        def compiled(*args: PyTree) -> Any:
            if not _all_of(array_type, args):
                # jit reads NumPy buffers while the caller may already change them.
                args = jax.tree_util.tree_map(_own, args)
            if enabled.value == double:
                return jitted(*args)
            with jax.enable_x64(double):
                return jitted(*args)

        return compiled

    def compile_alike(self, f: Operator) -> Operator:
        jitted, programs = jax.jit(f), list[Operator]()

        def compiled(*args: PyTree) -> Any:
            if not programs:
                programs.append(_program(jitted, args))
            return programs[0](*args)

        return self._scoped(compiled)

    def watched(self, call: Callable[[], Any]) -> tuple[Any, bool]:
        """Return what a call returns, and whether JAX compiled anything for it.

        A second call of the same function does where it has loops, branches or jit inside, of
        closures that are new each time.
        """
        compiled = []

        def listen(event: str, duration_secs: float, **_: Any) -> None:
            if event == COMPILED:
                compiled.append(duration_secs)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            return call(), bool(compiled)
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)

    def scan(
        self, step: Operator, carry: PyTree, batches: PyTree, *constants: PyTree
    ) -> tuple[PyTree, PyTree]:
        """Run the loop as one compiled `lax.scan`, compiled once for each step function."""
        carry, outputs = self._scoped(functools.partial(_scan, step))(carry, batches, constants)
        return carry, outputs


# The latest ones, by all that they are made of.
_programs: dict[Any, Operator] = {}


def _program(jitted: Any, args: tuple[PyTree, ...]) -> Operator:
    """Return a compiled program, an earlier one if it is the same to the last bit of its constants.

    Tracing f and writing its program down takes a part of the time that compiling takes. What f
    captures are constants of the program, unless JAX is set to hand them over apart from it;
    Python functions that it calls back are not written down.
    """
    traced = jitted.trace(*args)
    lowered = traced.lower()
    constants = sum(np.size(constant) for constant in traced.jaxpr.consts)
    apart = getattr(jax.config, "jax_use_simplified_jaxpr_constants", True)
    program: Operator
    if apart or constants > MOST_CONSTANTS or "callback" in (text := lowered.as_text()):
        program = lowered.compile()
        return program
    leaves, structure = jax.tree_util.tree_flatten(args)
    places = tuple(leaf.device for leaf in leaves if isinstance(leaf, jax.Array))
    outputs = jax.tree_util.tree_structure(lowered.out_info)
    key = hashlib.sha256(text.encode()).digest(), structure, outputs, places
    if key not in _programs:
        if len(_programs) >= MOST_PROGRAMS:
            _programs.clear()
        _programs[key] = lowered.compile()
    return _programs[key]


# By function: compiling a small one takes longer than all else that is asked about it. The compiled
# ones do not keep a function alive.
_compiled: weakref.WeakKeyDictionary[Any, dict[tuple[str, Backend], Operator]] = (
    weakref.WeakKeyDictionary()
)


def _compiled_gradient(backend: Backend, f: ModelFunction) -> Operator:
    # A bound method is another object at every look; what it is bound to stays the same.
    owner, name = getattr(f, "__self__", None), getattr(f, "__name__", "")
    bound = owner is not None and getattr(owner, name, None) == f
    key, method = (owner, name) if bound else (f, "")
    try:
        ways = _compiled.setdefault(key, {})
    except TypeError:  # it has no weak reference, or no hash
        return backend.compile(backend._gradient(f))
    if (method, backend) not in ways:
        reference = weakref.ref(key)

        def same(*args: Any) -> Any:
            alive: Any = reference()
            return (getattr(alive, method) if method else alive)(*args)

        ways[method, backend] = backend.compile(backend._gradient(same))
    return ways[method, backend]


def _opened(
    f: ModelFunction, params: PyTree
) -> tuple[ModelFunction, PyTree, Callable[[PyTree], PyTree]]:
    """Return f of the floating arrays alone, these, and what puts their like back into a tree.

    JAX refuses to differentiate by a tree that holds other things too, as Equinox modules do.
    """
    leaves, structure = flatten(params)
    if not isinstance(structure, FrameworkStructure):
        return f, params, lambda tree: tree
    return lambda own, *args: f(structure.unflatten(own), *args), leaves, structure.unflatten


def _halved(integers: np.ndarray) -> np.ndarray:
    """Return integers of 32 bits: JAX in float32 has no others, and warns of each that it meets."""
    halved = integers.astype(np.int32 if integers.dtype == np.int64 else np.uint32)
    if (halved != integers).any():
        raise InvalidParameters(
            f"got {integers.dtype} values beyond {halved.dtype}, expected integers of 32 bits: "
            "JAX keeps larger ones only with dtype='float64'"
        )
    return halved


def _all_of(array_type: type, args: tuple[PyTree, ...]) -> bool:
    """Tell whether all args are such arrays, or flat dicts of them; in a third of a microsecond."""
    for arg in args:
        if type(arg) is dict:
            for leaf in arg.values():
                if type(leaf) is not array_type:
                    return False
        elif type(arg) is not array_type:
            return False
    return True


def _own(leaf: Any) -> Any:
    return private_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf


@functools.partial(jax.jit, static_argnums=0)
def _scan(step: Operator, carry: PyTree, batches: PyTree, constants: tuple[PyTree, ...]) -> Any:
    return jax.lax.scan(lambda carry, batch: step(carry, batch, *constants), carry, batches)
