"""What one comparison costs: modules entered, to read along, and CPU after a first one."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
from rows import Row, at_most

from gradparity.compare import compare_gradients
from gradparity.models import TwoLayerNet

MODULES, SECONDS = 20, 0.06


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    net = TwoLayerNet(784, 100, 10)
    params, batch = net.init(0), (rng.random((10, 784)), rng.integers(0, 10, 10))

    def compare() -> None:
        compare_gradients(net.loss, params, *batch, backends=("jax", "torch"))

    compare()  # what a first call loads and compiles is no part of it
    seconds = []
    for _ in range(15):
        start = time.process_time()
        compare()
        seconds.append(time.process_time() - start)
    yield at_most("CPU seconds of a further comparison", seconds, SECONDS)
    entered = modules_entered(compare)
    for name in sorted(entered):
        print(f"{entered[name]:6} calls in {name}")
    number = len(entered)
    yield Row("modules entered", number, number, number, f"≤ {MODULES}", number <= MODULES)


def modules_entered(run: Callable[[], object]) -> Counter[str]:
    """Return the modules of the packages whose functions were called, and how often."""
    entered: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("gradparity."):
            entered[name] += 1

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return entered
