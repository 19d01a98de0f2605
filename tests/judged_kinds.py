"""Derivatives of every kind before the judge: of functions drawn anew, right and made wrong.

The functions are F(x) = A g(B h(C x)) + (Px) (Qx) with a vector x cut up into leaves, whose first
and second derivatives are products of the matrices: nothing here is measured or differentiated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from gradparity.compare import (
    GradientCheck,
    check_gradient,
    check_hessian,
    check_jacobian,
    check_pushforward,
)

# Smooth functions with their first and second derivatives.
ELEMENTWISE: tuple[tuple[Callable[..., Any], ...], ...] = (
    (
        lambda xp, u: xp.tanh(u),
        lambda u: 1 - np.tanh(u) ** 2,
        lambda u: -2 * np.tanh(u) * (1 - np.tanh(u) ** 2),
    ),
    (lambda xp, u: xp.sin(u), np.cos, lambda u: -np.sin(u)),
    (lambda xp, u: xp.exp(u / 2), lambda u: np.exp(u / 2) / 2, lambda u: np.exp(u / 2) / 4),
    (lambda xp, u: u**3, lambda u: 3 * u**2, lambda u: 6 * u),
    (
        lambda xp, u: xp.log(1 + u**2),
        lambda u: 2 * u / (1 + u**2),
        lambda u: 2 * (1 - u**2) / (1 + u**2) ** 2,
    ),
    (
        lambda xp, u: xp.sqrt(2 + u**2),
        lambda u: u / np.sqrt(2 + u**2),
        lambda u: 2 / (2 + u**2) ** 1.5,
    ),
)
SHAPES = ((), (1,), (3,), (7,), (2, 3), (4, 4), (5, 2), (2, 3, 2), (1, 4))
# Entries below this share of the largest are none that anybody could miss.
MATTERS = 1e-3


@dataclass(frozen=True)
class Drawn:
    """A drawn function of a dict of leaves, and its derivatives at the flat point x.

    Where there is a second part, x is that of the real parts and `imaginary` that of the others.
    """

    seed: int
    shapes: dict[str, tuple[int, ...]]
    output_shape: tuple[int, ...]
    x: np.ndarray
    inner: int
    outer: int
    matrices: dict[str, np.ndarray]
    imaginary: np.ndarray | None = None

    def output(self, params: dict[str, Any]) -> Any:
        """Return F, an array of `output_shape`."""
        leaves = [params[name] for name in self.shapes]
        xp = array_namespace(*leaves)
        x = xp.concat([xp.reshape(leaf, (-1,)) for leaf in leaves])
        if self.imaginary is not None:
            x = xp.concat([xp.real(x), xp.imag(x)])
        kept = {name: xp.asarray(matrix) for name, matrix in self.matrices.items()}
        hidden = ELEMENTWISE[self.inner][0](xp, kept["C"] @ x)
        top = kept["A"] @ ELEMENTWISE[self.outer][0](xp, kept["B"] @ hidden)
        return xp.reshape(top + (kept["P"] @ x) * (kept["Q"] @ x), self.output_shape)

    def loss(self, params: dict[str, Any]) -> Any:
        """Return the sum of F."""
        return array_namespace(*params.values()).sum(self.output(params))

    @property
    def point(self) -> np.ndarray:
        return self.x if self.imaginary is None else np.concatenate([self.x, self.imaginary])

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        m = self.matrices
        u = m["C"] @ self.point
        return u, m["B"] @ ELEMENTWISE[self.inner][0](np, u)

    def jacobian(self, without: str = "") -> np.ndarray:
        """Return dF/dx, outputs by inputs; without the term of the product if it is so named."""
        m = self.matrices
        u, v = self.parts()
        first = m["A"] * ELEMENTWISE[self.outer][1](v) @ m["B"]
        whole = first * ELEMENTWISE[self.inner][1](u) @ m["C"]
        if without == "product":
            return whole
        x = self.point
        product = (m["P"] @ x)[:, None] * m["Q"]
        if without != "half a product":
            product = product + (m["Q"] @ x)[:, None] * m["P"]
        return whole + product

    def hessian(self, without: str = "") -> np.ndarray:
        """Return the second derivatives of `loss`; without the curvature within if so named."""
        m = self.matrices
        u, v = self.parts()
        a = m["A"].sum(axis=0)
        slope = ELEMENTWISE[self.inner][1](u)[:, None] * m["C"]
        inner = m["B"] @ slope
        whole = (inner.T * (a * ELEMENTWISE[self.outer][2](v))) @ inner
        if without != "inner curvature":
            pulled = (a * ELEMENTWISE[self.outer][1](v)) @ m["B"]
            whole = whole + (m["C"].T * (pulled * ELEMENTWISE[self.inner][2](u))) @ m["C"]
        product = m["P"].T @ m["Q"]
        if without != "half a product":
            product = product + product.T
        return whole + product

    def tree(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Cut a flat array, along its last axis, up into the leaves."""
        cuts = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())])
        return {
            name: flat[..., cuts[k] : cuts[k + 1]].reshape((*flat.shape[:-1], *shape))
            for k, (name, shape) in enumerate(self.shapes.items())
        }

    def place(self, entry: int) -> tuple[str, tuple[int, ...]]:
        """Return the leaf and the index of a flat entry."""
        for name, shape in self.shapes.items():
            size = int(np.prod(shape))
            if entry < size:
                return name, tuple(int(i) for i in np.unravel_index(entry, shape))
            entry -= size
        raise IndexError(entry)


