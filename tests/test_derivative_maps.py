"""VJPs, pushforwards, Jacobians, Hessians, complex gradients: right agree, faults are named."""

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends.errors import InvalidSetting, NonScalarLoss
from gradparity.compare import check_gradient, check_hessian, check_jacobian, check_pushforward

MATRIX = np.random.default_rng(0).normal(size=(4, 3))


def layer(x):
    xp = array_namespace(x)
    return xp.tanh(xp.asarray(MATRIX) @ x)


def layer_jacobian(x):
    return (1 - np.tanh(MATRIX @ x) ** 2)[:, None] * MATRIX


def two_outputs(params):
    return {"sum": params["a"] * params["b"], "square": params["a"] ** 2}


def cubic(x):
    return (x**3).sum() + x[0] * x[1]


def cubic_hessian(x):
    hessian = np.diag(6 * x)
    hessian[0, 1] = hessian[1, 0] = 1
    return hessian


def points(count):
    rng = np.random.default_rng(1)
    return [rng.uniform(0.3, 1.5, 3) * rng.choice((-1, 1), 3) for _ in range(count)]


def places(check):
    return {(suspect.leaf, suspect.index) for suspect in check.suspects}


@pytest.mark.parametrize("x", points(4), ids=str)
def test_a_vjp_is_judged_with_its_cotangent(x):
    cotangent = np.array([1.0, -1, 0.5, 2])
    right = cotangent @ layer_jacobian(x)
    assert check_gradient(layer, x, cotangent=cotangent, gradient=right).verdict == "agree"
    wrong = right * np.array([1, 1.001, 1])
    check = check_gradient(layer, x, cotangent=cotangent, gradient=wrong)
    assert check.verdict == "differ"
    assert places(check) == {("", (1,))}


def test_a_rule_that_forgets_its_cotangent_is_wrong_though_a_sum_would_hide_it(load_backend):
    load_backend("torch")
    import torch

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        def backward(context, cotangent):
            return torch.cos(context.saved_tensors[0])  # without the cotangent

    x = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    cotangent = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)

    def rule(x):
        return torch.autograd.grad(Sine.apply(x.requires_grad_()), x, cotangent)[0]

    check = check_gradient(Sine.apply, x, cotangent=cotangent, gradient=rule)
    assert check.verdict == "differ"
    assert places(check) == {("", (1,)), ("", (2,))}


@pytest.mark.parametrize("x", points(4), ids=str)
def test_a_pushforward_is_judged_output_by_output(x):
    tangent = np.array([1.0, -2, 0.3])
    right = layer_jacobian(x) @ tangent
    check = check_pushforward(layer, x, tangent=tangent, output_tangent=right)
    assert check.verdict == "agree", str(check)
    assert check.evaluations <= 20
    wrong = right * np.array([1, 1, 1.001, 1])
    check = check_pushforward(layer, x, tangent=tangent, output_tangent=wrong)
    assert places(check) == {("", (2,))}
    by_rule = check_pushforward(
        layer, x, tangent=tangent, output_tangent=lambda x, v: layer_jacobian(x) @ v
    )
    assert by_rule.verdict == "agree"


def test_a_random_function_has_no_pushforward():
    rng = np.random.default_rng(0)
    check = check_pushforward(
        lambda x: x + rng.normal(size=3), np.ones(3), tangent=np.ones(3), output_tangent=np.ones(3)
    )
    assert check.verdict == "cannot tell"
    assert "at the same point" in check.reason


@pytest.mark.parametrize("x", points(3), ids=str)
def test_a_jacobian_is_judged_entry_by_entry(x):
    right = layer_jacobian(x)
    assert check_jacobian(layer, x, jacobian=right).verdict == "agree"
    assert check_jacobian(layer, x, jacobian=layer_jacobian).verdict == "agree"
    wrong = right.copy()
    wrong[1, 2] += 0.01
    check = check_jacobian(layer, x, jacobian=wrong)
    assert check.verdict == "differ"
    assert places(check) == {("", (1, 2))}
    assert check_jacobian(layer, x, jacobian=-right).pattern == "sign"
    with pytest.raises(InvalidSetting, match="it may be transposed"):
        check_jacobian(layer, x, jacobian=right.T)


def test_a_jacobian_of_several_outputs_and_parameters_names_both_leaves():
    params = {"a": np.array([0.5, 2.0]), "b": np.array([-1.0, 3.0])}
    jacobian = {
        "sum": {"a": np.diag(params["b"]), "b": np.diag(params["a"])},
        "square": {"a": np.diag(2 * params["a"]), "b": np.zeros((2, 2))},
    }
    assert check_jacobian(two_outputs, params, jacobian=jacobian).verdict == "agree"
    jacobian["square"]["b"][0, 1] = 0.1
    check = check_jacobian(two_outputs, params, jacobian=jacobian)
    assert places(check) == {("square, b", (0, 1))}


