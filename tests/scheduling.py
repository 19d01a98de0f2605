"""Which test runs in which worker, and when: a module's in one, and the longest modules first.

What a module or the lesson needs is made once then, not once in each worker, and no worker waits
long for the others at the end.
"""

import functools
import re
from pathlib import Path
from typing import Any

import pytest

LESSON, LESSON_FIXTURE = "the lesson", re.compile(r"\blesson_(draft|page|folder)\b")
# Those that take more than twenty seconds; the order of the others makes little difference.
LONGEST = (
    LESSON,
    "test_cli",
    "test_docs",
    "test_laws",
    "test_types",
    "test_exercises",
    "test_proof_operations",
    "test_pytest_plugin",
    "test_conformance",
    "test_port_layers",
    "test_first_calls",
    "test_judged_programs",
    "test_agreement",
    "test_port_of_gpt",
    "test_readme",
    "test_awkward_points",
    "test_proof",
    "test_honest_verdicts",
    "test_ports",
)


@functools.cache
def unit_of(file: Path) -> str:
    """Return the lesson for all that read it, the module itself for any other."""
    return LESSON if LESSON_FIXTURE.search(file.read_text("utf-8")) else file.stem


def begin_with_the_longest(items: list[pytest.Item]) -> None:
    places = {unit: place for place, unit in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(unit_of(item.path), len(LONGEST)))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Return what distributes the units, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(config.rootpath / nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # which would be by the number of tests
    return ByUnit(config, log)
