"""Every array function gives, on perturbed copies together, what it gives on each copy alone."""

import array_api_strict
import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gradparity.backends.errors import CopiesDiffer
from gradparity.backends.structured import perturbed_functions
from gradparity.backends.structured.perturbed_array import PerturbedArray, Places
from gradparity.backends.structured.recorded_array import RecordedArray
from gradparity.backends.structured.recording import Recording
from gradparity.backends.structured.replay import Program
from gradparity.compare.scenarios.array_uses import USES

RNG = np.random.default_rng(7)
X = RNG.uniform(0.2, 0.9, (4, 3))
SPARSE_X = X * (RNG.random(X.shape) < 0.4)
V = RNG.uniform(0.2, 0.9, (5, 6))
W = RNG.uniform(0.2, 0.9, (3, 5))

# What one perturbed entry of W has become before the function under test: blocks of one entry, of
# a column, of a row, of entries of a column, of rows, of all, and several blocks in one copy.
STRUCTURES = {
    "entries": lambda w: w,
    "columns": lambda w: X @ w,
    "rows": lambda w: w.mT[:, :3] @ X[:3, :],
    "parts of columns": lambda w: SPARSE_X @ w,
    "some rows": lambda w: (SPARSE_X @ w) @ V,
    "everything": lambda w: (X @ w) @ V,
    "two places": lambda w: w[:, :3] + w[:, :3].mT,
}
# What has no use on its own: constants, names of dtypes, what tells about the namespace, and
# random shapes of outputs, which cannot be the same in all copies.
NOT_FUNCTIONS = {
    *("e", "inf", "nan", "pi", "newaxis", "fft", "linalg", "from_dlpack", "Device", "bool"),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *("float32", "float64", "complex64", "complex128"),
}


def copies(function, array, shift=0.03):
    """Return what function gives with one entry of the array shifted, for each of the entries.

    The first list comes from one recording and perturbed copies, the second from one call for each.
    """
    recording = Recording.of(function, array, ())
    at = np.unravel_index(np.arange(array.size), array.shape)
    places = Places(
        np.arange(array.size),
        tuple(index if n > 1 else None for index, n in zip(at, array.shape, strict=True)),
    )
    values = (array.reshape(-1) + shift).reshape((1,) * array.ndim + (-1,))
    perturbed = {0: PerturbedArray(array, values, places)}
    outcome, _ = Program.of(recording, [0]).run(perturbed, array.size)
    result = recording.result
    base = result.value if isinstance(result, RecordedArray) else np.asarray(result)
    together = [base] * array.size
    if outcome is not None:
        for copy, value in zip(*outcome.each_copy(), strict=True):
            together[copy] = value
    alone = []
    for entry in range(array.size):
        moved = array.copy()
        moved.flat[entry] += shift
        with np.errstate(all="ignore"):
            alone.append(np.asarray(function(moved)))
    return together, alone


def assert_same_copies(function, array):
    for got, expected in zip(*copies(function, array), strict=True):
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        # A dozen roundings of numbers near 1.
        digits = 1e-5 if expected.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(got, expected, rtol=digits, atol=digits)


@pytest.mark.parametrize("name", USES)
def test_a_function_gives_on_copies_together_what_it_gives_on_each(name):
    for structure in STRUCTURES.values():

        def used(w, structure=structure):
            return USES[name](array_namespace(w), structure(w))

        with np.errstate(all="ignore"):
            assert_same_copies(used, W)


def test_every_function_of_the_standard_is_used():
    standard = {name for name in array_api_strict.__all__ if not name.startswith("_")}
    standard -= NOT_FUNCTIONS | {name for name in standard if "strict" in name.lower()}
    standard |= {f"linalg.{name}" for name in array_api_strict.linalg.__all__}
    standard |= {f"fft.{name}" for name in array_api_strict.fft.__all__}
    used = {name.replace(",", "").split()[0] for name in USES}
    assert sorted(standard - used) == []


@pytest.mark.parametrize("name", ["exp", "add with its first row", "softmax"])
def test_a_rule_that_is_wrong_is_noticed(name, monkeypatch):
    right = perturbed_functions.elementwise

    def wrong(result, function, *operands, **settings):
        outcome = right(result, function, *operands, **settings)
        return PerturbedArray(result, outcome.values + 1e-9, outcome.places)

    monkeypatch.setattr(perturbed_functions, "elementwise", wrong)
    with pytest.raises(AssertionError):
        test_a_function_gives_on_copies_together_what_it_gives_on_each(name)