@pytest.mark.parametrize("x", points(3), ids=str)
def test_a_hessian_is_judged_and_its_symmetry_said(x):
    right = cubic_hessian(x)
    check = check_hessian(cubic, x, hessian=right)
    assert check.verdict == "agree", str(check)
    assert "the Hessian given is symmetric" in str(check)
    wrong = right.copy()
    wrong[0, 1] += 0.05
    check = check_hessian(cubic, x, hessian=wrong)
    assert places(check) == {("", (0, 1))}
    assert "symmetric to" in str(check)


@pytest.mark.parametrize("factor", [1.0, 1.001, -1.0])
def test_hessian_vector_products_are_judged(factor):
    x = points(1)[0]

    def product(x, tangent):
        return factor * cubic_hessian(np.asarray(x)) @ np.asarray(tangent)

    check = check_hessian(cubic, x, hessian_vector_product=product)
    assert check.verdict == ("agree" if factor == 1 else "differ"), str(check)


def test_second_derivatives_of_what_no_engine_differentiates_are_slopes_of_slopes():
    x = points(1)[0][:2]  # each slope of slopes costs thousands of calls

    def black_box(x):
        return float(np.sum(np.exp(np.asarray(x))))

    check = check_hessian(black_box, x, hessian=np.diag(np.exp(x)))
    assert check.verdict == "agree", str(check)
    assert "slopes of slopes" in str(check)
    wrong = check_hessian(black_box, x, hessian=np.diag(1.01 * np.exp(x)))
    assert wrong.verdict == "differ"


@pytest.mark.parametrize("engine", ["torch", "jax", None])
def test_a_wrong_hessian_is_compared_with_the_certified_gradient_s_own(load_backend, engine):
    load_backend("torch")
    x = points(1)[0]
    params = load_backend(engine).asarray(x) if engine else x
    wrong = cubic_hessian(x)
    wrong[1, 2] += 0.01
    check = check_hessian(cubic, params, hessian=wrong)
    assert {suspect.index for suspect in check.suspects} == {(1, 2)}, str(check)
    by_slopes = check_hessian(  # each slope of it takes slopes of f
        lambda p: float(cubic(np.asarray(p))), x, hessian=wrong
    )
    assert {suspect.index for suspect in by_slopes.suspects} == {(1, 2)}, str(by_slopes)
    assert check.evaluations < 200 < by_slopes.evaluations


def test_a_number_of_no_axis_is_moved_as_an_array(load_backend):
    params = load_backend("torch").asarray(np.asarray(0.5))
    for factor, verdict in ((1.0, "agree"), (1.01, "differ")):
        pushed = factor * 0.25 * np.asarray([2.0, 1.0])
        check = check_pushforward(
            lambda p: array_namespace(p).stack([p + p, p]),
            params,
            tangent=np.asarray(0.25),
            output_tangent=pushed,
        )
        assert check.verdict == verdict, str(check)


class Halved:
    """A gradient that is right at 0 alone: x sin(x) + 3 x without the change of sin(x)."""

    def __init__(self, detached):
        self.detached = detached

    def __call__(self, x):
        return (x * array_namespace(x).sin(self.detached(x)) + 3 * x).sum()


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_an_engine_that_is_right_at_the_point_alone_shows_no_second_derivatives(
    load_backend, engine
):
    backend = load_backend(engine)
    stopped = (lambda x: x.detach()) if engine == "torch" else jax_stop_gradient
    f, x = Halved(stopped), backend.asarray(np.zeros(2))
    assert check_hessian(f, x, hessian=2 * np.eye(2)).verdict == "agree"
    assert check_hessian(f, x, hessian=np.eye(2)).verdict == "differ"
    product = check_hessian(f, x, hessian_vector_product=lambda x, v: v)
    assert product.verdict == "differ"
    number = backend.asarray(np.zeros(()))
    assert check_hessian(f, number, hessian=np.asarray(1.0)).verdict == "differ"


def jax_stop_gradient(x):
    import jax

    return jax.lax.stop_gradient(x)


def test_a_hessian_is_known_no_finer_than_the_gradient_that_it_is_a_slope_of(load_backend):
    load_backend("torch")
    x = points(1)[0]
    check = check_hessian(lambda x: 1e4 * x.sum() + cubic(x), x, hessian=cubic_hessian(x))
    assert check.verdict == "agree", str(check)
    assert 1e-10 < check.resolution <= 1e-4
    assert f"right to {check.resolution:.1e}" in check.reason
    (leaf,) = check.leaves
    assert leaf.resolution == check.resolution <= leaf.entry_resolution


