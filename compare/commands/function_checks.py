"""Check a function as it is with every backend that can evaluate it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradparity.backends import Backend, BackendUnavailable, GradparityError, get_backend
from gradparity.backends.pytrees import PyTree
from gradparity.backends.registry import backend_names
from gradparity.compare import GradientCheck, check_gradient

from ..checking.black_box import FunctionFailed
from ..conformance.isolation import describe
from ..verdicts import Verdict


@dataclass(frozen=True)
class FunctionChecks:
    """What became of each backend's gradient of one function.

    checks: by backend, or by the name of the gradient rule that was checked
    failures: by backend, why there is no check; complete: whether all that was asked for was done
    """

    checks: dict[str, GradientCheck]
    failures: dict[str, str] = field(default_factory=dict)
    complete: bool = True

    @property
    def verdict(self) -> Verdict:
        verdicts = {check.verdict for check in self.checks.values()}
        if Verdict.DIFFER in verdicts:
            return Verdict.DIFFER
        return Verdict.AGREE if verdicts == {Verdict.AGREE} else Verdict.CANNOT_TELL

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict),
            "checks": {name: check.to_dict() for name, check in self.checks.items()},
            "left_out": self.failures,
        }


def check_backends(
    f: Callable[..., Any],
    params: PyTree,
    *args: PyTree,
    backends: Sequence[str] | None = None,
    seed: int = 0,
) -> FunctionChecks:
    """Check the gradient of f by each backend, on that backend's own arrays.

    backends: names; all but differences by default, less those that cannot evaluate f
    raises: UnknownBackend, and whatever is wrong with params or f in every backend
    """
    chosen = backends or [name for name in backend_names() if name != "numerical"]
    checks, failures = {}, {}
    for name in chosen:
        result = _attempt(f, params, args, name, None, seed)
        if isinstance(result, str):
            failures[name] = result
        else:
            checks[name] = result
    return FunctionChecks(checks, failures, bool(checks) and not (backends and failures))


def check_rule(
    f: Callable[..., Any],
    rule: Callable[..., PyTree],
    params: PyTree,
    *args: PyTree,
    backends: Sequence[str] | None = None,
    seed: int = 0,
) -> FunctionChecks:
    """Check `rule(params, *args)`, which claims to be the gradient of f.

    backends: names, the first of which that can evaluate f does; NumPy comes first by default
    """
    failures = {}
    evaluators: Sequence[str | None] = backends or (None, *backend_names()[1:])
    for name in evaluators:
        result = _attempt(f, params, args, name, rule, seed)
        if not isinstance(result, str):
            return FunctionChecks({getattr(rule, "__name__", "gradient"): result})
        failures[name or "numerical"] = result
    return FunctionChecks({}, failures, complete=False)


def _attempt(
    f: Callable[..., Any],
    params: PyTree,
    args: tuple[PyTree, ...],
    name: str | None,
    rule: Callable[..., PyTree] | None,
    seed: int,
) -> GradientCheck | str:
    """Return the check, or why this backend cannot do it."""
    try:
        backend = get_backend(name) if name else None
        candidate = rule or _gradient(backend, f)
        return check_gradient(f, params, *args, gradient=candidate, seed=seed, backend=backend)
    except (BackendUnavailable, FunctionFailed) as error:
        return " ".join(str(error).split())
    except GradparityError:
        raise
    except Exception as error:  # each framework has its own way to say that it cannot
        return f"no gradient: {describe(error)}"


def _gradient(backend: Backend | None, f: Callable[..., Any]) -> Callable[..., PyTree]:
    assert backend is not None
    value_and_gradient = backend.value_and_gradient(f)
    return lambda params, *args: value_and_gradient(params, *args)[1]