def draw(seed: int, *, is_complex: bool = False) -> Drawn:
    """Return a function whose Jacobian and Hessian are finite and not tiny."""
    rng = np.random.default_rng([seed, 17])
    count = int(rng.integers(1, 4))
    shapes = {f"leaf{k}": SHAPES[rng.integers(len(SHAPES))] for k in range(count)}
    size = sum(int(np.prod(shape)) for shape in shapes.values())
    output_shape = SHAPES[1 + rng.integers(len(SHAPES) - 1)]
    outputs = int(np.prod(output_shape))
    inputs = size * (1 + is_complex)
    hidden, middle = (int(rng.integers(2, 8)) for _ in range(2))

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.normal(size=(rows, columns)) / np.sqrt(columns)

    # Leaves of unlike sizes, as parameters are.
    scale = np.concatenate(
        [np.full(int(np.prod(shape)), 10.0 ** rng.uniform(-1, 1)) for shape in shapes.values()]
    )
    x = scale * rng.uniform(0.3, 1.5, size) * rng.choice((-1, 1), size)
    imaginary = scale * rng.normal(size=size) if is_complex else None
    point = x if imaginary is None else np.concatenate([x, imaginary])
    unit = 1 / np.concatenate([scale] * (1 + is_complex))
    matrices = {
        "A": matrix(outputs, middle),
        "B": matrix(middle, hidden),
        "C": matrix(hidden, inputs) * unit,
        "P": matrix(outputs, inputs) * unit,
        "Q": matrix(outputs, inputs) * unit,
    }
    inner, outer = (int(rng.integers(len(ELEMENTWISE))) for _ in range(2))
    assert len(point) == inputs
    return Drawn(seed, shapes, output_shape, x, inner, outer, matrices, imaginary)


# Faults.


@dataclass(frozen=True)
class Fault:
    """Numbers made wrong: what was done, and what they are."""

    name: str
    wrong: np.ndarray


def faults(right: np.ndarray, others: dict[str, np.ndarray], seed: int) -> list[Fault]:
    """Return ways to make an array wrong; `others`: wrong arrays that the function itself gives.

    right: of two axes at most; each fault is seen in an entry that is none of the smallest
    """
    rng = np.random.default_rng([seed, 23])
    flat = right.reshape(-1)
    large = np.flatnonzero(np.abs(flat) > 0.01 * np.abs(flat).max())
    entry = int(rng.choice(large))
    one, negated = flat.copy(), flat.copy()
    one[entry] *= 1.01
    negated[entry] *= -1
    row, column = right.copy(), right.copy()
    row[rng.integers(len(right))] = 0
    column[..., rng.integers(right.shape[-1])] = 0
    made = {
        "sign": -right,
        "factor 2": 2 * right,
        "factor 1.001": 1.001 * right,
        "missing 1/N": int(rng.integers(3, 20)) * right,
        "zeros": np.zeros_like(right),
        "one entry 1 %": one.reshape(right.shape),
        "one entry's sign": negated.reshape(right.shape),
        "zeroed row": row,
        "zeroed column": column,
        "transposed": right.T.reshape(right.shape),
        "reversed": flat[::-1].reshape(right.shape),
        "constant added": right + 0.01 * np.abs(right).max(),
        **others,
    }
    size = np.abs(right).max()
    return [
        Fault(name, wrong)
        for name, wrong in made.items()
        if np.abs(wrong - right).max() > MATTERS * size
    ]


