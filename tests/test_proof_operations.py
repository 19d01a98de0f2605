"""Every operation that proofs promise is proved, on arrays of NumPy, JAX and PyTorch alike."""

import contextlib
import inspect
from importlib.util import find_spec

import numpy as np
import pytest
from array_api_compat import array_namespace as xp_of

pytest.importorskip("flint")

from gradparity.compare import prove_gradient  # noqa: E402
from gradparity.compare.proof.proving import prove_gradients  # noqa: E402

X = np.asarray([0.31, 0.87, 0.23, 0.64])
A = np.asarray([[2.1, 0.3, -0.4], [0.2, 1.7, 0.5], [-0.6, 0.1, 1.4]])
ORDER = np.asarray([0, 2, 2])
ORDERED = np.asarray([1, 2, 3, 4])
BORDERS = np.asarray([0.0, 0.5, 1.0])
ENGINES = [name for name in ("torch", "jax") if find_spec(name)]

ONE_BY_ONE = (
    "abs acos asin asinh atan atanh ceil cos cosh exp expm1 floor log log10 log1p log2 negative "
    "positive reciprocal round sign sin sinh sqrt square tan tanh trunc"
).split()
IN_PAIRS = (
    "add atan2 copysign divide hypot logaddexp maximum minimum multiply pow remainder subtract"
).split()
REDUCTIONS = "max mean min prod std sum var".split()
COMPARISONS = "equal greater greater_equal less less_equal not_equal".split()


def one_by_one(name):
    return lambda xp, x: xp.sum(getattr(xp, name)(x) * x**2 + x)


def in_pairs(name):
    return lambda xp, x: xp.sum(getattr(xp, name)(x, xp.flip(x, axis=0) * x + 0.05) * x + x)


def reduced(name):
    def f(xp, x):
        along = getattr(xp, name)(xp.reshape(x, (2, 2)) ** 2, axis=1, keepdims=True)
        return xp.sum(along**2) + getattr(xp, name)(x * x)

    return f


def compared(name):
    return lambda xp, x: xp.sum(xp.where(getattr(xp, name)(x, 0.5 * xp.ones_like(x)), x**2, x))


def chosen_by(name):
    return lambda xp, x: xp.sum(xp.where(getattr(xp, name)(x > 0.3, x < 0.8), x**2, x))


def shifted(name):
    numbers, by = np.asarray([8, 9, 10, 11]), np.asarray([1, 2, 3, 1])
    return lambda xp, x: xp.sum(x**2 * getattr(xp, name)(xp.asarray(numbers), xp.asarray(by)))


def asked(name):
    return lambda xp, x: xp.sum(xp.where(getattr(xp, name)(x - 0.5), x**2, x))


def squared(xp, x):
    return xp.reshape(x, (2, 2))


def positive_definite(xp, a):
    return a @ xp.matrix_transpose(a) + 3 * xp.asarray(np.eye(3))


