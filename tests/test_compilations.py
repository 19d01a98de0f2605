"""JAX compiles nothing for a check that was made before, and loops inside f but a few times."""

import numpy as np
import pytest

from gradparity.compare import check_gradient, check_pushforward, compare_gradients

# Twice f as it is, twice the gradient, forward and back, that of the reference; f as a whole.
FEW = 9
POINT = np.random.default_rng(0).normal(size=(3, 3))


@pytest.fixture
def compiled(load_backend):
    """Return what counts the programs that JAX compiles during a call."""
    backend = load_backend("jax")
    jax = pytest.importorskip("jax")
    from gradparity.backends import jax_autodiff

    def count(call):
        programs = []

        def listen(event, seconds, **_):
            if event == jax_autodiff.COMPILED:
                programs.append(seconds)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            call()
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        return len(programs)

    assert count(lambda: backend.compile(lambda x: x * POINT[0, 0])(backend.asarray(1.0))) > 0
    return count


def functions():
    jax = pytest.importorskip("jax")

    def scanned(p):
        return jax.lax.scan(lambda h, row: (jax.numpy.tanh(h @ p + row), h.sum()), p[0], p)[
            1
        ].mean()

    def branching(p):
        return jax.lax.cond(p[0, 0] > 0, lambda q: (q**2).sum(), lambda q: (q**3).sum(), p)

    return {"scan": scanned, "cond": branching}


def checked(f):
    jax = pytest.importorskip("jax")
    check = check_gradient(f, jax.numpy.asarray(POINT), gradient=jax.grad(f))
    assert check.verdict == "agree", str(check)


def test_a_check_that_was_made_before_compiles_nothing(compiled):
    jnp = pytest.importorskip("jax.numpy")

    def plain(p):
        return (jnp.tanh(p @ p) ** 2).mean()

    checked(plain)
    assert compiled(lambda: checked(plain)) == 0


def test_a_second_comparison_does_not_compile_the_gradient_again(compiled):
    def f(p):
        return (p**2).mean() + p[0, 0] * p[1, 1]

    def compare(f):
        assert compare_gradients(f, POINT[:2, :2], backends=["jax"]).verdict == "agree"

    compare(f)
    assert compiled(lambda: compare(f)) == 0
    # Another function is compiled, whose operations all are known.
    assert compiled(lambda: compare(lambda p: f(p))) == 1


@pytest.mark.parametrize("name", ["scan", "cond"])
def test_what_would_be_compiled_at_every_call_is_compiled_once(compiled, name):
    f = functions()[name]
    checked(f)
    assert compiled(lambda: checked(f)) <= FEW


def test_maps_with_many_outputs_are_compiled_once(compiled):
    jax = pytest.importorskip("jax")
    point, tangent = np.ones((2, 3)), np.full((2, 3), 0.5)

    def running_sums(p):
        return jax.lax.scan(lambda h, row: (h + row**2, h * row), p[0], p)[1]

    def check():
        pushed = jax.jvp(running_sums, (point,), (tangent,))[1]
        check = check_pushforward(
            running_sums, jax.numpy.asarray(point), tangent=tangent, output_tangent=pushed
        )
        assert check.verdict == "agree", str(check)

    check()
    assert compiled(check) <= FEW


def test_without_that_it_is_compiled_at_every_call(compiled, monkeypatch):
    from gradparity.backends.jax_autodiff import JaxAutodiff

    f = functions()["scan"]
    checked(f)
    monkeypatch.setattr(JaxAutodiff, "watched", lambda self, call: (call(), False))
    assert compiled(lambda: checked(f)) > 2 * FEW


def test_values_of_f_whole_and_call_by_call_are_not_mixed(compiled):
    """Else their different rounding would be taken for unsteadiness, and widen every bar."""
    jax = pytest.importorskip("jax")
    from gradparity.compare.checking.function import Function

    function = Function(functions()["scan"], jax.numpy.asarray(POINT))
    assert function.unsteadiness == 0
    assert function.value == function.at({0: function.leaves[0].array.copy()})


