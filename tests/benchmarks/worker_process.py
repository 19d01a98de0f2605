"""Engines in processes of their own, which measure something whenever they are asked to."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Idle threads of OpenMP spin for a while after their work: 0.2 s, unless told otherwise.
PAUSE = 0.4


class WorkerProcess:
    """A script of this folder, in its own process; it ends with the `with` block."""

    def __init__(
        self, script: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = " ".join(arguments)
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict(environment or {}),
        )

    def ask(self, question: Any = None) -> Any:
        """Return the script's answer, once the threads of the others are asleep."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        time.sleep(PAUSE)
        print(json.dumps(question), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: its process ended with {self.process.wait()}")
        return json.loads(line)

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def answer_questions(answer: Callable[[Any], Any]) -> None:
    """Answer every line of standard input with one of output, both JSON, in such a script."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
