"""Put the same gradient before other checkers: those of PyTorch and of JAX, as people call them."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.backends.pytrees import PyTree, flatten, tree_map, unflatten

from ..checking.check import check_gradient
from ..verdicts import Verdict

Leaves = list[np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What a checker said of one gradient.

    accepts: whether it found nothing wrong; named: the (leaf, index) pairs that it called wrong
    evaluations: calls of f; seconds: wall time
    """

    accepts: bool
    named: tuple[tuple[int, tuple[int, ...]], ...]
    evaluations: int
    seconds: float


# (f, params, args, leaves of the gradient, seed) -> answer; f is written over the array API.
Checker = Callable[[Callable[..., Any], PyTree, tuple[Any, ...], Leaves, int], Answer]


class Counted:
    """A function that counts its calls."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return self.f(*args)


def by_gradparity(
    f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], gradient: Leaves, seed: int
) -> Answer:
    from gradparity.backends.pytrees import leaf_names

    structure = flatten(params)[1]
    started = time.perf_counter()
    doubles = tree_map(lambda leaf: np.asarray(leaf, np.float64), (params, args))
    check = check_gradient(
        f, doubles[0], *doubles[1], gradient=unflatten(structure, gradient), seed=seed
    )
    elapsed = time.perf_counter() - started
    names = leaf_names(params)
    named = [(names.index(suspect.leaf), suspect.index) for suspect in check.suspects]
    named += [
        (names.index(problem.leaf), ()) for problem in check.problems if problem.leaf in names
    ]
    # "cannot tell" is no alarm, and no detection either.
    return Answer(check.verdict is not Verdict.DIFFER, tuple(named), check.evaluations, elapsed)


def by_gradcheck(*, fast: bool) -> Checker:
    """Return `torch.autograd.gradcheck` with its default tolerances."""

    def check(
        f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], gradient: Leaves, seed: int
    ) -> Answer:
        import torch

        torch.manual_seed(seed)
        counted = Counted(f)
        leaves, structure = flatten(params)
        native_args = tree_map(torch.from_numpy, args)
        wrong = [torch.from_numpy(np.array(leaf)) for leaf in gradient]

        class Planted(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *primals: Any) -> Any:
                return counted(unflatten(structure, primals), *native_args)

            @staticmethod
            def backward(ctx: Any, cotangent: Any) -> Any:
                return tuple(cotangent * leaf for leaf in wrong)

        primals = [torch.from_numpy(np.array(leaf)).requires_grad_() for leaf in leaves]
        started = time.perf_counter()
        with warnings.catch_warnings():  # it warns of float32, which it is shown all the same
            warnings.simplefilter("ignore")
            try:
                accepts = bool(torch.autograd.gradcheck(Planted.apply, primals, fast_mode=fast))
            except RuntimeError:  # GradcheckError is one; so is the engine's of a wrong shape
                accepts = False
        return Answer(accepts, (), counted.calls, time.perf_counter() - started)

    return check


def by_check_grads(
    f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], gradient: Leaves, seed: int
) -> Answer:
    """Ask `jax.test_util.check_grads`, in reverse mode, with its default tolerances."""
    import jax
    from jax.test_util import check_grads

    counted = Counted(f)
    dtype = flatten(params)[0][0].dtype
    with jax.enable_x64(dtype == np.float64):
        native, native_args = jax.tree_util.tree_map(
            lambda leaf: jax.numpy.array(leaf), (params, args)
        )
        structure = flatten(params)[1]
        wrong = [jax.numpy.array(leaf) for leaf in gradient]

        @jax.custom_vjp
        def planted(primal: PyTree) -> Any:
            return counted(primal, *native_args)

        def forward(primal: PyTree) -> Any:
            return planted(primal), None

        def backward(_: None, cotangent: Any) -> Any:
            return (unflatten(structure, [cotangent * leaf for leaf in wrong]),)

        planted.defvjp(forward, backward)
        started = time.perf_counter()
        np.random.seed(seed)  # noqa: NPY002  its directions come from NumPy's global generator
        try:
            check_grads(planted, (native,), order=1, modes=["rev"])
            accepts = True
        except (AssertionError, TypeError, ValueError):  # the latter two for a wrong shape
            accepts = False
        return Answer(accepts, (), counted.calls, time.perf_counter() - started)


CHECKERS: dict[str, Checker] = {
    "gradparity": by_gradparity,
    "torch gradcheck, fast": by_gradcheck(fast=True),
    "torch gradcheck, slow": by_gradcheck(fast=False),
    "jax check_grads": by_check_grads,
}
