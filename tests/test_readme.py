"""The README tells the truth: its Python runs, its commands exist."""

import re
from pathlib import Path

import pytest
from code_blocks import links, python_blocks, run_code

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = python_blocks(README)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", " ", block)[:40].strip())
def test_the_readmes_python_runs(block, tmp_path):
    run_code(block, tmp_path)


def test_the_readmes_commands_are_those_of_the_command_line():
    from gradparity.compare.cli import app

    known = {command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert set(re.findall(r"^\| `gradparity ([a-z-]+)", README, re.MULTILINE)) == known


def test_the_readmes_links_lead_somewhere():
    for target in links(README):
        assert (ROOT / target).exists(), target
