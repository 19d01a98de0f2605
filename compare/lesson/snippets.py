"""The code of each section, as a reader would write it: to be pasted into a file or a notebook.

Each is complete, uses public names only, and prints what its section says; the tests run them all.
"""

DIFFERENCE = """
import numpy as np

from gradparity.models import Quadratic

parabola, h = Quadratic.one_variable(), 1e-4  # 0.01 x**2 + 0.1 x


def f(x):
    return parabola.loss(np.array([x]))


for x in (5.0, 10.0):
    forward = (f(x + h) - f(x)) / h
    central = (f(x + h) - f(x - h)) / (2 * h)
    exact = 0.02 * x + 0.1
    print(f"x = {x:g}: forward {forward:.9f}, central {central:.9f}, exact {exact:.9f}")
"""

STEP_SIZE = """
import numpy as np

from gradparity.backends import derivative_along


def f(x):
    return np.exp(x) * np.sin(x)


exact = np.exp(1) * (np.sin(1) + np.cos(1))
for h in 10.0 ** -np.arange(1, 16, 2):
    central = abs((f(1 + h) - f(1 - h)) / (2 * h) / exact - 1)
    complex_step = abs(f(1 + 1j * h).imag / h / exact - 1)
    print(f"h = {h:.0e}: central off by {central:.1e}, complex step by {complex_step:.1e}")

estimate = derivative_along(f, np.array(1.0), np.array(1.0))
print(f"derivative_along: {estimate.value:.12f} ± {estimate.error:.1e}, exact {exact:.12f}")
"""

GRADIENT = """
import numpy as np

from gradparity.backends import available_backends, get_backend
from gradparity.models import Quadratic

f = Quadratic().loss  # x0**2 + x1**2
for info in available_backends():
    if info.unavailable:
        print(f"{info.name} is not here: {info.unavailable}")
        continue
    backend = get_backend(info.name)
    for point in ((3.0, 4.0), (0.0, 2.0), (3.0, 0.0)):
        value, gradient = backend.value_and_gradient(f)(backend.asarray(np.array(point)))
        print(f"{info.name} at {point}: {backend.to_numpy(gradient)}")
"""

DESCENT = """
import numpy as np

from gradparity.models import Quadratic, gradient_descent

f, start = Quadratic().loss, np.array([-3.0, 4.0])
for learning_rate in (0.001, 0.1, 0.9, 1.0, 1.1):
    path = gradient_descent(
        f, start, backend="numerical", learning_rate=learning_rate, steps=100
    )
    distance = np.linalg.norm(path.end)
    promised = 5 * abs(1 - 2 * learning_rate) ** 100
    print(f"rate {learning_rate:g}: ends {distance:.3g} from the minimum, promised {promised:.3g}")
"""

LOSSES = """
import numpy as np

from gradparity.backends import get_backend
from gradparity.models.functions import cross_entropy, cross_entropy_from_logits, softmax

answer = np.array([0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0])
for label in (2, 1):
    print(f"the digit was {label}: cross entropy {cross_entropy(answer, np.eye(10)[label]):.6f}")

# Sure of the wrong class: how hard does each loss pull back?
backend, true_class = get_backend("numerical"), np.array([1])
logits = np.array([[20.0, 0.0]])
for name, f in {
    "with the offset": lambda x: cross_entropy(softmax(x), true_class),
    "from logits": lambda x: cross_entropy_from_logits(x, true_class),
}.items():
    print(f"{name}: gradient {backend.value_and_gradient(f)(logits)[1][0, 0]:.4f}")
"""

SIMPLE_NET = """
import numpy as np

from gradparity.backends import get_backend
from gradparity.compare import compare_gradients
from gradparity.models import SimpleNet

net, x, t = SimpleNet(), np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0])
params = {
    "W": np.array(
        [[0.42875037, -1.09670346, 0.24866542], [-2.38228839, 0.47330153, -0.20017261]]
    )
}
value, gradient = get_backend("numerical").value_and_gradient(net.loss)(params, x, t)
print(f"loss {value:.8f}")
print(gradient["W"].round(8))
print(compare_gradients(net.loss, params, x, t))
"""

TWO_LAYER_NET = """
from gradparity.backends import available_backends
from gradparity.models import TwoLayerNet, load_mnist, shrink, train

digits = shrink(load_mnist("embedded"), 7)  # 7x7 pixels, so that differences can keep up
net = TwoLayerNet(49, 10, 10, weight_init_std=0.3)
for info in available_backends():
    if not info.unavailable:
        run = train(net, digits, info.name, steps=20, learning_rate=2.0)
        print(
            f"{info.name}: loss {run.losses[0]:.6f} to {run.losses[-1]:.6f}, "
            f"{run.test_accuracy[-1]:.1%} of the test digits, {run.seconds:.2g} s"
        )
"""

