"""What a recording holds, beyond what perturbed copies need."""

import numpy as np

from gradparity.backends.structured.recorded_functions import Configured
from gradparity.backends.structured.recording import Recording

X, SHIFT = np.asarray([1.0, 2.0]), np.asarray([0.5, -0.25])


def shifted(x, shift):
    xp = x.__array_namespace__()
    return xp.sum(x * xp.exp(shift)) + xp.sqrt(xp.asarray(2.0))


def names(recording):
    functions = (operation.operands[0] for operation in recording.operations)
    return [function.__name__ for function in functions if isinstance(function, np.ufunc)]


def test_what_is_computed_from_constants_is_written_down_on_request():
    assert "exp" not in names(Recording.of(shifted, X, (SHIFT,)))
    recording = Recording.of(shifted, X, (SHIFT,), constants=True)
    assert {"exp", "sqrt", "multiply", "add"} <= set(names(recording))
    constants = [value.tolist() for value in recording.constant_values.values()]
    assert [0.5, -0.25] in constants
    assert 2.0 in constants


def test_whole_numbers_are_no_constants_that_count():
    recording = Recording.of(lambda x, k: x[k], X, (np.asarray(1),), constants=True)
    assert not recording.constant_values


def test_the_settings_of_an_elementwise_function_can_be_read():
    clipped = Recording.of(lambda x: x.__array_namespace__().clip(x, min=0.0, max=1.5), X, ())
    (operation,) = clipped.operations
    function = operation.operands[0]
    assert isinstance(function, Configured)
    assert function.settings == {"min": 0.0, "max": 1.5}
    np.testing.assert_array_equal(operation.result, [1.0, 1.5])
