"""Compiled functions of PyTorch: programs where that is safe, and as they are where it is not."""

import math
import subprocess
import sys
import warnings

import cloudpickle
import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.errors import ImpureFunction
from gradparity.backends.pytrees import flatten
from gradparity.models import SimpleNet, TwoLayerNet, load_mnist, train

torch = pytest.importorskip("torch")

BACKEND = get_backend("torch")
CALLS = 6  # three to prepare a program, and some that run it
PREPARING = 4  # times that the function itself runs: once in each, and once to be recorded


class Counted:
    """A function that knows how often it was called, which a program does not let it see."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args):
        self.calls += 1
        return self.f(*args)


def inputs(call, shape=(3, 4)):
    """Return a matrix of another sign, order and size at each call."""
    values = np.random.default_rng(call).normal(size=shape) * (-1) ** call * (1 + call)
    return torch.from_numpy(values)


def equal_in_every_bit(got, expected):
    pairs = zip(flatten(got)[0], flatten(expected)[0], strict=True)
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def net_case(net, x_shape):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=x_shape), rng.integers(0, net.output_size, x_shape[:-1])
    return net.loss, net.init(0), (x, labels)


def branches_by_shape(params):
    return (params["W"].sum() if params["W"].ndim == 2 else params["W"].prod()) * 2


def changes_a_tensor_of_its_own(params):
    y = params["W"] * 2
    y[0] += 1
    y.mul_(params["W"])
    return y.sum()


def leaves_one_out(params):
    return (params["W"] ** 2).sum()


LINEAR = torch.nn.Linear(4, 2)
W = {"W": np.random.default_rng(1).normal(size=(3, 4))}
REPEATABLE = {
    "a net": net_case(TwoLayerNet(6, 5, 4), (7, 6)),
    "a net for one sample": net_case(SimpleNet(), (2,)),
    "a branch on a shape": (branches_by_shape, W, ()),
    "a tensor of its own, changed": (changes_a_tensor_of_its_own, W, ()),
    "an unused leaf": (leaves_one_out, W | {"b": np.ones(2)}, ()),
    "several outputs of an operation": (
        lambda params: sum((part**2).sum() for part in params["W"].split(2, dim=1)), W, ()
    ),
    "where": (lambda params: torch.where(params["W"] > 0, params["W"], 0.1).sum(), W, ()),
    "a layer of torch.nn": (
        lambda params, x: torch.func.functional_call(LINEAR, params, x).tanh().sum(),
        {"weight": np.ones((2, 4)), "bias": np.ones(2)}, (W["W"],),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REPEATABLE)
def test_a_program_gives_every_bit_of_the_function_without_calling_it(name):
    f, params, args = REPEATABLE[name]
    counted = Counted(f)
    params, args = BACKEND.asarray((params, args))
    plain, compiled = (
        BACKEND.value_and_gradient(f),
        BACKEND.compile(BACKEND.value_and_gradient(counted)),
    )
    for call in range(CALLS):
        params = {key: leaf * (-1) ** call + 0.1 for key, leaf in params.items()}
        before = {key: leaf.clone() for key, leaf in params.items()}
        assert equal_in_every_bit(compiled(params, *args), plain(params, *args))
        assert equal_in_every_bit(params, before)
    assert counted.calls == PREPARING


class ReadsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 2 * x.sum()

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return torch.full_like(x, 2.0 if float(x.sum()) > 0 else 3.0) * cotangent


def reads_what_it_catches(x):
    try:
        return x.sum() * float(x.detach().max())
    except Exception:
        return x.sum()


CLOSED_OVER = torch.ones(3, 4, dtype=torch.float64)
NOT_REPEATABLE = {
    "if": lambda x: x.sum() if x.sum() > 0 else (x**2).sum(),
    "float": lambda x: x.sum() * float(x.detach().max()),
    "item": lambda x: x.sum() * x.detach().max().item(),
    "math": lambda x: x.sum() * math.exp(x.detach()[0, 0]),
    "numpy": lambda x: x.sum() * x.detach().numpy().max(),
    "np.asarray": lambda x: x.sum() * np.asarray(x.detach()).max(),
    "dlpack": lambda x: x.sum() * np.from_dlpack(x.detach()).max(),
    "tolist": lambda x: x.sum() * x.detach().tolist()[0][0],
    "memory": lambda x: x.sum() * x.detach().untyped_storage().tolist()[0],
    "str": lambda x: x.sum() * len(str(x.detach())),
    "equal": lambda x: x.sum() * torch.equal(x.detach(), x.detach().abs()),
    "nonzero": lambda x: x.sum() * len((x > 0).nonzero()),
    "a mask": lambda x: (x[x > 0] ** 2).sum(),
    # torch divides by the entries if none is zero.
    "a derivative that reads": lambda x: x.prod(),
    "a reading that is caught": reads_what_it_catches,
    "a reading in its own backward": ReadsInBackward.apply,
    "torch's random numbers": lambda x: (x + torch.rand_like(x)).sum(),
    "NumPy's random numbers": lambda x: x.sum() * np.random.normal(),
    "a tensor from elsewhere": lambda x: (x * CLOSED_OVER).sum(),
    "memory of its own": lambda x: (x * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum(),
    "too many operations": lambda x: sum(x.sum() for _ in range(1500)),
}


@pytest.mark.parametrize("name", NOT_REPEATABLE)
def test_a_function_that_reads_values_or_more_than_its_arguments_runs_every_time(name):
    f = NOT_REPEATABLE[name]
    counted = Counted(f)
    plain, compiled = (
        BACKEND.value_and_gradient(f),
        BACKEND.compile(BACKEND.value_and_gradient(counted)),
    )
    for call in range(CALLS):
        x, before = inputs(call), counted.calls
        torch.manual_seed(call)
        np.random.seed(call)
        got = compiled(x)
        assert counted.calls > before
        torch.manual_seed(call)
        np.random.seed(call)
        if "random" not in name:
            assert equal_in_every_bit(got, plain(x))


def test_what_a_trace_would_bake_in_is_told_apart_by_these_inputs():
    f = NOT_REPEATABLE["if"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        baked = torch.jit.trace(f, inputs(0))
    assert not torch.equal(baked(inputs(1)), f(inputs(1)))


def test_a_function_that_changes_with_every_call_runs_every_time():
    drifting = Counted(lambda x: x.sum())
    compiled = BACKEND.compile(lambda x: drifting(x) * drifting.calls)
    for call in range(1, CALLS):
        x = inputs(call)
        assert float(compiled(x)) == float(x.sum() * drifting.calls)
    assert drifting.calls >= CALLS - 1


def test_a_function_that_changes_its_argument_is_found_out_at_every_call():
    def impure(x, weights):
        weights += 1.0
        return (x * weights).sum()

    compiled, weights = BACKEND.compile(BACKEND.value_and_gradient(impure)), inputs(0)
    for call in range(CALLS):
        with pytest.raises(ImpureFunction, match="in.place"):
            compiled(inputs(call), weights.clone())


def test_a_compiled_function_that_writes_into_its_argument_still_does():
    def write(x):
        x[0] = 0.0
        return x.sum()

    compiled = BACKEND.compile(write)
    for call in range(CALLS):
        x = inputs(call)
        compiled(x)
        assert not x[0].any()


def test_errors_of_the_function_come_through_at_every_call():
    def row(x, index):
        return torch.index_select(x, 0, index).sum()

    compiled, good, bad = BACKEND.compile(row), torch.tensor([1]), torch.tensor([7])
    for call in range(CALLS):
        compiled(inputs(call), good)
        with pytest.raises(IndexError, match="out of range"):
            compiled(inputs(call), bad)


def test_each_kind_of_tensor_has_a_program_of_its_own():
    counted = Counted(lambda x: (x.T.reshape(-1) * torch.arange(12.0)).sum() * x.shape[0])
    compiled = BACKEND.compile(counted)
    kinds = (
        lambda x: x,
        lambda x: x.reshape(4, 3),
        lambda x: x.reshape(4, 3).T,
        lambda x: x.to(torch.float32),
        lambda x: x.repeat(1, 2)[:, ::2],
    )
    for call in range(CALLS):
        for kind in kinds:
            x = kind(inputs(call))
            assert torch.equal(compiled(x), counted.f(x))
    assert counted.calls == PREPARING * len(kinds)


def test_arrays_of_numpy_and_numbers_are_taken_as_before():
    compiled = BACKEND.compile(BACKEND.value_and_gradient(lambda x, power: (x**power).sum()))
    for _ in range(CALLS):
        _, gradient = compiled(np.arange(3.0), 2)
        assert gradient.tolist() == [0.0, 2.0, 4.0]


def prepared(f, *args):
    compiled = BACKEND.compile(f)
    for _ in range(CALLS):
        compiled(*args)
    return compiled


def quartic(x):
    return (x**4).sum()


def test_outer_derivatives_and_transforms_reach_through_a_program():
    x = torch.arange(1.0, 4.0, dtype=torch.float64)
    slope = prepared(BACKEND.value_and_gradient(quartic), x)
    _, outer = BACKEND.value_and_gradient(lambda x: (slope(x)[1] ** 2).sum())(x)
    torch.testing.assert_close(outer, 96 * x**5)
    _, pushed = BACKEND.pushforward(lambda x: slope(x)[1])(x, torch.ones_like(x))
    torch.testing.assert_close(pushed, 12 * x**2)
    with warnings.catch_warnings():  # torch's own first use of a deprecated part of torch
        warnings.simplefilter("ignore", DeprecationWarning)
        slopes = torch.func.vmap(lambda x: slope(x)[1])(x.repeat(2, 1))
    torch.testing.assert_close(slopes, 4 * x.repeat(2, 1) ** 3)


def test_programs_can_be_part_of_programs():
    x = torch.arange(1.0, 4.0, dtype=torch.float64)
    slope = prepared(BACKEND.value_and_gradient(quartic), x)
    steeper = prepared(lambda x: slope(slope(x)[1])[1], x)
    assert torch.equal(steeper(x + 1), slope(slope(x + 1)[1])[1])


def test_a_change_of_precision_around_the_call_is_kept():
    x = torch.ones(4, 4)
    product = prepared(lambda x: x @ x, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(x).dtype == torch.bfloat16
    assert product(x).dtype == torch.float32


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: x.T,
        lambda x: (2 * x, 2 * x),
        lambda x: (x.sum(), torch.arange(3.0)),
        lambda x: (x.sum(), torch.zeros(3)),
    ],
)
def test_results_belong_to_the_caller(f):
    x = inputs(0)
    compiled, expected = prepared(f, x), flatten(f(x.clone()))[0]
    first, *others = reversed(flatten(compiled(x.clone()))[0])
    first += 1.0
    assert equal_in_every_bit(flatten(compiled(x.clone()))[0], expected)
    assert equal_in_every_bit(others, expected[-2::-1])


def test_training_gives_the_bits_that_it_gives_without_programs(monkeypatch):
    settings = {"backend": BACKEND, "steps": 30}
    model, digits = TwoLayerNet(hidden_size=7), load_mnist("embedded")
    with_programs = train(model, digits, **settings)
    monkeypatch.setattr(type(BACKEND), "compile", lambda self, f: f)
    without = train(model, digits, **settings)
    assert np.array_equal(with_programs.losses, without.losses)
    for name, leaf in without.params.items():
        np.testing.assert_array_equal(with_programs.params[name], leaf)


UNWANTED_IMPORT = """
import sys
import numpy as np
from gradparity.backends import get_backend