def test_a_hessian_needs_one_claim():
    with pytest.raises(InvalidSetting, match="neither"):
        check_hessian(cubic, np.ones(3))


@pytest.mark.parametrize("claim", ["complex", "text", "missing", "infinite"])
def test_a_block_that_holds_no_real_numbers_is_named(claim):
    block = {
        "complex": 2j * np.eye(2),
        "text": "2",
        "missing": None,
        "infinite": np.diag([2, np.inf]),
    }
    params = {"a": np.ones(2)}

    def check():
        return check_hessian(lambda p: (p["a"] ** 2).sum(), params, hessian=block_of(block[claim]))

    def block_of(block):
        return {"a": {"a": block}}

    if claim == "infinite":
        assert check().verdict == "differ"
        assert "not finite" in str(check())
    else:
        with pytest.raises(InvalidSetting, match="Hessian") as error:
            check()
        assert "expected" in str(error.value)


@pytest.mark.parametrize("output", [None, {}, []], ids=repr)
def test_an_output_without_a_number_is_refused(output):
    with pytest.raises(NonScalarLoss, match="without a single number"):
        check_pushforward(lambda x: output, np.ones(2), tangent=np.ones(2), output_tangent=output)


def test_sparse_blocks_are_read_as_dense_ones(load_backend):
    load_backend("torch")
    import torch

    for factor, verdict in ((2, "agree"), (2.01, "differ")):
        sparse = factor * torch.eye(2, dtype=torch.float64).to_sparse()
        assert check_jacobian(lambda x: x**2, np.ones(2), jacobian=sparse).verdict == verdict


Z = np.array([1 + 2j, -0.5 + 0.3j])


def real_of_complex(z):
    return (z.real**2 + z.imag**3 + z.real * z.imag).sum()


Z_GRADIENT = 2 * Z.real + Z.imag + 1j * (3 * Z.imag**2 + Z.real)


def test_a_complex_number_of_no_axis_is_a_parameter_too():
    z = {"z": np.array(1 + 2j)}
    for right, verdict in ((2 + 12j, "agree"), (2 - 12j, "differ")):
        check = check_gradient(
            lambda p: p["z"].real ** 2 + p["z"].imag ** 3, z, gradient={"z": np.array(right)}
        )
        assert check.verdict == verdict, str(check)


def test_a_complex_gradient_has_its_framework_s_convention(load_backend):
    assert check_gradient(real_of_complex, Z, gradient=Z_GRADIENT).verdict == "agree"
    check = check_gradient(real_of_complex, Z, gradient=Z_GRADIENT.conj())
    assert check.verdict == "differ"
    assert "conjugated" in check.pattern
    assert check.suspects[0].expected == pytest.approx(Z_GRADIENT[check.suspects[0].index])
    load_backend("jax")
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        z = jnp.asarray(Z)
        right = check_gradient(real_of_complex, z, gradient=jax.grad(real_of_complex))
    assert right.verdict == "agree", str(right)


def test_torch_s_complex_gradient_agrees(load_backend):
    load_backend("torch")
    import torch

    z = torch.tensor(Z)

    def f(z):
        return torch.exp(z).abs().sum()

    def rule(z):
        return torch.autograd.grad(f(z.requires_grad_()), z)[0]

    assert check_gradient(f, z, gradient=rule).verdict == "agree"
    assert check_gradient(f, z, gradient=lambda z: 2 * rule(z)).pattern == "constant factor 2+0j"


def test_complex64_is_granted_what_the_rounding_of_its_inputs_does(load_backend):
    load_backend("torch")
    import torch

    rng = np.random.default_rng(3)
    matrix = torch.tensor(10 * (rng.normal(size=(9, 5)) + 1j * rng.normal(size=(9, 5))))
    z = torch.tensor((rng.normal(size=5) + 1j * rng.normal(size=5)).astype(np.complex64))

    def f(z):
        return torch.sin(matrix.to(z.dtype) @ z).abs().sum()

    def rule(z):
        return torch.autograd.grad(f(z.requires_grad_()), z)[0]

    assert check_gradient(f, z, gradient=rule).verdict == "agree"
    assert check_gradient(f, z, gradient=lambda z: 1.001 * rule(z)).verdict == "differ"