OF_VECTORS = {
    **{name: one_by_one(name) for name in ONE_BY_ONE},
    **{name: in_pairs(name) for name in IN_PAIRS},
    **{name: reduced(name) for name in REDUCTIONS},
    **{name: compared(name) for name in COMPARISONS},
    **{name: asked(name) for name in ("isfinite", "isinf", "isnan", "signbit")},
    **{
        f"{kind}_{name}": chosen_by(f"{kind}_{name}")
        for kind in ("bitwise", "logical")
        for name in ("and", "or", "xor")
    },
    **{f"bitwise_{side}_shift": shifted(f"bitwise_{side}_shift") for side in ("left", "right")},
    "bitwise_invert": lambda xp, x: xp.sum(xp.where(xp.bitwise_invert(x > 0.5), x**2, x)),
    "logical_not": lambda xp, x: xp.sum(xp.where(xp.logical_not(x > 0.5), x**2, x)),
    "arange": lambda xp, x: xp.sum(x**2 * xp.arange(4.0)),
    "asarray": lambda xp, x: xp.sum(x**2 * xp.asarray([1.0, 2.0, 3.0, 4.0])),
    "astype": lambda xp, x: xp.sum(xp.astype(x > 0.5, x.dtype) * x**2),
    "broadcast_arrays": lambda xp, x: xp.sum(
        xp.broadcast_arrays(x, xp.reshape(x, (4, 1)))[1] ** 2 * x
    ),
    "conj": lambda xp, x: xp.sum(xp.conj(x) * xp.real(x)),
    "count_nonzero": lambda xp, x: xp.count_nonzero(x > 0.5) * xp.sum(x**2),
    "cumulative_sum from 0": lambda xp, x: xp.sum(xp.cumulative_sum(x, include_initial=True) ** 2),
    "diff": lambda xp, x: xp.sum(xp.diff(x, n=2) ** 2),
    "empty_like": lambda xp, x: xp.sum(x * xp.zeros_like(xp.empty_like(x)) + x**2),
    "eye": lambda xp, x: xp.sum((xp.eye(4, k=1, dtype=x.dtype) @ x) ** 2),
    "full": lambda xp, x: xp.sum(x**2 * xp.full((4,), 0.5)),
    "isin": lambda xp, x: xp.sum(
        xp.where(xp.isin(xp.asarray(ORDERED), xp.asarray([2, 3])), x**2, x)
    ),
    "linspace": lambda xp, x: xp.sum(x**2 * xp.linspace(0.0, 3.0, 4)),
    "moveaxis": lambda xp, x: xp.sum(xp.moveaxis(squared(xp, x), 0, 1) * squared(xp, x) * x[0]),
    "ones": lambda xp, x: xp.sum(x**2 * (xp.ones(4) + xp.zeros(4)) + xp.ones_like(x)),
    "prod in a dtype": lambda xp, x: xp.prod(x, dtype=xp.float64),
    "sort descending": lambda xp, x: xp.sum(xp.sort(x, descending=True) * x),
    "take_along_axis": lambda xp, x: xp.sum(
        xp.take_along_axis(x, xp.argsort(x, descending=True), axis=0) ** 2 * x
    ),
    "unstack": lambda xp, x: xp.sum(xp.unstack(squared(xp, x))[1] ** 2),
    "vecdot along an axis": lambda xp, x: xp.sum(
        xp.vecdot(squared(xp, x), squared(xp, x) ** 2, axis=0)
    ),
    "acosh": lambda xp, x: xp.sum(xp.acosh(1 + x) * x),
    "any": lambda xp, x: xp.sum(xp.where(xp.any(x > 0.8) & ~xp.all(x > 0.8), x**2, x)),
    "argmax": lambda xp, x: xp.sum(xp.take(x, xp.reshape(xp.argmax(x), (1,)), axis=0) ** 2),
    "argmin": lambda xp, x: xp.sum(xp.take(x, xp.reshape(xp.argmin(x), (1,)), axis=0) ** 2),
    "broadcast_to": lambda xp, x: xp.sum(xp.broadcast_to(x, (3, 4)) ** 2 * x),
    "clip": lambda xp, x: xp.sum(xp.clip(x, 0.3, 0.6) ** 2 * x),
    "clip from below": lambda xp, x: xp.sum(xp.clip(x, min=0.5) ** 2 * x),
    "clip from above": lambda xp, x: xp.sum(xp.clip(x, max=0.5) ** 2 * x),
    "clip to arrays": lambda xp, x: xp.sum(xp.clip(x, 0.25 + x * x, 0.9 - x * x / 2) ** 2),
    "concat": lambda xp, x: xp.sum(xp.concat([x, x * x], axis=0) ** 2),
    "cumulative_prod": lambda xp, x: xp.sum(xp.cumulative_prod(x) ** 2),
    "cumulative_sum": lambda xp, x: xp.sum(xp.cumulative_sum(x) ** 2),
    "expand_dims": lambda xp, x: xp.sum(xp.squeeze(xp.expand_dims(x, axis=0), axis=0) ** 2),
    "full_like": lambda xp, x: xp.sum(xp.full_like(x, 2.0) * x**2),
    "index": lambda xp, x: xp.sum(x[1:] * x[:-1]) + x[-1] * x[0] + xp.sum(x[None, 1:3] ** 3),
    "logsumexp": lambda xp, x: xp.log(xp.sum(xp.exp(x - xp.max(x)))) + xp.max(x),
    "meshgrid": lambda xp, x: crossed(xp, xp.meshgrid(x[:2], x[1:], indexing="xy")),
    "meshgrid of three": lambda xp, x: crossed(xp, xp.meshgrid(x[:2], x, x[1:], indexing="ij")),
    "outer": lambda xp, x: xp.sum(xp.linalg.outer(x, x * x)),
    "permute_dims": lambda xp, x: xp.sum(xp.permute_dims(squared(xp, x), (1, 0)) * squared(xp, x)),
    "repeat": lambda xp, x: xp.sum(xp.repeat(x, 2) * xp.tile(x, (2,))),
    "roll": lambda xp, x: xp.sum(xp.roll(x, 1, axis=0) * x),
    "searchsorted": lambda xp, x: xp.sum(x**2 * xp.searchsorted(xp.asarray(BORDERS), x)),
    "sort": lambda xp, x: xp.sum(xp.sort(x) * xp.take(x, xp.argsort(x), axis=0) * x),
    "stack": lambda xp, x: xp.sum(xp.stack([x, x * x], axis=1) ** 2),
    "take": lambda xp, x: xp.sum(xp.take(x, xp.asarray(ORDER), axis=0) ** 2),
    "tensordot": lambda xp, x: xp.sum(xp.tensordot(squared(xp, x), squared(xp, x), axes=1) ** 2),
    "vecdot": lambda xp, x: xp.vecdot(x, x * x),
    **{
        f"vector_norm of order {order}": lambda xp, x, order=order: (
            xp.linalg.vector_norm(x, ord=order) * xp.sum(x)
        )
        for order in (0, 1, 2, 3, np.inf, -np.inf)
    },
}
OF_MATRICES = {
    "cross": lambda xp, a: xp.sum(xp.linalg.cross(a, a * a) ** 2),
    "eigh": lambda xp, a: xp.sum(xp.linalg.eigh(positive_definite(xp, a))[1] ** 2 * a),
    "eigvalsh": lambda xp, a: xp.sum(xp.linalg.eigvalsh(positive_definite(xp, a)) ** 2),
    "inv of stacks": lambda xp, a: xp.sum(xp.linalg.inv(xp.stack([a, a @ a]))),
    **{
        f"matrix_norm of order {order}": lambda xp, a, order=order: xp.linalg.matrix_norm(
            a[:2, :], ord=order
        )
        for order in (-2, -1, 1, 2, np.inf, "fro", "nuc")
    },
    "matrix_power": lambda xp, a: xp.sum(xp.linalg.matrix_power(a, 3)),
    "pinv": lambda xp, a: xp.sum(xp.linalg.pinv(a[:, :2]) ** 2),
    "pinv of wide matrices": lambda xp, a: xp.sum(xp.linalg.pinv(a[:2, :]) ** 2),
    "qr": lambda xp, a: xp.sum(xp.linalg.qr(a)[0] ** 3 * xp.linalg.qr(a)[1]),
    "svd": lambda xp, a: xp.sum(xp.linalg.svd(a)[0] ** 2 * xp.linalg.svd(a)[2]),
    "svdvals": lambda xp, a: xp.sum(xp.linalg.svdvals(a[:, :2]) ** 3),
    "cholesky": lambda xp, a: xp.sum(xp.linalg.cholesky(positive_definite(xp, a)) ** 3),
    "det": lambda xp, a: xp.linalg.det(a),
    "diagonal": lambda xp, a: xp.sum(xp.linalg.diagonal(a) ** 2),
    "inv": lambda xp, a: xp.sum(xp.linalg.inv(a) ** 2),
    "matmul": lambda xp, a: xp.sum(xp.matmul(a, a) ** 2),
    "matrix_transpose": lambda xp, a: xp.sum((xp.matrix_transpose(a) @ a) ** 2),
    "slogdet": lambda xp, a: xp.linalg.slogdet(a)[1],
    "solve": lambda xp, a: xp.sum(xp.linalg.solve(a, (a * a)[:, :1]) ** 2),
    "solve for many": lambda xp, a: xp.sum(xp.linalg.solve(a, a * a) ** 2),
    "trace": lambda xp, a: xp.linalg.trace(a @ a),
    "tril": lambda xp, a: xp.sum((xp.tril(a) @ xp.triu(a)) ** 2),
}
OPERATIONS = {name: (f, X) for name, f in OF_VECTORS.items()} | {
    name: (f, A) for name, f in OF_MATRICES.items()
}

