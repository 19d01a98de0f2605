"""JAX functions that take another gelu, or flatten images in another order of axes.

JAX has written its functions out into operations before anyone can ask for another one: those of a
gelu are known by the function that they come from.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradparity.backends.pytrees import flatten, is_array, unflatten
from gradparity.backends.rounding.jax_interpreter import evaluate, plainly

Apply = Callable[[Any, list[Any]], Sequence[Any]]

GELU = re.compile(r"_*((new|fast|exact|tanh)_?)?gelu(_?(new|fast|exact|tanh))?", re.IGNORECASE)
# gelu(x) is x / 2 * (1 + tanh(SCALE * (x + CUBIC * x**3))), or exactly x / 2 * (1 + erf(x / ROOT)).
SCALE, CUBIC, ROOT = math.sqrt(2 / math.pi), 0.044715, math.sqrt(2)


def changed(f: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what may be otherwise in f, in words, and f as it is then; see `changed_functions`."""
    yield "gelu is exact", _applying(_exact_gelu, f)
    yield "gelu is the tanh approximation", _applying(_approximate_gelu, f)
    yield "flatten takes channels last", _applying(_flatten(1, -1), f)
    yield "flatten takes channels first", _applying(_flatten(-1, 1), f)


def _applying(apply: Apply, f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, which gives a scalar or a tuple that begins with one, by other operations."""

    def run(*args: Any) -> Any:
        leaves, structure = flatten(args)
        places = [k for k, leaf in enumerate(leaves) if is_array(leaf)]

        def value(arrays: list[Any]) -> Any:
            given = list(leaves)
            for place, array in zip(places, arrays, strict=True):
                given[place] = array
            output = f(*unflatten(structure, given))
            return output[0] if isinstance(output, tuple) else output

        arrays = [leaves[place] for place in places]
        closed = jax.make_jaxpr(value)(arrays)
        return evaluate(closed.jaxpr, closed.consts, arrays, apply)[0]

    return run


def _exact_gelu(equation: Any, inputs: list[Any]) -> Sequence[Any]:
    if equation.primitive.name != "tanh" or not _of_gelu(equation):
        return plainly(equation, inputs)
    # The argument is an increasing cubic of x, which is solved for x; Newton removes cancellation.
    target = jnp.asarray(inputs[0]) / SCALE
    root = jnp.sqrt((target / (2 * CUBIC)) ** 2 + (1 / (3 * CUBIC)) ** 3)
    x = jnp.cbrt(target / (2 * CUBIC) + root) + jnp.cbrt(target / (2 * CUBIC) - root)
    for _ in range(2):
        x = x - (x + CUBIC * x**3 - target) / (1 + 3 * CUBIC * x**2)
    return [jax.scipy.special.erf(x / ROOT)]


def _approximate_gelu(equation: Any, inputs: list[Any]) -> Sequence[Any]:
    name = equation.primitive.name
    if name not in ("erf", "erfc") or not _of_gelu(equation):
        return plainly(equation, inputs)
    x = ROOT * jnp.asarray(inputs[0])  # erfc is given -x, of which tanh is odd, too
    approximation = jnp.tanh(SCALE * (x + CUBIC * x**3))
    return [approximation if name == "erf" else 1 - approximation]


def _of_gelu(equation: Any) -> bool:
    traceback = equation.source_info.traceback
    return traceback is not None and any(
        GELU.fullmatch(frame.function_name) for frame in traceback.frames
    )


def _flatten(source: int, destination: int) -> Apply:
    def apply(equation: Any, inputs: list[Any]) -> Sequence[Any]:
        if equation.primitive.name == "reshape":
            images, sizes = inputs[0], tuple(equation.params["new_sizes"])
            if images.ndim > 2 and sizes == (images.shape[0], math.prod(images.shape[1:])):
                return [jnp.moveaxis(jnp.asarray(images), source, destination).reshape(sizes)]
        return plainly(equation, inputs)

    return apply
