"""Run the Python of a document as a reader would."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = {
    "jax": "jax",
    "torch": "torch",
    "flax": "flax",
    "equinox": "equinox",
    "dask": "dask.distributed",
}
PYTEST = "import pytest; raise SystemExit(pytest.console_main())"


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """Return where links outside code lead, other sites left out."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\((?!http)([^)#]+)\)", prose)


def run_code(code: str, folder: Path) -> None:
    """Run code that is a test module or a script; skip where a framework of it is missing."""
    for word, module in FRAMEWORKS.items():
        if re.search(rf"\b{word}\b", code):
            pytest.importorskip(module, reason=f"the code needs {word}")
    is_test = "def test_" in code or "class Test" in code
    (folder / ("test_block.py" if is_test else "block.py")).write_text(code)
    runner = ["-c", PYTEST, "-q", "-p", "no:cacheprovider", "test_block.py"]
    answer = subprocess.run(
        [sys.executable, *(runner if is_test else ["block.py"])],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
