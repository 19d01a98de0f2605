"""gradparity's own models, at points drawn at random."""

import numpy as np
from numpy.random import Generator

from gradparity.models import Quadratic, SimpleNet, TwoLayerNet

from .scenario import Draw, Point, Scenario

POCKET_NET = TwoLayerNet(49, 10, 10, weight_init_std=0.3)
BOOK_NET = TwoLayerNet(784, 100, 10)


def _draw_net(net: TwoLayerNet, batch: int) -> Draw:
    def draw(generator: Generator, size: int) -> Point:
        params = net.init(int(generator.integers(2**31)))
        x = generator.uniform(size=(batch, net.input_size))
        return params, (x, np.eye(net.output_size)[generator.integers(net.output_size, size=batch)])

    return draw


def _draw_simple(generator: Generator, size: int) -> Point:
    classes = np.eye(3)[generator.integers(3, size=4)]
    params = SimpleNet().init(int(generator.integers(2**31)))
    return params, (generator.normal(size=(4, 2)), classes)


def _draw_quadratic(generator: Generator, size: int) -> Point:
    return generator.normal(size=2), ()


MODELS = (
    Scenario.drawn_first("Quadratic", Quadratic().loss, _draw_quadratic),
    Scenario.drawn_first("SimpleNet", SimpleNet().loss, _draw_simple, batch=4),
    Scenario.drawn_first("TwoLayerNet 49-10-10", POCKET_NET.loss, _draw_net(POCKET_NET, 20), 20),
    Scenario.drawn_first("TwoLayerNet 784-100-10", BOOK_NET.loss, _draw_net(BOOK_NET, 100), 100),
)
