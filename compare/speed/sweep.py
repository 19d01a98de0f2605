"""How the cost of a gradient grows with the number of parameters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradparity.backends import Backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.pytrees import PyTree
from gradparity.models import Dataset, TwoLayerNet, shrink

from ..engines.engines import DEFAULT_BACKENDS
from .measuring import Progress, measure_speed
from .table import SpeedRow, format_rows, remarks

PARAMETERS = (100, 1_000, 10_000, 100_000, 1_000_000)
# Digits of 7 by 7 pixels: of more, not even a net with one hidden unit has only 100 parameters.
SIDE = 7


class Problem(NamedTuple):
    """A function to differentiate, with what it is given."""

    f: ModelFunction | Mapping[str, Any]
    params: PyTree
    args: tuple[PyTree, ...]


@dataclass(frozen=True)
class SpeedGrowth:
    """The costs of gradients of functions that grow; `str` gives the table.

    rows: of the first function with every backend and dtype, then of the next
    left_out: default backends that are not installed, each with the reason
    """

    rows: tuple[SpeedRow, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def slopes(self) -> dict[tuple[str, str], float]:
        """The power of the parameters with which a gradient's seconds grow, by backend and dtype.

        It is the slope of the least-squares line on log-log axes; none for functions of one size.
        """
        from ..drawing.plots import fit_power_law

        slopes = {}
        for series in dict.fromkeys((row.backend, row.dtype) for row in self.rows):
            rows = [row for row in self.rows if (row.backend, row.dtype) == series]
            sizes = [row.parameters for row in rows]
            if len(set(sizes)) > 1:
                slopes[series] = fit_power_law(sizes, [row.gradient for row in rows])[0]
        return slopes

    def __str__(self) -> str:
        slopes = [
            f"{backend} {dtype}: one gradient takes time like parameters ** {slope:.2f}"
            for (backend, dtype), slope in self.slopes.items()
        ]
        return "\n".join([*format_rows(self.rows), *slopes, *remarks(self.rows, self.left_out)])

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "slopes": [
                {"backend": backend, "dtype": dtype, "slope": slope}
                for (backend, dtype), slope in self.slopes.items()
            ],
            "left_out": dict(self.left_out),
        }


def measure_growth(
    problems: Sequence[Problem],
    *,
    backends: Sequence[str | Backend] = DEFAULT_BACKENDS,
    dtypes: Sequence[str] | None = None,
    minimum_time: float = 0.5,
    time_limit: float = 10.0,
    progress: Progress = lambda what, share: None,
) -> SpeedGrowth:
    """Measure the speed of gradients of one function after the other.

    time_limit: seconds for each cell, a backend with one dtype on one function; a loop of
        differences that would take longer is predicted. All else, and errors: `measure_speed`
    """
    if not problems:
        raise InvalidSetting("got no functions to measure, expected at least one")
    tables = []
    for number, (f, params, args) in enumerate(problems):

        def within(what: str, share: float, number: int = number) -> None:
            progress(what, (number + share) / len(problems))

        tables.append(
            measure_speed(
                f,
                params,
                *args,
                backends=backends,
                dtypes=dtypes,
                minimum_time=minimum_time,
                time_limit=time_limit,
                progress=within,
            )
        )
    return SpeedGrowth(tuple(row for table in tables for row in table.rows), tables[0].left_out)


def two_layer_problems(
    digits: Dataset, parameters: Sequence[int] = PARAMETERS, *, batch_size: int = 100, seed: int = 0
) -> Iterator[Problem]:
    """Yield the loss of two-layer nets with about so many parameters, on small digits.

    digits: flattened, with integer labels; the hidden layer grows, all else stays as it is
    """
    small = shrink(digits, SIDE)
    x, t = small.train_x[:batch_size], small.train_t[:batch_size]
    classes = int(np.max(digits.train_t)) + 1
    for wanted in parameters:
        # Each hidden unit has its inputs, its bias and its outputs; each output has a bias.
        hidden = max(1, round((wanted - classes) / (SIDE**2 + 1 + classes)))
        net = TwoLayerNet(SIDE**2, hidden, classes)
        yield Problem(net.loss, net.init(seed), (x, t))
