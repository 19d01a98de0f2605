"""A backend in a process of its own, where a crash or a hang costs only what was asked of it."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from gradparity.backends import Backend, GradparityError, get_backend
from gradparity.backends.base import ModelFunction, Operator
from gradparity.backends.pytrees import Array, PyTree, flatten

from .isolation import Failure, FailureKind, IsolatedProcess


class IsolatedFailure(GradparityError, RuntimeError):
    """A backend in another process crashed, hung, raised an error or answered nonsense."""

    def __init__(self, backend: str, failure: Failure) -> None:
        super().__init__(f"backend {backend!r} in its own process {failure}")
        self.backend = backend
        self.failure = failure


@dataclass(frozen=True, kw_only=True)
class IsolatedBackend(Backend):
    """Another backend, by its name, whose derivatives are computed in another process.

    Arrays are NumPy's on this side. Each call sends f, the operands and the result through pipes,
    so that timings include the way; nothing is compiled.
    raises: IsolatedFailure, from every derivative
    """

    requirement: ClassVar[str] = "numpy"

    name: str  # type: ignore[misc]  # of this value, where other backends have one for the class
    cheap_mode: str = "reverse"  # type: ignore[assignment, misc]  # as the other backend has it
    differences: bool = False  # type: ignore[misc]
    process: IsolatedProcess = field(compare=False, repr=False)

    @classmethod
    def start(
        cls, name: str, *, dtype: str = "float64", device: str | None = None, time_limit: float
    ) -> Self:
        """Load the backend in a new process; time_limit: seconds for each call.

        raises: IsolatedFailure where it cannot be loaded
        """
        process = IsolatedProcess(time_limit)
        mode = process.call(_cheap_mode, name, dtype, device)
        if mode not in ("forward", "reverse"):
            process.stop()
            raise IsolatedFailure(name, mode if isinstance(mode, Failure) else _nonsense(mode))
        differences = process.call(_differences, name, dtype, device) is True
        return cls(
            name=name,
            dtype=dtype,
            device=device,
            cheap_mode=mode,
            differences=differences,
            process=process,
        )

    def __post_init__(self) -> None:
        pass  # the other process has checked dtype and device

    @property
    def xp(self) -> Any:
        return np

    def to_native(self, array: np.ndarray) -> Array:
        return array

    def differentiate(self, f: ModelFunction) -> Operator:
        return self.value_and_gradient(f)

    def value_and_gradient(self, f: ModelFunction) -> Operator:
        differentiate = self._elsewhere("value_and_gradient", f)

        def value_and_gradient(params: PyTree, *args: PyTree) -> tuple[Array, PyTree]:
            answer = differentiate(params, *args)
            try:
                value, gradient = answer
                same = _shapes(gradient) == _shapes(params) and np.shape(value) == ()
            except (TypeError, ValueError):
                same = False
            if not same:
                raise IsolatedFailure(self.name, _nonsense(answer))
            return value, gradient

        return value_and_gradient

    def pullback(self, f: ModelFunction) -> Operator:
        return self._elsewhere("pullback", f)

    def pushforward(self, f: ModelFunction) -> Operator:
        return self._elsewhere("pushforward", f)

    def jacobian(self, f: ModelFunction) -> Operator:
        return self._elsewhere("jacobian", f)

    def hessian_vector_product(self, f: ModelFunction) -> Operator:
        return self._elsewhere("hessian_vector_product", f)

    def hessian(self, f: ModelFunction) -> Operator:
        return self._elsewhere("hessian", f)

    def _elsewhere(self, operator: str, f: ModelFunction) -> Operator:
        settings = (self.name, self.dtype, self.device)

        def elsewhere(*operands: PyTree) -> PyTree:
            answer = self.process.call(_apply, settings, operator, f, operands)
            if isinstance(answer, Failure):
                raise IsolatedFailure(self.name, answer)
            return answer

        return elsewhere


def _cheap_mode(name: str, dtype: str, device: str | None) -> str:
    return get_backend(name, dtype=dtype, device=device).cheap_mode


def _differences(name: str, dtype: str, device: str | None) -> bool:
    return get_backend(name, dtype=dtype, device=device).differences


def _apply(
    settings: tuple[str, str, str | None], operator: str, f: ModelFunction, operands: Any
) -> PyTree:
    """Differentiate in the other process."""
    name, dtype, device = settings
    backend = get_backend(name, dtype=dtype, device=device)
    answer = getattr(backend, operator)(f)(*operands)
    return backend.to_numpy(backend.wait(answer))


def _shapes(tree: PyTree) -> tuple[Any, list[tuple[int, ...]]]:
    leaves, structure = flatten(tree)
    return structure, [np.shape(leaf) for leaf in leaves]


def _nonsense(answer: Any) -> Failure:
    return Failure(FailureKind.RAISED, f"nonsense instead of an answer: {answer!r:.60}")
