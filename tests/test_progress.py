"""Long work tells where it is, also where standard error is no terminal."""

import io
import sys
import time

import pytest

from gradparity.models import progress
from gradparity.models.progress import announced


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "PERIOD", 0.01)


def wait_for(capsys, text):
    told = ""
    for _ in range(500):
        told += capsys.readouterr().err
        if text in told:
            return
        time.sleep(0.01)
    raise AssertionError(f"{text!r} not in {told!r}")


def test_lines_say_what_is_done_how_far_and_for_how_long(often, capsys):
    with announced("check") as announce:
        wait_for(capsys, "check: 0 s so far")  # also before anything is reported
        announce("gradient of [jax]", 0.25)
        wait_for(capsys, "check: gradient of [jax]: 25%, 0 s so far, about 0 s left")
        announce("blame", None)
        wait_for(capsys, "check: blame: 0 s so far\n")
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""  # nothing more when it is over


def test_the_time_left_follows_from_the_share():
    assert progress._line("a", "b", 0.25, 30.0) == "a: b: 25%, 30 s so far, about 90 s left"


def test_short_work_and_quiet_work_say_nothing(often, capsys, monkeypatch):
    with announced("loud", quiet=True) as announce:
        announce("anything", 0.5)
        time.sleep(0.05)
    monkeypatch.setattr(progress, "PERIOD", 10.0)
    with announced("short") as announce:
        announce("anything", 0.5)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_with_names_as_they_are(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with announced("compare") as announce:
        announce("numerical[loop]", 0.5)
        time.sleep(0.15)  # a frame of the bar
    assert "compare: numerical[loop]" in stream.getvalue()


def test_a_reader_that_is_gone_ends_nothing(often, monkeypatch):
    closed = io.StringIO()
    closed.close()
    closed.isatty = lambda: False
    monkeypatch.setattr(sys, "stderr", closed)
    with announced("check"):
        time.sleep(0.05)


def test_work_inside_of_other_work_tells_its_progress_to_it(often, capsys):
    with announced("outer") as outer:
        outer("first", 0.5)
        with announced("inner") as inner:
            inner("call 3", 0.9)
            wait_for(capsys, "outer: first: call 3: 50%, 0 s so far")
    with announced("later"):
        wait_for(capsys, "later: 0 s so far")
