"""Each known fault is undone by its repair, and the check guesses it from the gradient alone."""

import numpy as np
import pytest

from gradparity.compare import check_gradient
from gradparity.compare.checking.patterns import is_rounded_to, repairs, stray_repairs

RNG = np.random.default_rng(0)
BATCH = 11
X = RNG.normal(size=(BATCH, 4))
PARAMS = {
    "first": RNG.normal(size=(4, 4)),
    "second": RNG.normal(size=(4, 4)),
    "tall": RNG.normal(size=(4, 3)),
    "bias": RNG.normal(size=3),
}


def loss(params, x):
    hidden = np.tanh(np.tanh(x @ params["first"]) @ params["second"])
    return np.mean(np.sum((hidden @ params["tall"] + params["bias"]) ** 2, axis=-1))


def loss_gradient(params, x):
    inner = np.tanh(x @ params["first"])
    hidden = np.tanh(inner @ params["second"])
    outer = 2 * (hidden @ params["tall"] + params["bias"]) / len(x)
    second = outer @ params["tall"].T * (1 - hidden**2)
    first = second @ params["second"].T * (1 - inner**2)
    return {
        "first": x.T @ first,
        "second": inner.T @ second,
        "tall": hidden.T @ outer,
        "bias": outer.sum(axis=0),
    }


RIGHT = loss_gradient(PARAMS, X)


def changed(leaf, change):
    return {**RIGHT, leaf: change(RIGHT[leaf])}


def one_entry(leaf):
    leaf = leaf.copy()
    leaf.flat[2] += 0.1
    return leaf


FAULTS = {
    "sign": changed("first", lambda leaf: -leaf),
    "factor 2": changed("second", lambda leaf: 2 * leaf),
    "factor 1/2": changed("bias", lambda leaf: leaf / 2),
    "missing 1/N (N = 11)": changed("tall", lambda leaf: BATCH * leaf),
    "1/N too many (N = 11)": changed("tall", lambda leaf: leaf / BATCH),
    "constant factor 1.001": changed("first", lambda leaf: 1.001 * leaf),
    "transposed": changed("first", lambda leaf: leaf.T),
    "flipped": changed("tall", lambda leaf: leaf[::-1]),
    "detached (zero)": changed("second", lambda leaf: 0 * leaf),
    "rounded to float32": changed("tall", lambda leaf: leaf.astype(np.float32).astype(float)),
    "not a number": changed("bias", lambda leaf: np.nan * leaf),
    "one entry": changed("second", one_entry),
    "detached (None)": changed("bias", lambda leaf: None),
    "unsummed broadcast": changed("bias", lambda leaf: np.tile(leaf / BATCH, (BATCH, 1))),
}


@pytest.mark.parametrize("pattern", FAULTS)
def test_the_pattern_is_guessed_and_the_leaf_named(pattern):
    check = check_gradient(loss, PARAMS, X, gradient=FAULTS[pattern])
    (wrong,) = (leaf for leaf in check.leaves if leaf.verdict == "differ")
    assert wrong.pattern == check.pattern == pattern
    assert FAULTS[pattern][wrong.leaf] is not RIGHT[wrong.leaf]
    assert pattern in str(check)


def test_the_right_gradient_has_no_pattern():
    assert check_gradient(loss, PARAMS, X, gradient=RIGHT).pattern == ""


def test_swapped_leaves_are_both_named():
    swapped = {**RIGHT, "first": RIGHT["second"], "second": RIGHT["first"]}
    check = check_gradient(loss, PARAMS, X, gradient=swapped)
    assert {s.leaf for s in check.suspects} == {"first", "second"}
    assert "first: swapped with second" in check.pattern


def test_a_transposed_leaf_of_unequal_sides_is_recognised_by_its_shape():
    check = check_gradient(loss, PARAMS, X, gradient=changed("tall", np.transpose))
    assert check.pattern == "transposed"
    assert "got shape (3, 4), expected (4, 3)" in str(check)


def test_a_fault_of_all_leaves_is_told_once():
    check = check_gradient(
        loss, PARAMS, X, gradient={name: BATCH * leaf for name, leaf in RIGHT.items()}
    )
    assert check.pattern == "missing 1/N (N = 11)"
    assert {suspect.leaf for suspect in check.suspects} == set(RIGHT)


def test_random_numbers_are_given_no_pattern_that_would_explain_them():
    noise = changed("first", lambda leaf: np.random.default_rng(1).normal(size=leaf.shape))
    check = check_gradient(loss, PARAMS, X, gradient=noise)
    assert check.verdict == "differ"
    assert check.pattern in {"many entries", "12 entries", "all 16 entries"}


def test_none_for_a_leaf_that_f_ignores_is_not_called_detached():
    check = check_gradient(
        lambda params: np.sum(params["used"] ** 2),
        {"unused": np.ones(2), "used": np.ones(2)},
        gradient={"unused": None, "used": np.full(2, 2.0)},
    )
    assert check.verdict == "differ"
    assert "detached" not in check.pattern


CUBE = RNG.normal(size=(2, 3, 4))
REARRANGED = {
    "square": (PARAMS["first"], PARAMS["first"].T),
    "read in another order": (PARAMS["tall"], PARAMS["tall"].T.reshape(4, 3)),
    "written in another order": (PARAMS["tall"], PARAMS["tall"].reshape(3, 4).T),
    "three axes": (CUBE, CUBE.transpose(2, 0, 1).reshape(CUBE.shape)),
}


@pytest.mark.parametrize("name", REARRANGED)
def test_a_repair_brings_back_a_rearranged_leaf(name):
    leaf, fault = REARRANGED[name]
    assert any(
        pattern == "transposed" and np.array_equal(repaired, leaf)
        for pattern, repaired in repairs(fault, ())
    )


def test_every_repair_keeps_the_shape():
    shapes = {r.shape for _, r in repairs(CUBE, [("other", CUBE), ("odd", np.ones(3))])}
    assert shapes == {CUBE.shape}


STRAYS = {
    "leading batch axis": (np.ones((5, 3)), (3,), "unsummed broadcast", np.full(3, 5.0)),
    "stretched axis": (np.ones((4, 3)), (1, 3), "unsummed broadcast", np.full((1, 3), 4.0)),
    "scalar": (np.ones((4, 3)), (), "unsummed broadcast", np.asarray(12.0)),
    "other order": (np.ones((4, 3)), (3, 4), "transposed", np.ones((3, 4))),
    "flat": (np.arange(6.0), (2, 3), "reshaped", np.arange(6.0).reshape(2, 3)),
}


@pytest.mark.parametrize("name", STRAYS)
def test_a_leaf_of_the_wrong_shape_is_brought_into_the_right_one(name):
    array, shape, pattern, expected = STRAYS[name]
    found = dict(reversed(list(stray_repairs(array, shape))))
    assert found[pattern].shape == shape
    np.testing.assert_array_equal(found[pattern], expected)


def test_round_numbers_are_no_evidence_of_float32():
    assert is_rounded_to(RIGHT["tall"].astype(np.float32).astype(float), np.float32)
    assert not is_rounded_to(RIGHT["tall"], np.float32)
    assert not is_rounded_to(np.array([0.5, 2.0, -1.0]), np.float32)