def test_results_whose_shapes_differ_between_copies_are_refused():
    with pytest.raises(CopiesDiffer, match="shape"):
        copies(lambda w: array_namespace(w).unique_values(w > W[0, 0] + 0.02), np.full(3, W[0, 0]))


def test_a_branch_that_copies_take_differently_is_refused():
    with pytest.raises(CopiesDiffer, match="value"):
        copies(lambda w: w * 2 if w[0, 0] > W[0, 0] + 0.01 else w, W)


def test_a_value_that_python_reads_is_refused_where_it_differs():
    with pytest.raises(CopiesDiffer, match="float"):
        copies(lambda w: w * float(w[0, 0]), W)


# Shapes and indices at random.


@st.composite
def keys(draw, shape):
    """Return an index of slices, numbers, new axes, integer arrays and an ellipsis."""
    if draw(st.booleans()):
        return draw(npst.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    index_shape = draw(npst.array_shapes(max_dims=2, max_side=3))
    parts = []
    for length in shape:
        kind = draw(st.sampled_from(["array", "slice", "number"]))
        if kind == "array":
            parts.append(
                draw(npst.arrays(np.int64, index_shape, elements=st.integers(-length, length - 1)))
            )
        elif kind == "slice":
            parts.append(draw(st.slices(length)))
        else:
            parts.append(draw(st.integers(-length, length - 1)))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), None)
    return tuple(parts)


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(sorted(STRUCTURES)))
def test_any_index_gives_the_same_copies(data, name):
    def stacked(w):
        a = STRUCTURES[name](w)
        return a[:, None, :] * np.arange(1.0, 3.0)[:, None]

    key = data.draw(keys(stacked(W).shape))
    assert_same_copies(lambda w: stacked(w)[key], W)


@settings(deadline=None, max_examples=100)
@given(st.data(), st.sampled_from(sorted(STRUCTURES)))
def test_any_reshape_gives_the_same_copies(data, name):
    def stacked(w):
        return array_namespace(w).broadcast_to(STRUCTURES[name](w), (4, *STRUCTURES[name](w).shape))

    shape = stacked(W).shape
    factors = data.draw(st.permutations([n for side in shape for n in prime_factors(side)]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(factors)), max_size=4)))
    edges = [0, *cuts, len(factors)]
    new = tuple(int(np.prod(factors[a:b])) for a, b in zip(edges, edges[1:], strict=False))
    assert_same_copies(lambda w: array_namespace(w).reshape(stacked(w), new) * 2, W)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_two_structures_combine_to_the_same_copies(data):
    """Two arrays from one parameter, broadcast, multiplied, joined and summed along any axis."""
    left, right = (STRUCTURES[data.draw(st.sampled_from(sorted(STRUCTURES)))] for _ in range(2))
    operation = data.draw(st.sampled_from(["add", "where", "matmul", "concat"]))
    axis = data.draw(st.sampled_from([None, 0, 1]))
    squeezed = data.draw(st.sampled_from([(), (0,), (1,)]))

    def combined(w):
        xp = array_namespace(w)
        a, b = left(w)[:3, :3], right(w)[:3, :3]
        if squeezed:
            b = xp.sum(b, axis=squeezed, keepdims=True)
        if operation == "matmul":
            return xp.sum(a @ xp.broadcast_to(b, (3, 3)), axis=axis)
        if operation == "concat":
            return xp.sum(xp.concat([a, xp.broadcast_to(b, (3, 3))], axis=0), axis=axis)
        return xp.sum(xp.where(b > 0.5, a, b) if operation == "where" else a + b, axis=axis)

    assert_same_copies(combined, W)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(sorted(USES)), min_size=2, max_size=4), st.data())
def test_functions_of_functions_give_the_same_copies(names, data):
    structure = STRUCTURES[data.draw(st.sampled_from(sorted(STRUCTURES)))]

    def composed(w):
        xp = array_namespace(w)
        a = structure(w)
        for name in names:
            if getattr(a, "ndim", 0) != 2 or min(a.shape) < 3 or a.dtype != np.float64:
                break  # a number, such as a size, or an array that not every function takes
            # Kept in the range where every function is smooth enough to compare.
            a = USES[name](xp, 0.5 + xp.tanh(a) / 4)
        return a

    try:
        with np.errstate(all="ignore"):
            assert_same_copies(composed, W)
    except CopiesDiffer:
        pass


def prime_factors(number):
    factor = 2
    while number > 1:
        while number % factor == 0:
            yield factor
            number //= factor
        factor += 1