@dataclass(frozen=True)
class Task:
    """A derivative of one drawn function.

    right: its numbers; others: wrong ones that a forgotten term gives; check: judges such numbers
    place: the leaf and the index of a flat entry, as a suspect has them
    """

    right: np.ndarray
    others: dict[str, np.ndarray]
    check: Callable[[np.ndarray], GradientCheck]
    place: Callable[[int], tuple[str, tuple[int, ...]]]


def vjp(seed: int) -> Task:
    drawn = draw(seed)
    rng = np.random.default_rng([seed, 3])
    cotangent = rng.normal(size=drawn.output_shape)
    weights = cotangent.reshape(-1)
    others = {
        name: weights @ drawn.jacobian(without=name) for name in ("product", "half a product")
    }
    others["cotangent forgotten"] = drawn.jacobian().sum(axis=0)
    return Task(
        weights @ drawn.jacobian(),
        others,
        lambda flat: check_gradient(
            drawn.output, drawn.tree(drawn.x), cotangent=cotangent, gradient=drawn.tree(flat)
        ),
        drawn.place,
    )


def pushforward(seed: int) -> Task:
    drawn = draw(seed)
    tangent = np.random.default_rng([seed, 4]).normal(size=drawn.x.size) * np.abs(drawn.x)
    others = {
        name: drawn.jacobian(without=name) @ tangent for name in ("product", "half a product")
    }
    others["tangent forgotten"] = drawn.jacobian() @ np.abs(drawn.x)
    shape = drawn.output_shape
    return Task(
        drawn.jacobian() @ tangent,
        others,
        lambda flat: check_pushforward(
            drawn.output,
            drawn.tree(drawn.x),
            tangent=drawn.tree(tangent),
            output_tangent=flat.reshape(shape),
        ),
        lambda entry: ("", tuple(int(i) for i in np.unravel_index(entry, shape))),
    )


def jacobian(seed: int) -> Task:
    drawn = draw(seed)
    right, shape = drawn.jacobian(), drawn.output_shape

    def place(entry: int) -> tuple[str, tuple[int, ...]]:
        output, parameter = divmod(entry, drawn.x.size)
        leaf, index = drawn.place(parameter)
        return leaf, (*(int(i) for i in np.unravel_index(output, shape)), *index)

    def blocks(matrix: np.ndarray) -> dict[str, np.ndarray]:
        return {
            name: block.reshape((*shape, *drawn.shapes[name]))
            for name, block in drawn.tree(matrix).items()
        }

    return Task(
        right,
        {name: drawn.jacobian(without=name) for name in ("product", "half a product")},
        lambda matrix: check_jacobian(drawn.output, drawn.tree(drawn.x), jacobian=blocks(matrix)),
        place,
    )


def _second(drawn: Drawn) -> dict[str, np.ndarray]:
    return {name: drawn.hessian(without=name) for name in ("inner curvature", "half a product")}


