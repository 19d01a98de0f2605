"""The same mathematics run in another way: in micro-batches, recomputed, compiled.

Each function here takes `loss(params, *batch)` and returns another one of the same value and
gradient. Compare the two, or check the variant's gradient against differences of the loss:

>>> loss = lambda params, x: ((x @ params) ** 2).mean()
>>> in_parts = gp.variants.micro_batches(loss, 2)
>>> gp.compare_gradients({"jax": loss, "jax:parts": in_parts}, np.ones(3), np.ones((5, 3))).verdict
<Verdict.AGREE: 'agree'>
"""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from gradparity.backends.errors import InvalidSetting, ShapeMismatch
from gradparity.backends.pytrees import PyTree, flatten, is_array, tree_map

__all__ = ["checkpointed", "compiled", "micro_batches"]

Loss = Callable[..., Any]


def micro_batches(
    loss: Loss,
    n: int,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    weight: Callable[..., Any] | None = None,
) -> Loss:
    """Return a loss that is evaluated on n parts of the batch and put together.

    Arrays of the batch are cut along their leading axis where that is as long as the first one's;
    all else goes to every part. Lengths that n does not divide give parts that differ by one.

    loss: `loss(params, *batch)`, a mean or a sum over the batch
    reduction: a mean of parts is weighted by their lengths, since the mean of the means of unequal
        parts is not the mean of all; parts of a sum are added
    weight: `weight(*part)`, the number of terms that a part's mean is taken over, where that is
        not its length: for instance the tokens that are not masked
    raises: InvalidSetting for an n that leaves parts empty, ShapeMismatch for a batch without
        arrays

    >>> loss = lambda w, x: ((x @ w) ** 2).mean()
    >>> w, x = torch.ones(3), torch.arange(15.0).reshape(5, 3)
    >>> bool(torch.isclose(gp.variants.micro_batches(loss, 2)(w, x), loss(w, x)))
    True
    """
    if n < 1 or reduction not in ("mean", "sum") or (weight and reduction == "sum"):
        raise InvalidSetting(
            f"got n={n}, reduction={reduction!r}, {'a weight' if weight else 'no weight'}; "
            "expected n of at least 1 and 'mean' (with or without a weight) or 'sum'"
        )

    @functools.wraps(loss)
    def in_parts(params: PyTree, *batch: PyTree) -> Any:
        parts = list(_parts(batch, n))
        values = [loss(params, *part) for _, part in parts]
        if reduction == "sum":
            return sum(values[1:], start=values[0])
        weights = [weight(*part) if weight else length for length, part in parts]
        total = sum(weights[1:], start=weights[0])
        terms = [share / total * value for share, value in zip(weights, values, strict=True)]
        return sum(terms[1:], start=terms[0])

    return in_parts


def _parts(batch: Sequence[PyTree], n: int) -> Iterator[tuple[int, tuple[PyTree, ...]]]:
    """Yield the length of each part, and the part."""
    arrays = [leaf for leaf in flatten(tuple(batch))[0] if is_array(leaf) and len(leaf.shape) > 0]
    if not arrays:
        raise ShapeMismatch(
            f"got a batch of {len(batch)} arguments without an array of one axis or more; "
            "expected one whose leading axis can be cut"
        )
    length = int(arrays[0].shape[0])
    if n > length:
        raise InvalidSetting(
            f"got n={n} micro-batches of {length} examples, expected n <= {length}"
        )
    for k in range(n):
        start, stop = length * k // n, length * (k + 1) // n
        yield stop - start, tuple(tree_map(_cutter(length, start, stop), arg) for arg in batch)


def _cutter(length: int, start: int, stop: int) -> Callable[[Any], Any]:
    def cut(leaf: Any) -> Any:
        batched = is_array(leaf) and len(leaf.shape) > 0 and leaf.shape[0] == length
        return leaf[start:stop] if batched else leaf

    return cut


def checkpointed(loss: Loss, **options: Any) -> Loss:
    """Return a loss whose intermediate values are computed again in the backward pass.

    options: of `jax.checkpoint`, or of `torch.utils.checkpoint.checkpoint`
    raises: InvalidSetting for parameters of another framework

    >>> loss = lambda w, x: ((x @ w) ** 2).mean()
    >>> mapping = {"torch": loss, "torch:checkpointed": gp.variants.checkpointed(loss)}
    >>> gp.compare_gradients(mapping, np.ones(3), np.eye(3)).verdict
    <Verdict.AGREE: 'agree'>
    """

    @functools.wraps(loss)
    def recomputed(params: PyTree, *batch: PyTree) -> Any:
        if _framework(params, "checkpointed") == "jax":
            return sys.modules["jax"].checkpoint(loss, **options)(params, *batch)
        from torch.utils.checkpoint import checkpoint

        return checkpoint(loss, params, *batch, **{"use_reentrant": False, **options})

    return recomputed


def compiled(loss: Loss, **options: Any) -> Loss:
    """Return a loss that `jax.jit` or `torch.compile` has compiled.

    options: of these, such as `backend="aot_eager"` or `static_argnums=...`
    raises: InvalidSetting for parameters of another framework

    >>> loss = lambda w, x: ((x @ w) ** 2).mean()
    >>> gp.compare_gradients(
    ...     {"jax": loss, "jax:compiled": gp.variants.compiled(loss)}, np.ones(3), np.eye(3)
    ... ).verdict
    <Verdict.AGREE: 'agree'>
    """
    programs: dict[str, Loss] = {}

    @functools.wraps(loss)
    def run(params: PyTree, *batch: PyTree) -> Any:
        framework = _framework(params, "compiled")
        if framework not in programs:  # compile once, not in every call
            module = sys.modules[framework]
            compiler = module.jit if framework == "jax" else module.compile
            programs[framework] = compiler(loss, **options)
        return programs[framework](params, *batch)

    return run


def _framework(params: PyTree, what: str) -> Literal["jax", "torch"]:
    for leaf in flatten(params)[0]:
        kinds = {kind.__module__.partition(".")[0] for kind in type(leaf).__mro__}
        if "torch" in kinds:
            return "torch"
        if kinds & {"jax", "jaxlib"}:
            return "jax"
    raise InvalidSetting(
        f"{what}: got parameters that are arrays of neither JAX nor torch; expected one of them: "
        "NumPy neither compiles nor records a backward pass"
    )
