"""The documentation tells the truth: each page's Python runs from top to bottom, its links lead."""

import re
from pathlib import Path

import pytest
from code_blocks import links, python_blocks, run_code

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
NAMES = [str(page.relative_to(ROOT / "docs" / "pages")) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_pages_python_runs(page, tmp_path):
    blocks = python_blocks(page.read_text())
    if not blocks:
        pytest.skip("no Python on this page")
    run_code("\n\n".join(blocks), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_pages_links_lead_somewhere(page):
    for target in links(page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "docs" / "mkdocs.yml").read_text()
    assert [name for name in NAMES if name not in navigation] == []


def test_the_reference_names_what_is_there():
    pytest.importorskip("flint", reason="proofs are part of the extra all")
    import importlib

    for name in re.findall(r"^::: (\S+)", (ROOT / "docs/pages/reference.md").read_text(), re.M):
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last) or importlib.import_module(name), name


def test_the_reference_has_every_public_function():
    pytest.importorskip("flint", reason="proofs are part of the extra all")
    import gradparity as gp

    shown = set(
        re.findall(r"^::: \S+\.(\w+)", (ROOT / "docs/pages/reference.md").read_text(), re.M)
    )
    called = {name for name in gp.__all__ if name.islower() and callable(getattr(gp, name))}
    assert called - shown == set()
