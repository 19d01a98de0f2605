"""Prove a gradient: follow f in balls, and judge a candidate by what they hold."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradparity.backends.errors import InvalidParameters, InvalidSetting, NonScalarLoss
from gradparity.backends.precision import is_floating
from gradparity.backends.pytrees import (
    PyTree,
    flatten,
    leaf_names,
    private_numpy,
    tree_map,
    unflatten,
)
from gradparity.backends.rounding import Rounding, Unmeasured, measure_rounding

from .concluding import conclude
from .enclosed import NotProved
from .enclosing import enclose, enclose_at
from .granted import RUNS, Granted, Measurement
from .programs import framework_of, read_program
from .proof import Proof, ProofVerdict

ENGINES = ("torch", "jax")
# Of the bits, for entries that are about as far off as what is accepted.
MOST_DOUBLINGS = 3


def prove_gradient(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    gradient: PyTree | Callable[..., PyTree] | None = None,
    digits: int = 15,
    rtol: float | None = None,
    seconds: float = 60.0,
) -> Proof:
    """Enclose every entry of f's gradient in a ball that holds it, and judge a candidate by that.

    f is followed operation by operation, forward and in reverse, in ball arithmetic (python-flint)
    of as many bits as the digits take. A branch is decided by the balls, or the proof stops there.
    What is proven is about the mathematical function that f is written as, at the given
    floating-point inputs; not about the rounding of f inside an engine.

    f: over the array API or NumPy, or of JAX (through its jaxpr) or of PyTorch (its recorded
        operations); pure, `f(params, *args) -> one real number`
    params: a pytree of real floating arrays; gradient: a pytree like it, or a function of params
        and args that returns one
    digits: to which each entry is to be known; more bits are tried until it is, or `seconds` end
    rtol: an error of each entry, relative to it, that is accepted in the candidate. By default,
        what rounding in the candidate's own dtype explains of that entry: four times the scatter
        of f's own gradient under random rounding (eight times in a lower dtype than float64), where
        PyTorch or JAX can run f, else a bound
    raises: InvalidParameters, InvalidSetting, ShapeMismatch for a candidate that is unlike params,
        NonScalarLoss, and what f raises

    >>> proof = gp.prove_gradient(lambda x: (x**3).sum(), np.ones(2), gradient=3 * np.ones(2))
    >>> proof.verdict, proof.digits >= 15
    (<ProofVerdict.RIGHT: 'proved right'>, True)
    """
    _check_settings(digits, rtol, seconds)
    claim = gradient(*_copied((params, *args))) if callable(gradient) else gradient
    (proof,) = prove_gradients(
        f, params, *args, gradients=[claim], digits=digits, rtol=rtol, seconds=seconds
    )
    return proof


def prove_gradients(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    gradients: Sequence[PyTree],
    digits: int = 15,
    rtol: float | None = None,
    seconds: float = 60.0,
) -> list[Proof]:
    """Enclose f's gradient once, and judge several candidates, as `prove_gradient` judges one."""
    start = time.perf_counter()
    given, structure = flatten(params)
    names = leaf_names(params)
    leaves = [_as_float64(name, leaf) for name, leaf in zip(names, given, strict=True)]
    found, reason, granted = None, "", None
    try:
        _check_finite(names, leaves)
        program = read_program(f, params, unflatten(structure, leaves), args)
        if program.value.size != 1 or program.value.dtype.kind == "b":
            shape, dtype = program.value.shape, program.value.dtype
            raise NonScalarLoss(
                f"{getattr(f, '__name__', 'f')} returned {dtype} of shape {shape}; expected "
                "one real number: reduce it, for instance with xp.mean or xp.sum"
            )
        found, reason = enclose(program, leaves, names, digits, seconds)
        if found is not None:
            measure = _measurement(f, params, unflatten(structure, leaves), args)
            granted = Granted(program, leaves, names, found, measure)
    except NotProved as refusal:
        reason = str(refusal)
    took = time.perf_counter() - start

    def judged(claim: PyTree, granted: Granted | None) -> Proof:
        found = granted.found if granted is not None else None
        return conclude(leaves, names, structure, found, reason, claim, digits, rtol, took, granted)

    proofs = []
    for claim in gradients:
        proof, finer = judged(claim, granted), granted
        for _ in range(MOST_DOUBLINGS):
            if reason or finer is None or finer.drowned:
                break
            if proof.verdict is not ProofVerdict.NOT_PROVED:
                break
            more = enclose_at(finer.program, leaves, names, 2 * finer.found.precision)
            finer = Granted(finer.program, leaves, names, more, finer.measure)
            proof = judged(claim, finer)
        proofs.append(proof)
    return proofs


def _measurement(
    f: Callable[..., Any], params: PyTree, numbers: PyTree, args: tuple[PyTree, ...]
) -> Measurement:
    """Return what measures the rounding of f's own gradient in a dtype, once for each.

    The framework of the parameters measures; else PyTorch, or JAX without it, which compiles every
    operation for every shape.
    """
    own = framework_of((params, args))

    @functools.cache
    def measure(dtype: str, runs: int) -> Rounding | Unmeasured:
        if runs > RUNS[0]:
            first = measure(dtype, RUNS[0])
            return first.with_runs(runs) if isinstance(first, Rounding) else first
        refusal = Unmeasured("")
        for engine in (own,) if own else ENGINES:
            rounding = measure_rounding(f, numbers, args, dtype, backend_name=engine)
            if isinstance(rounding, Rounding):
                return rounding
            refusal = rounding
        return refusal

    return measure


def _check_settings(digits: int, rtol: float | None, seconds: float) -> None:
    if not (isinstance(digits, int) and 1 <= digits <= 1000):
        raise InvalidSetting(f"got digits={digits!r}, expected a whole number from 1 to 1000")
    if rtol is not None and not (math.isfinite(rtol) and rtol >= 0):
        raise InvalidSetting(f"got rtol={rtol!r}, expected a number that is not negative")
    if not seconds > 0:
        raise InvalidSetting(f"got seconds={seconds!r}, expected a positive number")


def _copied(tree: PyTree) -> Any:
    """Return the same in memory of its own: a rule may write into what it is given."""

    def copied(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return leaf.copy()
        if framework_of(leaf) == "torch":
            return leaf.detach().clone().requires_grad_(leaf.requires_grad)
        return leaf

    return tree_map(copied, tree)


def _check_finite(names: Sequence[str], leaves: Sequence[np.ndarray]) -> None:
    for name, leaf in zip(names, leaves, strict=True):
        if not np.isfinite(leaf).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(leaf))[0])
            at = f"{name or 'params'}{list(index) if index else ''}"
            raise NotProved(f"{at} is {leaf[index]}: f has no slope by what is no number")


def _as_float64(name: str, leaf: Any) -> np.ndarray:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None and isinstance(leaf, float):
        return np.asarray(leaf)
    if dtype is None or not is_floating(dtype):
        raise InvalidParameters(
            f"leaf {name or 'params'}: got {dtype or type(leaf).__name__}, expected real floating "
            "numbers: a proof is about derivatives by these"
        )
    if str(dtype) == "torch.bfloat16":
        leaf = leaf.float()
    return private_numpy(leaf, "float64")
