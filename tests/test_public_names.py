"""What a user meets has a public name, and what a user calls has an example that runs."""

import builtins
import doctest
import enum
import inspect
import re
import typing
import warnings
from types import FunctionType, ModuleType

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.error_bars import estimate

pytest.importorskip("flint")  # `prove_gradient` does not load without

PUBLIC = {name: getattr(gp, name) for name in gp.__all__}
MODULES = [thing for thing in PUBLIC.values() if isinstance(thing, ModuleType)]
# Texts that the classes of results are annotated with.
TEXTS = {"Smoothness": estimate.Smoothness}


NAMED = {
    f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
    for module in (gp, *MODULES)
    for name in module.__all__
    if not isinstance(getattr(module, name), ModuleType)
}


def hints(thing):
    return typing.get_type_hints(thing, localns=PUBLIC | TEXTS)


def classes_in(hint):
    if isinstance(hint, type) and not typing.get_args(hint):
        return {hint}
    return {found for argument in typing.get_args(hint) for found in classes_in(argument)}


def given_by(thing):
    """Return the classes that a function returns, or that a class has in its attributes."""
    if isinstance(thing, FunctionType):
        return classes_in(hints(thing).get("return"))
    attributes = [hint for name, hint in hints(thing).items() if not name.startswith("_")]
    members = inspect.getmembers_static(thing)
    properties = [m.fget for name, m in members if isinstance(m, property) and name[0] != "_"]
    return {
        found
        for hint in (*attributes, *(hints(getter).get("return") for getter in properties))
        for found in classes_in(hint)
    }


def handed_over(things):
    """Return the project's classes that can be reached from what things return."""
    known, waiting = set(), [thing for thing in things if callable(thing)]
    while waiting:
        for found in given_by(waiting.pop()) - known:
            if found.__module__.startswith("gradparity"):
                known.add(found)
                waiting.append(found)
    return known


def unexported(things):
    public = {thing for thing in NAMED.values() if isinstance(thing, type)}
    return sorted(found.__name__ for found in handed_over(things) - public)


def test_what_is_returned_is_exported():
    assert unexported([t for t in NAMED.values() if isinstance(t, FunctionType | type)]) == []


def test_a_result_without_a_public_name_would_be_found():
    from gradparity.compare.checking.slope import Slope

    def judged() -> Slope: ...

    def part() -> tuple[Slope, ...] | None: ...

    assert unexported([judged]) == ["Slope"]
    assert unexported([part]) == ["Slope"]


def errors_named(thing):
    """Return the names of errors in a docstring's "raises:", and in those of its methods."""
    documented = [thing, *(vars(thing).values() if isinstance(thing, type) else ())]
    texts = [inspect.getdoc(part) or "" for part in documented]
    said = re.findall(r"(?ms)^raises: (.*?)(?:\n\S|\Z)", "\n\n".join(texts))
    return {name for text in said for name in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", text)}


@pytest.mark.parametrize("name", NAMED)
def test_every_error_that_a_docstring_names_is_public(name):
    words = errors_named(NAMED[name])
    assert [word for word in words if not hasattr(gp, word) and not hasattr(builtins, word)] == []


def test_docstrings_name_errors():
    assert {"InvalidParameters", "NonScalarLoss"} <= errors_named(gp.check_gradient)


def f(params):
    return (params**2).sum()


ONE = np.ones(2)
WRONG_CALLS = {
    "NonScalarLoss": lambda: gp.check_gradient(lambda x: x, ONE, gradient=ONE),
    "InvalidParameters": lambda: gp.check_gradient(f, np.ones(2, int), gradient=ONE),
    "InvalidSetting": lambda: gp.check_gradient(f, ONE, gradient=ONE, rtol=-1.0),
    "FunctionFailed": lambda: gp.check_gradient(lambda x: 1 / 0, ONE, gradient=ONE),
    "UnknownBackend": lambda: gp.get_backend("tensorflow"),
    "Disagreement": lambda: gp.assert_gradients_agree(
        {"numerical": f, "numerical:half": lambda x: 0.5 * f(x)}, ONE
    ),
    "ShapeMismatch": lambda: gp.variants.micro_batches(f, 2)(ONE),
    "InvalidData": lambda: gp.load_mnist("/nowhere"),
    "Diverged": lambda: gp.train(
        gp.TwoLayerNet(4, 3, 10),
        broken_digits(),
        "numerical",
        steps=3,
        batch_size=8,
        learning_rate=1e308,
    ),
    "ImpureFunction": lambda: gp.get_backend("numerical").value_and_gradient(changes)(ONE.copy()),
}


def broken_digits():
    x = np.full((8, 4), 1e200)
    return gp.Dataset(x, np.zeros(8, int), x, np.zeros(8, int), "numbers that overflow")


def changes(x):
    x += 1
    return (x**2).sum()


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_the_error_of_a_wrong_call_has_a_public_name(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(gp.GradparityError) as caught:
            WRONG_CALLS[name]()
    assert type(caught.value) is getattr(gp, name)


FUNCTIONS = {name: thing for name, thing in NAMED.items() if isinstance(thing, FunctionType)}
RESULTS = handed_over(FUNCTIONS.values()) - {gp.Backend, gp.Dataset}  # which users construct, too
CONSTRUCTED = {
    name: thing
    for name, thing in NAMED.items()
    if isinstance(thing, type)
    and thing not in RESULTS
    and not issubclass(thing, BaseException | enum.Enum)
}
CALLED = FUNCTIONS | CONSTRUCTED
EXPLAINED = CALLED | {module.__name__: module for module in MODULES}
# What an example may take for imported; the documentation says so.
IMPORTED = {"gp": "gradparity", "np": "numpy", "torch": "torch", "jax": "jax"}


def example_of(name, thing, **names):
    return doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", names, name, None, None)


def test_whatever_a_user_calls_is_among_the_examples():
    assert {"gradparity.check_gradient", "variants.compiled", "transforms.fused"} <= set(FUNCTIONS)
    assert {"gradparity.Backend", "gradparity.TwoLayerNet", "gradparity.BackendConformance"} <= set(
        CONSTRUCTED
    )
    assert "gradparity.GradientCheck" not in CALLED


@pytest.mark.parametrize("name", CALLED)
def test_every_public_function_has_an_example(name):
    assert example_of(name, CALLED[name]).examples


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_example_of_every_public_function_runs(name):
    test = example_of(name, EXPLAINED[name])
    source = "".join(example.source for example in test.examples)
    test.globs |= {
        short: pytest.importorskip(module)
        for short, module in IMPORTED.items()
        if f"{short}." in source or f'"{short}' in source
    }
    said = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not said, "".join(said)


def test_a_function_without_an_example_or_with_a_wrong_one_would_be_found():
    def silent():
        """Return nothing."""

    def lying():
        """Return three.

        >>> 1 + 1
        3
        """

    assert not example_of("silent", silent).examples
    said = []
    doctest.DocTestRunner().run(example_of("lying", lying), out=said.append)
    assert "Got:\n    2" in "".join(said)
