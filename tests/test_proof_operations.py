"""Every operation that proofs promise is proved, on arrays of NumPy, JAX and PyTorch alike."""

import contextlib
from importlib.util import find_spec

import numpy as np
import pytest
from array_api_compat import array_namespace as xp_of

pytest.importorskip("flint")

from gradparity.compare import prove_gradient  # noqa: E402

X = np.asarray([0.31, 0.87, 0.23, 0.64])
A = np.asarray([[2.1, 0.3, -0.4], [0.2, 1.7, 0.5], [-0.6, 0.1, 1.4]])
ORDER = np.asarray([0, 2, 2])
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


def squared(xp, x):
    return xp.reshape(x, (2, 2))


def positive_definite(xp, a):
    return a @ xp.matrix_transpose(a) + 3 * xp.asarray(np.eye(3))


OF_VECTORS = {
    **{name: one_by_one(name) for name in ONE_BY_ONE},
    **{name: in_pairs(name) for name in IN_PAIRS},
    **{name: reduced(name) for name in REDUCTIONS},
    **{name: compared(name) for name in COMPARISONS},
    "acosh": lambda xp, x: xp.sum(xp.acosh(1 + x) * x),
    "any": lambda xp, x: xp.sum(xp.where(xp.any(x > 0.8) & ~xp.all(x > 0.8), x**2, x)),
    "argmax": lambda xp, x: xp.sum(xp.take(x, xp.reshape(xp.argmax(x), (1,)), axis=0) ** 2),
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
        f"vector_norm of order {order}": lambda xp, x, order=order: xp.linalg.vector_norm(
            x, ord=order
        )
        for order in (1, 2, 3, np.inf, -np.inf)
    },
}
OF_MATRICES = {
    "cholesky": lambda xp, a: xp.sum(xp.linalg.cholesky(positive_definite(xp, a)) ** 3),
    "det": lambda xp, a: xp.linalg.det(a),
    "diagonal": lambda xp, a: xp.sum(xp.linalg.diagonal(a) ** 2),
    "inv": lambda xp, a: xp.sum(xp.linalg.inv(a) ** 2),
    "matmul": lambda xp, a: xp.sum(xp.matmul(a, a) ** 2),
    "matrix_norm": lambda xp, a: xp.linalg.matrix_norm(a) + xp.linalg.matrix_norm(a, ord=1),
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

# What balls cannot follow in an engine's own terms: bits of numbers, orders with signed zeros.
REFUSED = {("copysign", "jax"), ("searchsorted", "jax"), ("searchsorted", "torch")}


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
        proof = prove_gradient(f, params)
        if (name, kind) in REFUSED:
            assert proof.verdict == "not proved"
            assert "no rule in balls" in proof.reason
            return
        assert proof.verdict == "proved right", str(proof)
        value = np.asarray(proof.value)
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)
        wrong = value.copy()
        wrong[np.unravel_index(np.argmax(np.abs(wrong)), wrong.shape)] *= 1 + 1e-6
        for claim, verdict in ((expected, "proved right"), (wrong, "proved wrong")):
            assert prove_gradient(f, params, gradient=claim, rtol=1e-9).verdict == verdict


# NumPy's functions as array_api_compat gives them to those who import them.


def clipped(x):
    import array_api_compat.numpy as xp

    return xp.sum(xp.clip(x, 0.3, 0.6) ** 2)


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
        (solved, A, np.eye(3)),  # what is solved for is the first unit vector, whatever a is
        (searched, X, [1.0, 2.0, 1.0, 2.0]),
        (meshed, X, [0.4625, 0.4625, 2 * 1.18 * 0.23, 2 * 1.18 * 0.64]),
    ],
)
def test_functions_of_array_api_compat_itself_are_proved(f, x, gradient):
    import array_api_compat.numpy as xp

    given = xp.clip, xp.linalg.solve
    claim = np.asarray(gradient)
    proof = prove_gradient(f, x, gradient=claim, rtol=1e-14)
    assert proof.verdict == "proved right", str(proof)
    np.testing.assert_allclose(proof.value, claim, rtol=1e-14, atol=1e-20)
    wrong = claim + 1e-6 * (claim == claim.max())
    assert prove_gradient(f, x, gradient=wrong, rtol=1e-14).verdict == "proved wrong"
    assert given == (xp.clip, xp.linalg.solve)  # its own again, afterwards


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
