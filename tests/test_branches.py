import math

import numpy as np
import pytest

from gradparity.compare.agreement.branches import branch_at_jump

JUMPS = [
    ("remainder beside a multiple", lambda t: float(np.remainder(3.3, 0.3 + t)), 0.5, -10.0),
    ("floor from above", lambda t: math.floor(2.0 + t) * (2.0 + t), 1.0, 2.0),
    ("a branch that ends", lambda t: math.log(t) if t > 0 else 3.0 * t, 1.0, 3.0),
    ("both sides jump", lambda t: math.copysign(1.0, t) if t else 0.0, 1.0, None),
]


@pytest.mark.parametrize(("name", "phi", "scale", "slope"), JUMPS, ids=[case[0] for case in JUMPS])
def test_the_branch_that_f_takes_is_known_where_it_is_continuous(name, phi, scale, slope):
    branch = branch_at_jump(phi, scale)
    assert branch is not None
    if slope is None:
        assert branch.slope is None
    else:
        assert branch.slope == pytest.approx(slope, abs=branch.error + 1e-12)
        assert branch.error < 1e-9


@pytest.mark.parametrize(
    "phi",
    [
        abs,
        math.sin,
        lambda t: math.sqrt(abs(t)),
        lambda t: math.sqrt(t) if t >= 0 else math.nan,
        lambda t: round((t + 1e10) - 1e10, 6),
        lambda t: 1e10 + math.sin(t) - 1e10,
        lambda t: t * math.sin(1 / t) if t else 0.0,
        lambda t: 5.0,
    ],
    ids=["kink", "smooth", "cusp", "edge", "staircase", "noise", "oscillation", "constant"],
)
def test_what_is_no_jump_is_not_taken_for_one(phi):
    assert branch_at_jump(phi, 1.0) is None
