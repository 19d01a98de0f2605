"""One thread for NumPy and PyTorch: two of them wait for each other at each step."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Have NumPy and PyTorch compute on one thread for a while.

    The lesson's nets are small. Where other programs take one core of two, 400 steps of the book's
    training take PyTorch 1.1 s on one thread, and 6 to 9 s on two.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    with threadpool_limits(1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(threads)
