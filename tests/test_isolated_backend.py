"""Backends in processes of their own: the same answers, and failures that say whose they are."""

import pytest

from gradparity.backends import get_backend
from gradparity.compare import compare_gradients
from gradparity.compare.conformance import laws, leaf_assertions
from gradparity.compare.conformance.isolated_backend import IsolatedBackend, IsolatedFailure
from gradparity.compare.conformance.isolation import FailureKind
from gradparity.compare.scenarios.functions import OUTPUT_SCENARIOS, SCENARIOS

AMPLE = 60.0
NETWORK = next(scenario for scenario in SCENARIOS if scenario.name == "network")

PLUG_IN = """
import os, time
from gradparity.backends.numerical_difference import NumericalDifference

class Honest(NumericalDifference):
    name = "honest"
    cheap_mode = "reverse"

class Crashes(Honest):
    name = "crashes"
    def differentiate(self, f):
        return lambda *args: os._exit(3)

class Hangs(Honest):
    name = "hangs"
    def differentiate(self, f):
        return lambda *args: time.sleep(600)

class Raves(Honest):
    name = "raves"
    def value_and_gradient(self, f):
        return lambda *args: [1.0, 2.0, 3.0]

class Raises(Honest):
    name = "raises"
    def differentiate(self, f):
        raise ZeroDivisionError("planted")
"""


@pytest.fixture
def plug_ins(tmp_path, monkeypatch):
    """Register the backends above in this process and in those that it starts."""
    (tmp_path / "odd_backends.py").write_text(PLUG_IN)
    metadata = tmp_path / "odd_backends-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-backends\nVersion: 1\n")
    names = ("Honest", "Crashes", "Hangs", "Raves", "Raises")
    lines = [f"{name.lower()} = odd_backends:{name}" for name in names]
    (metadata / "entry_points.txt").write_text("\n".join(["[gradparity.backends]", *lines]))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def isolate(plug_ins):
    """Start backends, and end their processes after the test."""
    started = []

    def isolate(name: str, *, time_limit: float = AMPLE, **settings: str) -> IsolatedBackend:
        started.append(IsolatedBackend.start(name, time_limit=time_limit, **settings))
        return started[-1]

    yield isolate
    for backend in started:
        backend.process.stop()


# The other process refuses these functions, as an IsolatedFailure, and counts their calls.
SEEN_FROM_THERE = (
    laws.integer_parameters_are_refused,
    laws.non_scalar_functions_are_refused,
    laws.inputs_are_never_changed,
)
LAWS = [law for law in (*laws.SCALAR_LAWS, *laws.OUTPUT_LAWS) if law not in SEEN_FROM_THERE]


@pytest.fixture(scope="module")
def numerical():
    backend = IsolatedBackend.start("numerical", time_limit=AMPLE)
    yield backend
    backend.process.stop()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_it_keeps_the_laws_of_the_backend_it_stands_for(numerical, law):
    law(numerical, OUTPUT_SCENARIOS[0] if law in laws.OUTPUT_LAWS else NETWORK)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_answers_as_the_backend_it_stands_for(isolate, backend_name, load_backend, dtype):
    expected = load_backend(backend_name, dtype=dtype)
    backend = isolate(backend_name, dtype=dtype)
    assert (backend.name, backend.cheap_mode) == (expected.name, expected.cheap_mode)
    call = (expected.to_numpy(expected.asarray(NETWORK.params)), *NETWORK.args)
    answer = backend.value_and_gradient(NETWORK.f)(*call)
    reference = expected.to_numpy(expected.value_and_gradient(NETWORK.f)(*call))
    leaf_assertions.assert_equal(answer[1], reference[1])
    assert answer[1]["W1"].dtype == dtype


def test_it_takes_part_in_a_comparison(isolate):
    backends = [isolate("honest"), get_backend("numerical")]
    comparison = compare_gradients(NETWORK.f, NETWORK.params, *NETWORK.args, backends=backends)
    assert set(comparison.backends) == {"honest", "numerical"}
    assert comparison.blamed == () or comparison.resolution < 1e-9


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("crashes", FailureKind.CRASHED, "status 3"),
        ("hangs", FailureKind.TIMED_OUT, "no answer within 2 s"),
        ("raves", FailureKind.RAISED, "nonsense instead of an answer: [array(1.)"),
        ("raises", FailureKind.RAISED, "ZeroDivisionError: planted"),
    ],
)
def test_a_failure_names_its_backend_and_the_next_call_is_tried_again(isolate, name, kind, reason):
    backend = isolate(name, time_limit=2.0)
    for _ in range(2):
        with pytest.raises(IsolatedFailure, match=f"backend '{name}' in its own process") as caught:
            backend.value_and_gradient(NETWORK.f)(NETWORK.params, *NETWORK.args)
        assert caught.value.backend == name
        assert caught.value.failure.kind is kind
        assert reason in caught.value.failure.reason


def test_one_that_cannot_be_loaded_fails_at_the_start(isolate, tmp_path):
    with (tmp_path / "odd_backends.py").open("a") as source:
        source.write("\nos._exit(4)\n")
    with pytest.raises(IsolatedFailure, match="'honest' in its own process crashed: .*status 4"):
        isolate("honest")


def test_equal_settings_are_equal_backends(isolate):
    assert isolate("honest") == isolate("honest")
    assert isolate("honest") != isolate("honest", dtype="float32")