# Functions that have no derivative, or depend on what an array holds, and what they are refused by.
REFUSED = {
    "nextafter": lambda xp, x: xp.sum(xp.nextafter(x, x + 1)),
    "unique_values": lambda xp, x: xp.sum(xp.unique_values(x) ** 2),
    "unique_counts": lambda xp, x: xp.sum(xp.unique_counts(x)[0] ** 2),
    "unique_inverse": lambda xp, x: xp.sum(xp.unique_inverse(x)[0] ** 2),
}
# Of the standard's others: no functions of arrays, or not under JAX's tracing (`nonzero`).
ELSEWHERE = frozenset(
    "__array_namespace_info__ broadcast_shapes can_cast empty finfo from_dlpack iinfo imag isdtype "
    "logaddexp matrix_rank nonzero real result_type unique_all zeros zeros_like".split()
)


def crossed(xp, grids):
    return sum(xp.sum(grid ** (k + 1) * grids[0]) for k, grid in enumerate(grids))


def engine_gradient(engine, f, x):
    if engine == "jax":
        import jax

        return np.asarray(jax.grad(f)(jax.numpy.asarray(x)))
    import torch

    leaf = torch.from_numpy(x.copy()).requires_grad_()
    f(leaf).backward()
    return leaf.grad.numpy()


