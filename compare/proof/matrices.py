"""Functions of matrices in balls: solutions, determinants, and what factors them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .arithmetic import acb_mat, arb
from .elementwise import sign_of, smooth, where
from .enclosed import (
    Enclosed,
    NotProved,
    balls,
    computed,
    constant,
    each,
    rounded,
    scaled,
    upper,
    zero_radius,
)
from .operations import (
    concat,
    entries,
    flip,
    index,
    matmul,
    matrix,
    matrix_products,
    permute,
    reshape,
    summed_to,
    total,
)


def solve(a: Enclosed, b: Enclosed) -> Enclosed:
    """Return the solution of a @ x = b; b is a vector where it has one axis."""
    if b.ndim == 1:
        return reshape(solve(a, reshape(b, (-1, 1))), b.shape)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    result = _solved(a.value, b.value, batch)

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray | None, ...]:
        to_b = _solved(np.swapaxes(a.value, -1, -2), cotangent, batch)
        to_a = None
        if a.depends:
            to_a = summed_to(
                each(lambda v: -v, matrix_products(to_b, np.swapaxes(result, -1, -2))), a.shape
            )
        return to_a, summed_to(to_b, b.shape) if b.depends else None

    return computed("solve", result, (a, b), pullback)


def _solved(a: np.ndarray, b: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
    a, b = rounded(a), rounded(b)
    result = np.empty((*batch, *b.shape[-2:]), object)
    left, right = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
    for at in np.ndindex(batch):
        try:
            result[at] = entries(matrix(left[at]).solve(matrix(right[at]), algorithm="lu"))
        except ZeroDivisionError as error:
            raise NotProved(
                "the matrix of solve or inv is singular, as far as its balls tell",
                hopeless=all(zero_radius(v) for v in balls(left[at]).ravel()),
            ) from error
    return rounded(result)


def inverse(a: Enclosed) -> Enclosed:
    return solve(a, constant(np.broadcast_to(np.eye(a.shape[-1]), a.shape)))


def determinant(a: Enclosed) -> Enclosed:
    result = np.empty(a.shape[:-2], object)
    for at in np.ndindex(a.shape[:-2]):
        result[at] = matrix(rounded(a.value[at])).det()
    result = rounded(result)

    def pullback(cotangent: np.ndarray) -> tuple[np.ndarray]:
        gathered = np.empty(a.shape, object)
        for at in np.ndindex(a.shape[:-2]):
            gathered[at] = scaled(cotangent[at], _cofactors(rounded(a.value[at]), result[at]))
        return (rounded(gathered),)

    return computed("det", result, (a,), pullback)


def _cofactors(a: np.ndarray, determinant_: Any) -> np.ndarray:
    """Return the slopes of the determinant, which a singular matrix has too."""
    size = len(a)
    try:
        return np.asarray(entries(matrix(a).inv().transpose()) * determinant_)
    except ZeroDivisionError:
        result = np.empty((size, size), object)
        for row, column in np.ndindex(size, size):
            minor = np.delete(np.delete(a, row, 0), column, 1)
            result[row, column] = (-1) ** (row + column) * (
                matrix(minor).det() if size > 1 else arb(1)
            )
        return result


def cholesky(a: Enclosed, upper: bool = False) -> Enclosed:
    """Return the factor of symmetric matrices, of which the lower triangle is read."""
    size = a.shape[-1]
    rows, columns = np.tril_indices(size)
    lower = index(a, (..., rows, columns))
    columns_of: dict[tuple[int, int], Enclosed] = {
        (int(i), int(j)): index(lower, (..., k))
        for k, (i, j) in enumerate(zip(rows, columns, strict=True))
    }
    factor: dict[tuple[int, int], Enclosed] = {}
    zero = constant(np.zeros(a.shape[:-2]))
    for j in range(size):
        for i in range(j, size):
            rest = columns_of[i, j]
            for k in range(j):
                rest = smooth("subtract", rest, smooth("multiply", factor[i, k], factor[j, k]))
            factor[i, j] = smooth("sqrt", rest) if i == j else smooth("divide", rest, factor[j, j])
    flat = [
        reshape(factor.get((j, i) if upper else (i, j), zero), (*a.shape[:-2], 1))
        for i in range(size)
        for j in range(size)
    ]
    return reshape(concat(flat, -1), a.shape)


def transposed(x: Enclosed) -> Enclosed:
    return permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])


def triangle(x: Enclosed, lower: bool = False, unit: bool = False) -> Enclosed:
    """Return a triangle, with zeros beside it, and ones on the diagonal where it is a unit one."""
    rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
    kept = rows >= columns if lower else rows <= columns
    if unit:
        kept = kept & (rows != columns)
    outside = constant(np.broadcast_to((rows == columns).astype(float) * unit, x.shape))
    return where(constant(np.broadcast_to(kept, x.shape)), x, outside)


def qr(a: Enclosed, mode: str = "reduced") -> tuple[Enclosed, Enclosed]:
    """Return the factors of a matrix by Householder's reflections, with LAPACK's signs.

    raises: NotProved for stacks, and where a column is zero below the diagonal: f jumps there
    """
    if a.ndim != 2 or mode not in ("reduced", "complete"):
        raise NotProved(f"no rule in balls for qr of stacks of matrices, or with mode {mode}")
    rows, columns = a.shape
    q, r = constant(np.eye(rows)), a
    for k in range(min(rows - 1, columns)):
        x = index(r, (slice(k, None), k))
        first, rest = index(x, (slice(1),)), index(x, (slice(1, None),))
        below = total(smooth("square", rest), (0,), True)
        if not below.value[0] > 0:
            raise NotProved(f"column {k} of qr is zero below the diagonal, as far as balls tell")
        size = smooth("sqrt", smooth("add", smooth("square", first), below))
        head = smooth("add", first, smooth("multiply", sign_of(first), size))
        v = concat([constant(np.zeros(k)), head, rest], 0)
        outer = smooth("multiply", reshape(v, (-1, 1)), reshape(v, (1, -1)))
        share = smooth("divide", outer, total(smooth("square", v), (0,)))
        turn = smooth("subtract", constant(np.eye(rows)), smooth("multiply", share, constant(2.0)))
        q, r = matmul(q, turn), matmul(turn, r)
    kept = rows if mode == "complete" else min(rows, columns)
    return index(q, (slice(None), slice(kept))), triangle(index(r, (slice(kept),)))


# Of floats, what a framework has: vectors of a symmetric matrix; u and the transpose of v.
Vectors = Callable[[np.ndarray], np.ndarray]
Singular = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def vectors_of_numpy(a: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.eigh(a)[1])


def singular_of_numpy(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, _, v = np.linalg.svd(a, full_matrices=False)
    return u, v


def eigh(
    a: Enclosed, lower: bool = True, like: Vectors = vectors_of_numpy
) -> tuple[Enclosed, Enclosed]:
    """Return the eigenvalues of symmetric matrices, in ascending order, and their vectors.

    One triangle is read.
    like: whose signs the vectors have
    raises: NotProved where balls do not tell the eigenvalues apart
    """
    places = np.indices(a.shape[-2:])
    first, second = (places.max(axis=0), places.min(axis=0))[:: 1 if lower else -1]
    symmetric = index(a, (..., first, second))
    return _eigh(symmetric, lambda at: like(_floats(symmetric.value[at])))


def _eigh(a: Enclosed, like: Callable[[tuple[int, ...]], np.ndarray]) -> tuple[Enclosed, Enclosed]:
    batch, size = a.shape[:-2], a.shape[-1]
    values, vectors = np.empty((*batch, size), object), np.empty(a.shape, object)
    for at in np.ndindex(batch):
        values[at], vectors[at] = _diagonalized(a.value[at], like(at))

    def of_values(cotangent: np.ndarray) -> tuple[np.ndarray]:
        across = scaled(np.asarray(cotangent)[..., None, :], vectors)
        return (matrix_products(across, np.swapaxes(vectors, -1, -2)),)

    def of_vectors(cotangent: np.ndarray) -> tuple[np.ndarray]:
        gaps = each(lambda x, y: y - x, values[..., :, None], values[..., None, :])
        turned = matrix_products(np.swapaxes(vectors, -1, -2), cotangent)
        for k in range(size):
            gaps[..., k, k], turned[..., k, k] = arb(1), arb(0)
        across = matrix_products(vectors, each(lambda x, gap: x / gap, turned, gaps))
        return (matrix_products(across, np.swapaxes(vectors, -1, -2)),)

    return (
        computed("eigh", values, (a,), of_values),
        computed("eigh", vectors, (a,), of_vectors),
    )


def _floats(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = each(lambda ball: float(ball.mid()), balls(values)).astype(np.float64)
    return found


def _diagonalized(a: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = len(a)
    try:
        found, right = acb_mat(matrix(a)).eig(right=True)
    except ValueError as error:
        raise NotProved("balls do not tell eigenvalues of eigh apart", hopeless=False) from error
    order = sorted(range(size), key=lambda k: found[k].real.mid())
    vectors = np.empty((size, size), object)
    for column, k in enumerate(order):
        # Of a real symmetric matrix, a vector is a complex number times a real one.
        entries_ = [right[row, k] for row in range(size)]
        pivot = max(entries_, key=lambda entry: entry.abs_lower())
        real = [(entry / pivot).real for entry in entries_]
        length = sum((x * x for x in real), arb(0)).sqrt()
        along = sum((x * float(s) for x, s in zip(real, like[:, column], strict=True)), arb(0))
        if not (along > 0 or along < 0):
            raise NotProved("balls do not tell the sign of an eigenvector", hopeless=False)
        vectors[:, column] = [x / length if along > 0 else -x / length for x in real]
    values = np.empty(size, object)
    values[:] = [found[k].real for k in order]
    return values, vectors


def svd(
    a: Enclosed, full: bool = False, like: Singular = singular_of_numpy
) -> tuple[Enclosed, Enclosed, Enclosed]:
    """Return u, singular values in descending order, and the transpose of v.

    like: whose signs the vectors have
    raises: NotProved where singular values are not told apart, or one may be 0
    """
    rows, columns = a.shape[-2:]
    if full and rows != columns:
        raise NotProved("no rule in balls for the full svd of matrices that are not square")
    tall = rows > columns

    def signs(at: tuple[int, ...]) -> np.ndarray:
        u, v = like(_floats(a.value[at]))
        return np.asarray(v.T if tall else u)[:, ::-1]

    squares, inner = _eigh(matmul(transposed(a), a) if tall else matmul(a, transposed(a)), signs)
    sizes, inner = smooth("sqrt", flip(squares, (-1,))), flip(inner, (-1,))
    outer = matmul(a if tall else transposed(a), inner)
    outer = smooth("divide", outer, reshape(sizes, (*sizes.shape[:-1], 1, sizes.shape[-1])))
    return (outer, sizes, transposed(inner)) if tall else (inner, sizes, transposed(outer))


def pinv(a: Enclosed, rtol: float | None = None) -> Enclosed:
    """Return the pseudo-inverse of matrices of full rank.

    raises: NotProved where a singular value may be less than rtol of the largest, and cut off
    """
    rows, columns = a.shape[-2:]
    if rows < columns:
        return transposed(pinv(transposed(a), rtol))
    found = solve(matmul(transposed(a), a), transposed(a))
    # Norms of Frobenius are above the largest singular value, and above 1 over the smallest.
    least = 10 * rows * np.finfo(np.float64).eps if rtol is None else rtol
    for at in np.ndindex(a.shape[:-2]):
        sizes = (_frobenius(x.value[at]) for x in (a, found))
        if not upper(next(sizes) * next(sizes)) * least < 1:
            raise NotProved("pinv may cut off a singular value that is not zero")
    return found


def _frobenius(values: np.ndarray) -> Any:
    return sum((ball * ball for ball in balls(values).ravel()), arb(0)).sqrt()