def hessian(seed: int) -> Task:
    drawn = draw(seed)

    def place(entry: int) -> tuple[str, tuple[int, ...]]:
        row, column = (drawn.place(part) for part in divmod(entry, drawn.x.size))
        leaf = column[0] if len(drawn.shapes) == 1 else f"{row[0]}, {column[0]}"
        return leaf, (*row[1], *column[1])

    def blocks(matrix: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        rows = drawn.tree(matrix.T)
        return {
            name: {
                other: block.reshape((*drawn.shapes[name], *drawn.shapes[other]))
                for other, block in drawn.tree(rows[name].reshape((drawn.x.size, -1)).T).items()
            }
            for name in drawn.shapes
        }

    return Task(
        drawn.hessian(),
        _second(drawn),
        lambda matrix: check_hessian(drawn.loss, drawn.tree(drawn.x), hessian=blocks(matrix)),
        place,
    )


def hessian_products(seed: int) -> Task:
    drawn = draw(seed)

    def check(matrix: np.ndarray) -> GradientCheck:
        def product(params: dict[str, Any], tangent: dict[str, Any]) -> dict[str, np.ndarray]:
            flat = np.concatenate([np.ravel(np.asarray(tangent[name])) for name in drawn.shapes])
            return drawn.tree(matrix @ flat)

        return check_hessian(drawn.loss, drawn.tree(drawn.x), hessian_vector_product=product)

    return Task(
        drawn.hessian(),
        _second(drawn),
        check,
        lambda entry: drawn.place(entry // drawn.x.size),
    )


def _complex(seed: int, framework: str) -> Task:
    drawn = draw(seed, is_complex=True)
    assert drawn.imaginary is not None
    z = drawn.x + 1j * drawn.imaginary

    def gradient(without: str = "") -> np.ndarray:
        flat = drawn.jacobian(without).sum(axis=0)
        return flat[: len(z)] + 1j * flat[len(z) :]

    def as_given(flat: np.ndarray) -> dict[str, Any]:
        tree = drawn.tree(flat)
        if framework == "torch":
            import torch

            return {name: torch.tensor(leaf.copy()) for name, leaf in tree.items()}
        if framework == "jax":
            import jax

            with jax.enable_x64(True):
                return {name: jax.numpy.asarray(leaf.conj()) for name, leaf in tree.items()}
        return tree

    right = gradient()
    return Task(
        right,
        {
            "conjugated": right.conj(),
            "real part alone": right.real + 0j,
            "turned by i": 1j * right,
            "half": right / 2,
            "half a product": gradient("half a product"),
        },
        lambda flat: check_gradient(drawn.loss, drawn.tree(z), gradient=as_given(flat)),
        drawn.place,
    )


def complex_numpy(seed: int) -> Task:
    return _complex(seed, "numpy")


def complex_torch(seed: int) -> Task:
    return _complex(seed, "torch")


def complex_jax(seed: int) -> Task:
    return _complex(seed, "jax")


def in_float32(kind: Callable[[int], Task]) -> Callable[[int], Task]:
    """Return the same derivative claimed in float32."""

    def task(seed: int) -> Task:
        double = kind(seed)
        return replace(double, check=lambda numbers: double.check(numbers.astype(np.float32)))

    return task


KINDS = {
    "VJP": vjp,
    "JVP": pushforward,
    "Jacobian": jacobian,
    "Hessian": hessian,
    "Hessian-vector products": hessian_products,
    "Jacobian, float32": in_float32(jacobian),
    "Hessian, float32": in_float32(hessian),
    "complex, NumPy": complex_numpy,
    "complex, torch": complex_torch,
    "complex, JAX": complex_jax,
}


# The judge.


@dataclass
class Tally:
    """Counts, and in words what was not as expected; named: wrong entries rightly named."""

    right: int = 0
    accepted: int = 0
    planted: int = 0
    found: int = 0
    named: int = 0
    surprises: list[str] = field(default_factory=list)


def judged(kind: str, seeds: Iterator[int] | range) -> Tally:
    """Judge the right numbers of each function drawn, and those with one fault planted."""
    tally = Tally()
    for seed in seeds:
        task = KINDS[kind](seed)
        possible = faults(task.right, task.others, seed)
        fault = possible[seed % len(possible)]
        check, wrong = task.check(task.right), task.check(fault.wrong)
        tally.right += 1
        tally.accepted += check.verdict == "agree"
        tally.planted += 1
        tally.found += wrong.verdict == "differ"
        named = is_named(task, fault, wrong)
        tally.named += named
        if check.verdict != "agree":
            tally.surprises.append(f"{kind}, seed {seed}, right: {check.reason}")
        if wrong.verdict != "differ" or not named:
            entries = [(one.leaf, one.index) for one in wrong.suspects]
            tally.surprises.append(f"{kind}, seed {seed}, {fault.name}: {wrong.reason} {entries}")
    return tally


def is_named(task: Task, fault: Fault, check: GradientCheck) -> bool:
    """Tell whether entries are named, all of them wrong, and the only one where there is one."""
    off = np.flatnonzero(np.abs(fault.wrong - task.right).reshape(-1))
    places = {task.place(int(entry)) for entry in off}
    named = {(one.leaf, one.index) for one in check.suspects}
    return bool(named) and named <= places
