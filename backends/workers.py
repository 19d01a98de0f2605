"""Share the chunks of a sweep: among threads, or what joblib has, which is machines too."""

import functools
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

# Starting threads takes a millisecond or so; shorter sweeps are done before they would help.
HEAD_START = 0.02
# Python itself runs in one thread at a time: more would mostly wait for each other.
MOST_THREADS = 8


def share(
    function: Callable[[Any], Any], tasks: Iterable[Any], jobs: int | None = None
) -> Iterator[Any]:
    """Yield function(task) for each task, in order.

    jobs: joblib workers, threads unless `joblib.parallel_config` says otherwise; None: as that says
    """
    import joblib

    results = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        joblib.delayed(function)(task) for task in tasks
    )
    try:
        for result in results:  # noqa: UP028 - `yield from` would close it, with the warning
            yield result
    except GeneratorExit:
        with warnings.catch_warnings(action="ignore"):  # that some work was in vain
            results.close()
        raise


def idle_cores() -> int:
    """Return how many threads may help unasked: one for each core, some at most.

    Within a `joblib.parallel_config`, or in a worker, joblib knows what is wanted: 1 then.
    """
    import joblib
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend()
    if jobs is not None or backend.default_n_jobs != 1 or backend.nesting_level:
        return 1
    return min(int(joblib.cpu_count()), MOST_THREADS)


def share_if_long(
    function: Callable[[Any], Any], tasks: Iterable[Any], threads: int
) -> Iterator[Any]:
    """Yield function(task) for each task, in order, from threads as soon as it takes long."""
    left = iter(tasks)
    start = time.perf_counter()
    for task in left:
        yield function(task)
        if time.perf_counter() - start > HEAD_START:
            break

    def run(task: tuple[Context, Any]) -> Any:
        context, argument = task
        return context.run(function, argument)

    # Each task in a copy of this context, which has NumPy's error state, as for overflow.
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(run, ((copy_context(), task) for task in left))


def one_at_a_time(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, to be called by one thread at a time; those that come later wait."""
    lock = threading.Lock()

    @functools.wraps(f)
    def alone(*args: Any) -> Any:
        with lock:
            return f(*args)

    return alone
