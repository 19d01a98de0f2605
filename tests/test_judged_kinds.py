"""Derivatives of every kind, of functions drawn anew: right ones agree, faults are named."""

import dataclasses

import judged_kinds
import pytest
from judged_kinds import KINDS, judged

FUNCTIONS = 3


@pytest.fixture
def framework(load_backend):
    """Load what the kind needs: complex gradients carry the convention of their framework."""

    def load(kind):
        if kind.startswith("complex"):
            load_backend({"complex, torch": "torch", "complex, JAX": "jax"}.get(kind, "numerical"))

    return load


@pytest.mark.parametrize("kind", KINDS)
def test_right_ones_agree_and_faults_are_named(kind, framework, held_out_seed):
    framework(kind)
    count = 1 if kind.split(",")[0] == "Hessian" else FUNCTIONS
    tally = judged(kind, range(held_out_seed, held_out_seed + count))
    assert tally.surprises == []
    assert tally.accepted == tally.found == tally.named == count


def test_a_wrong_derivative_taken_for_right_would_be_noticed(monkeypatch):
    def doubled(seed):
        task = judged_kinds.vjp(seed)
        return dataclasses.replace(task, right=2 * task.right)

    monkeypatch.setitem(KINDS, "VJP", doubled)
    assert judged("VJP", range(2)).accepted == 0


def test_a_judge_that_believes_everything_would_be_noticed(monkeypatch):
    def credulous(seed):
        task = judged_kinds.vjp(seed)
        return dataclasses.replace(task, check=lambda _: task.check(task.right))

    monkeypatch.setitem(KINDS, "VJP", credulous)
    tally = judged("VJP", range(2))
    assert (tally.found, tally.named, len(tally.surprises)) == (0, 0, 2)
