"""The README tells the truth: its Python runs, its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
FRAMEWORKS = {"jax": "jax", "torch": "torch", "dask": "dask.distributed"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", " ", block)[:40].strip())
def test_the_readmes_python_runs(block, tmp_path):
    for word, module in FRAMEWORKS.items():
        if re.search(rf"\b{word}\b", block):
            pytest.importorskip(module, reason=f"the block needs {word}")
    name = "test_block.py" if "def test_" in block else "block.py"
    (tmp_path / name).write_text(block)
    command = ["pytest", "-q", "-p", "no:cacheprovider"] if name.startswith("test_") else ["python"]
    runner = [sys.executable, "-c", "import pytest; raise SystemExit(pytest.console_main())"]
    answer = subprocess.run(
        [*(runner if command[0] == "pytest" else [sys.executable]), *command[1:], name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_readmes_commands_are_those_of_the_command_line():
    from gradparity.compare.cli import app

    known = {command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert set(re.findall(r"^\| `gradparity ([a-z-]+)", README, re.MULTILINE)) == known


def test_the_readmes_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