@contextlib.contextmanager
def parameters(kind, x):
    if kind == "jax":
        import jax

        with jax.enable_x64(True):
            yield jax.numpy.asarray(x)
    elif kind == "torch":
        import torch

        yield torch.from_numpy(x.copy())
    else:
        with jax_in_float64():
            yield x


def jax_in_float64():
    if ENGINES[:1] != ["jax"]:
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


@pytest.mark.skipif(not ENGINES, reason="no engine differentiates array API functions")
@pytest.mark.parametrize("kind", ["numpy", *ENGINES])
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_is_proved_and_a_fault_in_its_gradient_found(name, kind):
    written, x = OPERATIONS[name]

    def f(x):
        return written(xp_of(x), x)

    with parameters(kind, x) as params:
        engine = ENGINES[0] if kind == "numpy" else kind
        expected = engine_gradient(engine, f, x)
        wrong = expected.copy()
        wrong[np.unravel_index(np.argmax(np.abs(wrong)), wrong.shape)] *= 1 + 1e-6
        right, fault = prove_gradients(f, params, gradients=[expected, wrong], rtol=1e-9)
        assert right.verdict == "proved right", str(right)
        np.testing.assert_allclose(np.asarray(right.value), expected, rtol=1e-10, atol=1e-12)
        assert fault.verdict == "proved wrong"


@pytest.mark.parametrize("kind", ["numpy", *ENGINES])
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_rule_is_refused_by_its_name(name, kind):
    with parameters(kind, X) as params:
        proof = prove_gradient(lambda x: REFUSED[name](xp_of(x), x), params)
    assert proof.verdict == "not proved"
    assert "no rule in balls for" in proof.reason or "cannot be traced" in proof.reason


def floored(xp, x):  # PyTorch has no derivative of it
    return xp.sum(x**2 * xp.floor_divide(x, 0.3))