backend = get_backend("torch")
square = backend.compile(backend.value_and_gradient(lambda x: (x * x).sum()))
for _ in range(6):
    square(backend.asarray(np.ones(2)))
assert "torch._dynamo" not in sys.modules
"""


def test_a_program_needs_no_second_of_loading():
    result = subprocess.run([sys.executable, "-c", UNWANTED_IMPORT], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_prepared_function_can_be_sent_to_another_process():
    x = inputs(0)
    sent = cloudpickle.loads(cloudpickle.dumps(prepared(lambda x: (x * 2).sum(), x)))
    assert torch.equal(sent(x), (x * 2).sum())


def momentum(carry, batch, rate):
    params, velocity = carry
    velocity = 0.9 * velocity - rate * params * batch
    return (params + velocity, velocity), {"norm": (params**2).sum()}


def in_another_dtype(carry, batch, rate):
    return (carry * batch).to(torch.float32) * rate, carry.sum()


def first_element_decides(carry, batch, rate):
    return carry * (rate if batch > 0 else 0.5), carry.sum()


@pytest.mark.parametrize("step", [momentum, in_another_dtype, first_element_decides])
def test_a_scan_is_the_loop_in_every_bit(step):
    start = torch.arange(1.0, 4.0, dtype=torch.float64)
    carry = (start, torch.zeros_like(start)) if step is momentum else start
    batches, rate = torch.linspace(-1.0, 2.0, 9, dtype=torch.float64), torch.tensor(0.1)
    scanned, outputs = BACKEND.scan(step, carry, batches, rate)
    expected = []
    for batch in batches:
        carry, output = step(carry, batch, rate)
        expected.append(output)
    assert equal_in_every_bit(scanned, carry)
    assert equal_in_every_bit(
        outputs, [torch.stack(leaves) for leaves in zip(*map(values, expected), strict=True)]
    )
    assert start.tolist() == [1.0, 2.0, 3.0]


def values(tree):
    return flatten(tree)[0]


def test_a_scan_runs_as_a_program():
    counted = Counted(momentum)
    start = torch.ones(3)
    BACKEND.scan(counted, (start, start), torch.ones(20), torch.tensor(0.1))
    assert counted.calls == PREPARING
