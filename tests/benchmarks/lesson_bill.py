"""The lesson's bill in two runs, in the second with two busy processes beside it."""

import subprocess
import sys
from collections.abc import Iterator

from rows import Row

from gradparity.compare.lesson.pricing import price
from gradparity.compare.lesson.run import Lesson

LIMIT = 1.5


def rows() -> Iterator[Row]:
    lesson = Lesson.with_what_is_here()
    quiet = price(lesson).bills
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        disturbed = price(lesson).bills
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for name in lesson.backends:
        if name in quiet and name in disturbed:
            factor = max(quiet[name], disturbed[name]) / min(quiet[name], disturbed[name])
            note = f"{quiet[name]:.3g} s, disturbed {disturbed[name]:.3g} s"
            what = f"bill of {name}, disturbed over quiet"
            yield Row(what, factor, factor, factor, f"≤ {LIMIT:g}", factor <= LIMIT, note)
        else:
            yield Row(f"bill of {name}", 0, 0, 0, "there", False, "no possible measurement")