@pytest.mark.parametrize("tiny", [1e-4, 1e-6, 1e-9])
def test_one_large_complex_entry_buys_no_rounding_for_its_leaf(tiny, load_backend):
    load_backend("torch")
    import torch

    z = np.array([tiny, 0.5j, 0.3, 0.7 - 0.1j])

    def f(z):
        return torch.log(torch.as_tensor(z).abs()).sum()

    right = (1 / z.conj()).astype(np.complex64)
    assert check_gradient(f, z, gradient=right, backend="torch").verdict != "differ"
    wrong = right * np.array([1, 0, 0, 0], np.complex64)
    assert check_gradient(f, z, gradient=wrong, backend="torch").verdict != "agree"


MIXED = {"x": np.array([0.5, -2.0]), "z": Z}
MIXED_GRADIENT = {"x": 3 * MIXED["x"] ** 2, "z": 2 * Z}


def mixed(p):
    return (p["x"] ** 3).sum() + (p["z"].real ** 2 + p["z"].imag ** 2).sum()


@pytest.mark.parametrize("leaf", ["x", "z"])
def test_a_wrong_leaf_beside_complex_ones_is_named(leaf):
    wrong = {**MIXED_GRADIENT, leaf: 2 * MIXED_GRADIENT[leaf]}
    check = check_gradient(mixed, MIXED, gradient=wrong)
    assert check.verdict == "differ"
    assert {suspect.leaf for suspect in check.suspects} == {leaf}
    assert "factor 2" in check.pattern


@pytest.mark.parametrize("factor", [1.0, 1.01])
@pytest.mark.parametrize(
    "form",
    [
        lambda gradient: {name: leaf.tolist() for name, leaf in gradient.items()},
        lambda gradient: np.concatenate([*gradient.values()]),
    ],
    ids=["lists", "one vector"],
)
def test_complex_leaves_may_come_in_other_forms(form, factor):
    given = form({"x": MIXED_GRADIENT["x"] + 0, "z": factor * MIXED_GRADIENT["z"]})
    both_complex = {"x": MIXED["x"] + 0j, "z": Z}

    def f(p):
        return mixed({"x": p["x"].real, "z": p["z"]})

    check = check_gradient(f, both_complex, gradient=given)
    assert check.verdict == ("agree" if factor == 1 else "differ"), str(check)


# Complex outputs.

COTANGENT = np.array([0.3 - 1j, 2 + 0.5j])


def not_holomorphic(z):
    return array_namespace(z).conj(z) * abs(z) + (1 + 2j) * z


def native(load_backend, engine):
    """Return the point and a cotangent in an engine's arrays, and who gives VJPs."""
    load_backend(engine)
    if engine == "torch":
        import torch

        def vjp(f, z, w):
            return torch.autograd.grad(f(z.requires_grad_()), z, w)[0]

        return torch.tensor(Z), torch.tensor(COTANGENT), vjp
    import jax

    def vjp(f, z, w):
        return jax.vjp(f, z)[1](w)[0]

    with jax.enable_x64(True):
        return jax.numpy.asarray(Z), jax.numpy.asarray(COTANGENT), vjp


@pytest.mark.parametrize("engine", ["torch", "jax"])
@pytest.mark.parametrize("is_real", [False, True], ids=["complex", "real"])
def test_a_cotangent_of_complex_outputs_has_its_framework_s_convention(
    load_backend, engine, is_real
):
    z, w, vjp = native(load_backend, engine)

    def of_real(x):
        return (2 - 3j) * x + 1j * x**2

    f, z = (of_real, z.real) if is_real else (not_holomorphic, z)
    right = check_gradient(f, z, cotangent=w, gradient=lambda z: vjp(f, z, w))
    assert right.verdict == "agree", str(right)
    wrong = check_gradient(f, z, cotangent=w, gradient=lambda z: vjp(f, z, w.conj()))
    assert wrong.verdict == "differ"


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_a_complex_pushforward_has_no_convention(load_backend, engine):
    z, v, _ = native(load_backend, engine)

    def pushed(z, v):
        size = abs(z)
        return z.conj() * (z.conj() * v).real / size + v.conj() * size + (1 + 2j) * v

    right = check_pushforward(not_holomorphic, z, tangent=v, output_tangent=pushed)
    assert right.verdict == "agree", str(right)
    wrong = check_pushforward(
        not_holomorphic, z, tangent=v, output_tangent=lambda z, v: pushed(z, v).conj()
    )
    assert (wrong.verdict, wrong.pattern) == ("differ", "conjugated")
    expected = pushed(Z, COTANGENT)
    for suspect in wrong.suspects:
        assert suspect.expected == pytest.approx(expected[suspect.index])


def test_second_derivatives_by_complex_parameters_are_refused():
    with pytest.raises(InvalidSetting, match="got complex parameters"):
        check_hessian(real_of_complex, Z, hessian_vector_product=lambda z, v: v)