@pytest.mark.parametrize("kind", ["numpy", *ENGINES])
def test_a_quotient_of_whole_numbers_is_followed(kind):
    with parameters(kind, X) as params:
        claim = 2 * X * np.floor(X / 0.3)
        proof = prove_gradient(lambda x: floored(xp_of(x), x), params, gradient=claim)
    assert proof.verdict == "proved right", str(proof)


class Asked:
    """A namespace that remembers what it is asked for."""

    def __init__(self, namespace, names):
        self._namespace, self._names = namespace, names

    def __getattr__(self, name):
        self._names.add(name)
        found = getattr(self._namespace, name)
        return Asked(found, self._names) if name == "linalg" else found


def test_every_function_of_the_standard_is_followed_or_refused():
    strict = pytest.importorskip("array_api_strict")
    standard = {name for name in strict.__all__ if inspect.isfunction(getattr(strict, name))}
    standard = {name for name in standard if "strict_flags" not in name}
    standard |= set(strict.linalg.__all__)
    asked = set()
    cases = [*OPERATIONS.values(), *((f, X) for f in (*REFUSED.values(), floored))]
    for f, x in cases:
        f(Asked(xp_of(x), asked), x)
    assert standard <= asked | ELSEWHERE, standard - asked - ELSEWHERE


# NumPy's functions as array_api_compat gives them to those who import them.


def clipped(x):
    import array_api_compat.numpy as xp

    return xp.sum(xp.clip(x, 0.3, 0.6) ** 2)


def clipped_by_name(x):
    from array_api_compat.numpy import clip

    return np.sum(clip(x, min=0.3, max=0.6) ** 2)


def solved(a):
    import array_api_compat.numpy as xp

    return xp.sum(xp.linalg.solve(a, a[:, :1])) + xp.linalg.trace(xp.asarray(a))


def searched(x):
    import array_api_compat.numpy as xp

    return xp.sum(x * xp.searchsorted(xp.asarray(BORDERS), x))


def meshed(x):
    import array_api_compat.numpy as xp

    rows, columns = xp.meshgrid(x[:2], x[2:], indexing="ij")
    return xp.sum(rows * columns**2)


@pytest.mark.parametrize(
    ("f", "x", "gradient"),
    [
        (clipped, X, [0.62, 0.0, 0.0, 0.0]),
        (clipped_by_name, X, [0.62, 0.0, 0.0, 0.0]),
        (solved, A, np.eye(3)),  # what is solved for is the first unit vector, whatever a is
        (searched, X, [1.0, 2.0, 1.0, 2.0]),
        (meshed, X, [0.4625, 0.4625, 2 * 1.18 * 0.23, 2 * 1.18 * 0.64]),
    ],
)
def test_functions_of_array_api_compat_itself_are_proved(f, x, gradient):
    import array_api_compat.numpy as xp

    given = xp.clip.__code__, xp.linalg.solve.__code__
    claim = np.asarray(gradient)
    proof = prove_gradient(f, x, gradient=claim, rtol=1e-14)
    assert proof.verdict == "proved right", str(proof)
    np.testing.assert_allclose(proof.value, claim, rtol=1e-14, atol=1e-20)
    wrong = claim + 1e-6 * (claim == claim.max())
    assert prove_gradient(f, x, gradient=wrong, rtol=1e-14).verdict == "proved wrong"
    assert given == (xp.clip.__code__, xp.linalg.solve.__code__)  # its own again, afterwards


@pytest.mark.parametrize(
    ("borders", "reason"), [([0.0, 0.31], "tie"), ([0.5, 0.0], "not in order")]
)
def test_a_place_that_is_not_decided_is_not_proved(borders, reason):
    def f(x):
        xp = xp_of(x)
        return xp.sum(x * xp.searchsorted(xp.asarray(borders), x))

    proof = prove_gradient(f, X)
    assert proof.verdict == "not proved"
    assert reason in proof.reason
