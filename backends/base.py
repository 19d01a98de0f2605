"""The contract of a backend: its primitive, what is derived from it, and what may be handed in."""

import functools
import importlib.metadata
import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from .errors import InvalidData, InvalidParameters, InvalidSetting, NonScalarLoss
from .jacobians import inner_product, jacobian_by_columns, jacobian_by_rows, tree_contractions
from .precision import is_floating
from .pytrees import (
    Array,
    PyTree,
    check_same_shapes,
    flatten,
    is_array,
    leaf_names,
    private_numpy,
    tree_map,
    unflatten,
)

DTYPES = ("float32", "float64")

ModelFunction = Callable[..., Any]
Operator = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Backend(ABC):
    """One way to differentiate: an immutable value that holds its settings.

    A new backend writes `name`, `requirement`, `xp`, `to_native` and `differentiate`;
    every other operator is derived here, and overridden only where the framework has better.

    Laws, for every f, params and backend:
    - gradients have the structure, shapes and dtypes of `params`; an unused leaf gives zeros;
    - <cotangent, pushforward(tangent)> == <pullback(cotangent), tangent>;
    - inputs are never changed, not even when f raises;
    - the value equals f(params), and two calls give the same answer.

    >>> backend = gp.get_backend("numerical", dtype="float32")
    >>> backend.name, backend.dtype
    ('numerical', 'float32')
    >>> backend.hessian_vector_product(lambda x: (x**3).sum())(np.ones(2), np.ones(2)).round(2)
    array([6., 6.], dtype=float32)
    """

    name: ClassVar[str]
    requirement: ClassVar[str]
    """The importable module, and distribution, that the backend needs."""
    cheap_mode: ClassVar[Literal["forward", "reverse"]] = "reverse"
    """Jacobians are built from pushforwards ("forward") or pullbacks ("reverse")."""
    differences: ClassVar[bool] = False
    """Gradients are difference quotients of f, with the errors of those."""
    fused_scan: ClassVar[bool] = False
    """A scan is compiled as a whole, and anew for every number of batches."""

    dtype: str = "float64"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InvalidSetting(
                f"backend {self.name!r}: got dtype {self.dtype!r}, "
                f"expected one of {', '.join(DTYPES)}"
            )
        if self.device is not None and self.device not in self.devices():
            raise InvalidSetting(
                f"backend {self.name!r}: got device {self.device!r}, "
                f"expected one of {', '.join(self.devices())}"
            )

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version(cls.requirement)

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the names that `device` accepts on this machine."""
        return ("cpu",)

    # What a backend must write.

    @property
    @abstractmethod
    def xp(self) -> Any:
        """The array API namespace of the native arrays."""

    @abstractmethod
    def to_native(self, array: np.ndarray) -> Array:
        """Turn a private, contiguous NumPy array into a native one; it may keep the memory."""

    @abstractmethod
    def differentiate(self, f: ModelFunction) -> Operator:
        """Return `(params, *args) -> (value, gradient)` for a checked f and native params."""

    # What a backend may adapt.

    def _is_native(self, leaf: Any) -> bool:
        """Tell whether an array is one of the framework's own, a traced one included."""
        return False

    def _adopt(self, leaf: Any) -> Array:
        """Return a native array as operators use it: a native one as it is, others converted."""
        return leaf if self._is_native(leaf) else self.to_native(private_numpy(leaf, self.dtype))

    def _scoped(self, operator: Operator) -> Operator:
        """Return the operator as it has to run, for instance in a precision context."""
        return operator

    def moved(self, leaf: Array, tangent: Array, shift: float) -> Array:
        """Return leaf + shift * tangent, a new array."""
        return leaf + shift * tangent

    # In and out.

    def asarray(self, tree: PyTree) -> PyTree:
        """Return a private native copy: floating leaves in `dtype`, integers and booleans kept."""
        leaves, structure = flatten(tree)
        copies = []
        for position, leaf in enumerate(leaves):
            try:
                copies.append(self.to_native(private_numpy(leaf, self.dtype)))
            except InvalidParameters as error:
                name = leaf_names(tree)[position] or "the array"
                raise InvalidParameters(f"leaf {name}: {error}") from None
        return unflatten(structure, copies)

    def to_numpy(self, tree: PyTree) -> PyTree:
        """Return a private, writable NumPy copy of every leaf."""
        return tree_map(private_numpy, tree)

    def wait(self, tree: PyTree) -> PyTree:
        """Return the tree once its arrays have been computed."""
        return tree

    def _native_params(self, params: PyTree) -> PyTree:
        native = tree_map(self._adopt, params)
        check_differentiable(native)
        return native

    def _native_args(self, args: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
        """Return args with native arrays; Python numbers and strings stay as they are."""
        return tuple(
            tree_map(lambda leaf: self._adopt(leaf) if is_array(leaf) else leaf, arg)
            for arg in args
        )

    # Derivatives.

    def value_and_gradient(self, f: ModelFunction) -> Operator:
        """Return `(params, *args) -> (value, gradient)` for a scalar f(params, *args).

        params: pytree of floating arrays; native ones are used as they are, others converted
        gradient: native arrays with the structure, shapes and dtypes of params
        raises: InvalidParameters for integer leaves, NonScalarLoss when f is not scalar
        """
        differentiate = self.differentiate(scalar(f))

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            value, gradient = differentiate(self._native_params(params), *self._native_args(args))
            return value, gradient

        return self._scoped(value_and_gradient)

    def pullback(self, f: ModelFunction) -> Operator:
        """Return the VJP, `(params, cotangent, *args) -> (output, gradient)`.

        cotangent: structure and shapes of f's output; gradient: those of params
        """

        def contracted(params: PyTree, cotangent: PyTree, *args: PyTree) -> Array:
            output = f(params, *args)
            check_same_shapes("cotangent", cotangent, "the output of f", output)
            return inner_product(self.xp, cotangent, output)

        value_and_gradient = self.value_and_gradient(contracted)

        def pullback(params: PyTree, cotangent: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
            params, args = self._native_params(params), self._native_args(args)
            (cotangent,) = self._native_args((cotangent,))
            output = f(params, *args)
            return output, value_and_gradient(params, cotangent, *args)[1]

        return self._scoped(pullback)

    def pushforward(self, f: ModelFunction) -> Operator:
        """Return the JVP, `(params, tangent, *args) -> (output, output_tangent)`.

        tangent: structure and shapes of params; output_tangent: those of f's output
        """
        jacobian = self.jacobian(f)

        def pushforward(params: PyTree, tangent: PyTree, *args: PyTree) -> tuple[PyTree, PyTree]:
            params, args = self._native_params(params), self._native_args(args)
            (tangent,) = self._native_args((tangent,))
            check_same_shapes("tangent", tangent, "params", params)
            outputs, structure = flatten(f(params, *args))
            rows = structure.flatten_up_to(jacobian(params, *args))
            pushed = [
                sum(tree_contractions(self.xp, row, tangent), start=self.xp.zeros_like(output))
                for output, row in zip(outputs, rows, strict=True)
            ]
            return unflatten(structure, outputs), unflatten(structure, pushed)

        return self._scoped(pushforward)

    def jacobian(self, f: ModelFunction) -> Operator:
        """Return `(params, *args) -> jacobian`: for each leaf of f's output, a pytree of params.

        Each block has the output leaf's shape followed by the parameter leaf's shape; a single
        output array gives a pytree like params.
        """
        forward = self.cheap_mode == "forward"
        return self._jacobian(f, self.pushforward(f) if forward else self.pullback(f))

    def _jacobian(self, f: ModelFunction, derivative: Operator) -> Operator:
        build = jacobian_by_columns if self.cheap_mode == "forward" else jacobian_by_rows

        def jacobian(params: PyTree, *args: PyTree) -> PyTree:
            params, args = self._native_params(params), self._native_args(args)
            return build(self.xp, f(params, *args), derivative, params, args)

        return self._scoped(jacobian)

    def hessian_vector_product(self, f: ModelFunction) -> Operator:
        """Return `(params, tangent, *args) -> hessian @ tangent`, a pytree like params."""
        pushforward = self.pushforward(self._gradient(f))

        def hessian_vector_product(params: PyTree, tangent: PyTree, *args: PyTree) -> PyTree:
            return pushforward(params, tangent, *args)[1]

        return hessian_vector_product

    def curvature(self, f: ModelFunction) -> Operator:
        """Return `(params, tangent, *args) -> <tangent, H tangent>`, forward over forward."""
        inner = self.pushforward(f)

        def curvature(params: PyTree, tangent: PyTree, *args: PyTree) -> Array:
            slope = self.pushforward(lambda own, *rest: inner(own, tangent, *rest)[1])
            return slope(params, tangent, *args)[1]

        return self._scoped(curvature)

    def hessian(self, f: ModelFunction) -> Operator:
        """Return `(params, *args) -> hessian`: for each leaf of params, a pytree of params."""
        return self.jacobian(self._gradient(f))

    def _gradient(self, f: ModelFunction) -> Operator:
        value_and_gradient = self.value_and_gradient(f)
        return lambda params, *args: value_and_gradient(params, *args)[1]

    def other_gradients(self, f: ModelFunction) -> dict[str, Operator]:
        """Return further ways to the gradient, `(params, *args) -> gradient`, under their names.

        They take native arrays, and may raise where f does not admit them.
        """
        return {}

    # Running.

    def compile(self, f: Operator) -> Operator:
        """Return f compiled for native arrays where the framework can, else f itself."""
        return f

    def compile_alike(self, f: Operator) -> Operator:
        """Return f compiled for arguments of one form, or what another f alike was compiled to."""
        return self.compile(f)

    def watched(self, call: Callable[[], Any]) -> tuple[Any, bool]:
        """Return what a call returns, and whether the framework compiled anything for it."""
        return call(), False

    def descend(self, params: PyTree, gradient: PyTree, rate: float) -> PyTree:
        """Return params - rate * gradient, leaf by leaf; it may take the memory of params."""
        return tree_map(lambda leaf, slope: leaf - rate * slope, params, gradient)

    def descent(self, f: ModelFunction, rate: float) -> Operator:
        """Return `(params, *args) -> (params, value)`, a step of gradient descent.

        value: f before the step, which may take the memory of params
        """
        value_and_gradient = self.value_and_gradient(f)

        def step(params: PyTree, *args: PyTree) -> tuple[PyTree, Array]:
            value, gradient = value_and_gradient(params, *args)
            return self.descend(params, gradient, rate), value

        return step

    def scan(
        self, step: Operator, carry: PyTree, batches: PyTree, *constants: PyTree
    ) -> tuple[PyTree, PyTree]:
        """Run `step(carry, batch, *constants) -> (carry, output)` over the leading axis of batches.

        batches: pytree of native arrays with one leading length; constants: seen by every step
        returns: the last carry, and the outputs stacked along a new leading axis
        raises: InvalidData where there is no batch and the framework cannot tell what a step gives
        """
        leaves, structure = flatten(batches)
        outputs = []
        for batch in zip(*map(self.xp.unstack, leaves), strict=True):
            carry, output = step(carry, unflatten(structure, batch), *constants)
            outputs.append(output)
        if not outputs:
            raise InvalidData(
                "scan: got no batches, expected at least one: what no step returned has no shape; "
                "leave the scan out, the carry stays as it is"
            )
        return carry, tree_map(lambda *leaves: self.xp.stack(leaves), *outputs)


# What users hand to an operator; under jit it is checked once, while tracing.


def scalar(f: Any) -> Any:
    """Return f with a check that it gives one real floating number."""

    @functools.wraps(f)
    def checked(params: PyTree, *args: PyTree) -> Array:
        value = f(params, *args)
        check_scalar(f, value)
        return value

    return checked


def check_scalar(f: Any, value: Any) -> None:
    """Refuse what f returned if it is not one real number, Python's or of a floating dtype."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            return
        got = f"{value!r:.60}"
    elif tuple(shape) != ():
        got = f"shape {tuple(shape)}"
    elif not is_floating(dtype):
        got = f"dtype {dtype}"
    else:
        return
    raise NonScalarLoss(
        f"{getattr(f, '__name__', 'f')} returned {got}; expected one real floating number of "
        "shape (): reduce it as "
        "xp.sum(weights * y) with random weights, since a plain sum hides a rule that forgets its "
        "cotangent; check_gradient takes cotangent=weights"
    )


def check_differentiable(params: PyTree) -> None:
    """Refuse leaves that are not real floating arrays, naming the first one."""
    leaves, _ = flatten(params)
    for position, leaf in enumerate(leaves):
        if not is_floating(leaf.dtype):
            raise InvalidParameters(
                f"leaf {leaf_names(params)[position] or 'params'}: got dtype {leaf.dtype}, "
                "expected float32 or float64; a small step would be lost in it, so convert it, "
                "for instance with .astype('float64'), or pass it as an argument after params"
            )
