"""Checks on what users hand to an operator; under jit they run once, while tracing."""

import functools
import numbers
from typing import Any

from .errors import InvalidParameters, NonScalarLoss, ShapeMismatch
from .pytrees import Array, PyTree, flatten, leaf_names


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


def is_floating(dtype: Any) -> bool:
    # Every framework spells its real floating dtypes so, from "float32" to "torch.bfloat16".
    return "float" in getattr(dtype, "name", str(dtype))


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


def check_same_shapes(what: str, tree: PyTree, reference_name: str, reference: PyTree) -> None:
    """Refuse a tree whose structure or leaf shapes differ from the reference's."""
    leaves, structure = flatten(tree)
    expected, expected_structure = flatten(reference)
    if structure != expected_structure:
        raise ShapeMismatch(
            f"{what} has structure {structure}; expected that of {reference_name}, "
            f"{expected_structure}"
        )
    for name, leaf, like in zip(leaf_names(reference), leaves, expected, strict=True):
        if getattr(leaf, "shape", ()) != getattr(like, "shape", ()):
            raise ShapeMismatch(
                f"leaf {name or what}: {what} has shape {tuple(getattr(leaf, 'shape', ()))}; "
                f"expected that of {reference_name}, {tuple(getattr(like, 'shape', ()))}"
            )