@pytest.mark.parametrize("is_large", [True, False])
def test_a_function_of_a_million_entries_is_compiled_at_once(load_backend, monkeypatch, is_large):
    from gradparity.compare.checking import function

    load_backend("jax")
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(function, "MANY", 8 if is_large else 9)
    runs = []

    def f(p):
        runs.append(p)
        return (p**2).sum()

    check = check_gradient(f, jax.numpy.asarray(POINT), gradient=lambda p: 2 * p)
    assert check.verdict == "agree"
    assert (len(runs) < check.evaluations) == is_large


def test_a_large_function_that_is_random_is_found_out_although_it_is_compiled(
    load_backend, monkeypatch
):
    from gradparity.compare.checking import function

    load_backend("jax")
    jax = pytest.importorskip("jax")
    monkeypatch.setattr(function, "MANY", 8)
    rng = np.random.default_rng(0)
    check = check_gradient(
        lambda p: (p**2).sum() * rng.random(), jax.numpy.asarray(POINT), gradient=lambda p: 2 * p
    )
    assert check.verdict == "cannot tell"
    assert "at the same point" in check.reason


def test_what_a_check_has_compiled_serves_the_next_check_of_a_function_alike(compiled, monkeypatch):
    from gradparity.compare.checking import function

    jax = pytest.importorskip("jax")
    monkeypatch.setattr(function, "MANY", 8)

    def check(factor, scale):
        def f(p):
            return (jax.numpy.tanh(p * factor) ** 2).sum()

        def gradient(p):
            return 2 * scale * jax.numpy.tanh(p * scale) / jax.numpy.cosh(p * scale) ** 2

        return check_gradient(f, jax.numpy.asarray(POINT), gradient=gradient).verdict

    captured = np.full((3, 3), 2.0)
    assert compiled(lambda: check(captured, 2.0)) > 0
    assert compiled(lambda: check(captured.copy(), 2.0)) == 0
    # Numbers that f captures are never those of another function.
    captured[2, 2] = 2.0 + 2**-6
    assert check(captured, 2.0) == "differ"


def test_a_program_is_that_of_its_constants_to_the_last_bit(compiled):
    from gradparity.backends import jax_autodiff

    backend = jax_autodiff.JaxAutodiff()
    point = backend.asarray(POINT)
    for factor in (2.0, np.nextafter(2.0, 3.0)):
        captured = np.full((3, 3), factor)
        program = backend.compile_alike(lambda p, captured=captured: p * captured)
        np.testing.assert_array_equal(program(point), POINT * factor)


def test_a_program_calls_back_its_own_function(compiled):
    jax = pytest.importorskip("jax")
    from gradparity.backends import jax_autodiff

    backend = jax_autodiff.JaxAutodiff()
    for factor in (2.0, 3.0):

        def called_back(x, factor=factor):
            return np.asarray(x) * factor

        program = backend.compile_alike(lambda p, g=called_back: jax.pure_callback(g, p, p))
        np.testing.assert_array_equal(program(backend.asarray(POINT)), POINT * factor)


def test_few_and_small_programs_are_kept(compiled, monkeypatch):
    from gradparity.backends import jax_autodiff

    jax = pytest.importorskip("jax")
    backend = jax_autodiff.JaxAutodiff()
    monkeypatch.setattr(jax_autodiff, "_programs", {})
    monkeypatch.setattr(jax_autodiff, "MOST_PROGRAMS", 2)
    monkeypatch.setattr(jax_autodiff, "MOST_CONSTANTS", 4)
    point = backend.asarray(POINT)
    for factor in (1.0, 2.0, 3.0, 4.0, POINT):
        program = backend.compile_alike(lambda p, factor=factor: (p * factor).sum())
        assert program(point) == pytest.approx(float((POINT * factor).sum()))
    assert len(jax_autodiff._programs) == 2
    # The form of what a function returns is its own.
    for form in (tuple, list):
        program = backend.compile_alike(lambda p, form=form: form((p * 2.0,)))
        assert isinstance(program(point), form)
    assert jax.config.jax_use_simplified_jaxpr_constants is False  # where they would be apart
