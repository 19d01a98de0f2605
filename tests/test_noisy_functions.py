"""No wrong gradient of a random, chaotic or hash-noisy function is called right."""

import numpy as np
from noisy_functions import judged, noisy

from gradparity.compare import check_gradient

KINDS = 8


def test_no_wrong_gradient_of_a_noisy_function_agrees(held_out_seed):
    assert judged(KINDS, held_out_seed) == []


def test_a_judge_that_believes_everything_would_be_noticed(monkeypatch):
    right = check_gradient(lambda p: np.sum(p**2), np.ones(2), gradient=2 * np.ones(2))
    monkeypatch.setattr("noisy_functions.check_gradient", lambda *_, **__: right)
    assert len(judged(KINDS, 0)) == 4 * KINDS


def test_kinds_differ_and_seeds_draw_other_points():
    assert len({noisy(number, 0)[0] for number in range(KINDS)}) == KINDS
    assert not np.array_equal(noisy(0, 0)[2], noisy(0, 1)[2])
