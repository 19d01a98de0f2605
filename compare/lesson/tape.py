"""Backpropagation in twenty lines: a list of what was computed, walked through backwards."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradparity.models.functions import LOG_OFFSET, cross_entropy, sigmoid, softmax

# What is computed from the inputs; and, given the gradient g at its output y, that at each input.
Rule = tuple[Callable[..., Any], Callable[..., tuple[Any, ...]]]


# fmt: off
MATMUL: Rule = (lambda a, b: a @ b, lambda g, y, a, b: (g @ b.T, a.T @ g))
ADD: Rule = (lambda a, b: a + b, lambda g, y, a, b: (g, g.sum(axis=0)))
SIGMOID: Rule = (sigmoid, lambda g, y, a: (g * y * (1 - y),))
SOFTMAX: Rule = (softmax, lambda g, y, a: (y * (g - (g * y).sum(axis=1, keepdims=True)),))
ENTROPY: Rule = (cross_entropy, lambda g, y, p, t: (-g * t / (p + LOG_OFFSET) / len(p), 0))

class Node:
    def __init__(self, value: Any) -> None:
        self.value, self.gradient = value, 0.0

class Tape(list[Any]):
    def run(self, rule: Rule, *inputs: Node) -> Node:
        compute, go_back = rule
        output = Node(compute(*(source.value for source in inputs)))
        self.append((output, inputs, go_back))
        return output

    def backward(self) -> None:
        self[-1][0].gradient = 1.0
        for output, inputs, go_back in reversed(self):
            parts = go_back(output.gradient, output.value, *(node.value for node in inputs))
            for source, part in zip(inputs, parts, strict=True):
                source.gradient = source.gradient + part
# fmt: on


# A loss recorded on a tape, as its last node; and the nodes of the parameters.
Recording = Callable[[dict[str, Any], Any, Any], tuple[Tape, dict[str, Node]]]


def tape_simple_net(params: dict[str, Any], x: Any, t: Any) -> tuple[Tape, dict[str, Node]]:
    """Record `SimpleNet.loss` of a batch with one-hot labels."""
    tape, leaves = Tape(), {name: Node(value) for name, value in params.items()}
    probabilities = tape.run(SOFTMAX, tape.run(MATMUL, Node(x), leaves["W"]))
    tape.run(ENTROPY, probabilities, Node(t))
    return tape, leaves


def tape_two_layer_net(params: dict[str, Any], x: Any, t: Any) -> tuple[Tape, dict[str, Node]]:
    """Record `TwoLayerNet.loss` of a batch with one-hot labels."""
    tape, leaves = Tape(), {name: Node(value) for name, value in params.items()}
    before = tape.run(ADD, tape.run(MATMUL, Node(x), leaves["W1"]), leaves["b1"])
    hidden = tape.run(SIGMOID, before)
    scores = tape.run(ADD, tape.run(MATMUL, hidden, leaves["W2"]), leaves["b2"])
    tape.run(ENTROPY, tape.run(SOFTMAX, scores), Node(t))
    return tape, leaves


class Counted(np.ndarray[Any, Any]):
    """An array that counts the multiplications and divisions it takes part in."""

    multiplications = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        plain = [np.asarray(array) if isinstance(array, Counted) else array for array in inputs]
        result = getattr(ufunc, method)(*plain, **settings)
        if ufunc is np.matmul:
            Counted.multiplications += np.size(result) * np.shape(plain[0])[-1]
        elif ufunc in (np.multiply, np.divide) and method == "__call__":
            Counted.multiplications += np.size(result)
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def count_multiplications(
    record: Recording, params: dict[str, Any], x: Any, t: Any
) -> tuple[int, int]:
    """Return how many multiplications a loss takes forward, and its gradient backward."""
    counted = {name: np.asarray(value).view(Counted) for name, value in params.items()}
    Counted.multiplications = 0
    tape, _ = record(counted, x.view(Counted), t.view(Counted))
    forward = Counted.multiplications
    tape.backward()
    return forward, Counted.multiplications - forward
