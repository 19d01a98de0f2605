"""Check a function as it is with every backend that can evaluate it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradparity.backends import Backend, BackendUnavailable, GradparityError, get_backend
from gradparity.backends.pytrees import PyTree
from gradparity.backends.registry import backend_names
from gradparity.compare import GradientCheck, check_gradient
from gradparity.models.progress import Announce

from ..checking.function import FunctionFailed
from ..conformance.isolation import describe
from ..places import place_of
from ..user_functions import Arguments
from ..verdicts import Verdict, VerdictText

# Central differences are right to about eps**(2/3) times what cancels in f.
ERROR_OF_DIFFERENCES = 1e-6


@dataclass(frozen=True)
class FunctionChecks:
    """What became of each backend's gradient of one function.

    checks: by backend, or by the name of the gradient rule that was checked
    failures: by backend, why there is no check; errors: what was raised there
    complete: whether all that was asked for was done
    """

    checks: dict[str, GradientCheck]
    failures: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    complete: bool = True

    @property
    def verdict(self) -> VerdictText:
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


def check_function(
    f: Callable[..., Any],
    rule: Callable[..., PyTree] | None,
    point: tuple[PyTree, ...],
    *,
    backends: Sequence[str] | None = None,
    announce: Announce = lambda what, share: None,
    **settings: Any,
) -> FunctionChecks:
    """Check a rule for the gradient of f, or without one each backend's own gradient of f.

    point: parameters and further arguments
    backends: names. Without a rule all of them are checked, by default all but differences, less
        those that cannot evaluate f; with one, the first that can evaluate f does, by default NumPy
    settings: what `check_gradient` takes
    raises: UnknownBackend, and whatever is wrong with parameters or f in every backend
    """
    checks: dict[str, GradientCheck] = {}
    failures: dict[str, str] = {}
    errors: dict[str, Exception] = {}
    if rule is None:
        chosen: Sequence[str | None] = backends or [n for n in backend_names() if n != "numerical"]
    else:
        chosen = backends or (None, *backend_names()[1:])
    for position, name in enumerate(chosen):
        shown = name or "numerical"
        what = f"{_name(rule)} of {_name(f)}" if rule else f"gradient of {_name(f)} by {shown}"
        announce(what, position / len(chosen) if rule is None else None)
        try:
            backend = get_backend(name) if name else None
            candidate = rule or _gradient(backend, f)
            granted = dict(settings)
            if rule is None and backend is not None and backend.differences:
                granted["rtol"] = max(granted.get("rtol") or 0.0, ERROR_OF_DIFFERENCES)
            check = check_gradient(f, *point, gradient=candidate, backend=backend, **granted)
        except (BackendUnavailable, FunctionFailed) as error:
            failures[shown], errors[shown] = _reason(str(error), error), error
        except GradparityError:
            raise
        except Exception as error:  # each framework has its own way to say that it cannot
            failures[shown], errors[shown] = (
                _reason(f"no gradient: {describe(error)}", error),
                error,
            )
        else:
            checks[_name(rule) if rule else shown] = check
            if rule is not None:
                return FunctionChecks(checks)
    return FunctionChecks(checks, failures, errors, bool(checks) and not (backends and failures))


def why_nothing(f: Callable[..., Any], params: PyTree, arguments: Arguments, rule: bool) -> str:
    """Return a sentence for the case that nothing was checked."""
    if rule:
        return f"Nothing was checked: {_name(f)} could not be evaluated."
    try:
        float(arguments.adapt(f)(params, *arguments.values))
    except Exception:
        return f"Nothing was checked: no engine could evaluate {_name(f)}."
    return (
        f"Nothing was checked: {_name(f)} runs on NumPy arrays, and no engine here can "
        "differentiate it. Give the gradient that is to be checked (--gradient NAME), or write "
        f"{_name(f)} over the array API: xp = array_api_compat.array_namespace(leaf)."
    )


def _reason(text: str, error: Exception) -> str:
    place = place_of(error)
    return (f"{place}: " if place else "") + " ".join(text.split())


def _gradient(backend: Backend | None, f: Callable[..., Any]) -> Callable[..., PyTree]:
    assert backend is not None
    value_and_gradient = backend.value_and_gradient(f)
    return lambda params, *args: value_and_gradient(params, *args)[1]


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", type(f).__name__)