CHAIN_RULE = """
import numpy as np

from gradparity.compare import check_gradient

x, t = np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0])
W = np.array([[0.42875037, -1.09670346, 0.24866542], [-2.38228839, 0.47330153, -0.20017261]])


def loss(W):
    powers = np.exp(x @ W)
    return -np.log(powers[2] / powers.sum())


powers = np.exp(x @ W)  # forward: scores, their powers, the sum, probabilities
total = powers.sum()
y = powers / total
at_y = -t / y  # back: each line uses what came back to the one before
at_total = -(at_y * powers).sum() / total**2
at_scores = (at_y / total + at_total) * powers
dW = np.outer(x, at_scores)
print(dW.round(8))
print(check_gradient(loss, W, gradient=dW))
"""

BACKPROPAGATION = """
import numpy as np

from gradparity.compare import check_gradient
from gradparity.models.functions import cross_entropy_from_logits, sigmoid, softmax

rng = np.random.default_rng(0)
x, t = rng.normal(size=(20, 49)), np.eye(10)[rng.integers(10, size=20)]
shapes = {"W1": (49, 10), "b1": (10,), "W2": (10, 10), "b2": (10,)}
params = {name: rng.normal(size=shape) for name, shape in shapes.items()}


def loss(p):
    return cross_entropy_from_logits(sigmoid(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"], t)


hidden = sigmoid(x @ params["W1"] + params["b1"])
scores = hidden @ params["W2"] + params["b2"]
at_scores = (softmax(scores) - t) / len(x)
at_sums = at_scores @ params["W2"].T * hidden * (1 - hidden)
gradient = {"W1": x.T @ at_sums, "b1": at_sums.sum(axis=0)}
gradient |= {"W2": hidden.T @ at_scores, "b2": at_scores.sum(axis=0)}
print(check_gradient(loss, params, gradient=gradient))
"""

PRICE = """
from gradparity.backends import available_backends, get_backend
from gradparity.compare import measure_speed
from gradparity.models import TwoLayerNet, load_mnist, shrink

here = [info.name for info in available_backends() if not info.unavailable]
engines = [get_backend(name) for name in here if name != "numerical"]
engines.append(get_backend("numerical", step_size=1e-4, method="loop"))  # two losses a parameter
digits = shrink(load_mnist("embedded"), 7)
for hidden in (2, 10):
    net, x, t = TwoLayerNet(49, hidden, 10), digits.train_x[:100], digits.train_t[:100]
    table = measure_speed(net.loss, net.init(0), x, t, backends=engines, minimum_time=0.01)
    for row in table.rows:
        print(
            f"{row.parameters} parameters, {row.backend}: {row.gradient * 1e3:.3g} ms, "
            f"{row.gradient / row.forward:.3g} forward passes"
        )
"""

CHECKING = """
import numpy as np

from gradparity.compare import check_gradient, taylor_test

rng = np.random.default_rng(0)
x, y = rng.normal(size=(50, 3)), rng.normal(size=50)


def loss(p):
    return np.mean((np.tanh(x @ p["w"] + p["b"]) - y) ** 2)


params = {"w": rng.normal(size=3), "b": np.array(0.1)}
output = np.tanh(x @ params["w"] + params["b"])
inside = 2 * (output - y) * (1 - output**2) / len(y)
right = {"w": x.T @ inside, "b": inside.sum()}
wrong = right | {"b": inside.sum() * len(y)}  # the mean was forgotten
for gradient in (right, wrong):
    print(check_gradient(loss, params, gradient=gradient))
    print(f"slope of the Taylor test: {taylor_test(loss, params, gradient=gradient).slope:.2f}")
"""

BREAK_IT = """
import numpy as np

from gradparity.compare import check_gradient
from gradparity.models.functions import cross_entropy_from_logits, softmax

rng = np.random.default_rng(0)
classes = rng.integers(3, size=200)
x, t = rng.normal(size=(200, 4)) + np.eye(3, 4)[classes] * 2, np.eye(3)[classes]
start = rng.normal(size=(4, 3))


def loss(W):
    return cross_entropy_from_logits(x @ W, t)


right = lambda W: x.T @ (softmax(x @ W) - t) / len(x)
axis = lambda W: x.T @ (softmax((x @ W).T).T - t) / len(x)  # softmax over the wrong axis
for name, gradient in {"right": right, "twice": lambda W: 2 * right(W), "axis": axis}.items():
    W = start
    for step in range(200):
        W = W - 0.5 * gradient(W)
    verdict = check_gradient(loss, start, gradient=gradient(start)).verdict
    print(f"{name}: loss {loss(start):.3f} to {loss(W):.3f}, check_gradient says {verdict}")
"""

KINKS = """
import numpy as np

from gradparity.backends import available_backends, derivative_along, get_backend


def f(x):
    return abs(x[0])


zero, ahead = np.array([0.0]), np.array([1.0])
estimate = derivative_along(f, zero, ahead)
print(f"|x| at 0 has a {estimate.smoothness}: slopes {estimate.one_sided} left and right of it")
for info in available_backends():
    if not info.unavailable:
        backend = get_backend(info.name)
        gradient = backend.value_and_gradient(f)(backend.asarray(zero))[1]
        print(f"{info.name} answers {backend.to_numpy(gradient)[0]:g}")
"""

SNIPPETS = {
    name.lower(): text.strip() + "\n"
    for name, text in list(globals().items())
    if name.isupper() and isinstance(text, str)
}
"""By the name of the section's function."""
