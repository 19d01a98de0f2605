"""Whatever goes wrong on the command line has its own exit code: 1 is for gradients that differ."""

import functools
import gc
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
import weakref
import zipfile

import numpy as np
import pytest

from gradparity.compare.cli import main
from gradparity.compare.commands.interrupts import Interrupts, noticed_interrupts
from gradparity.compare.commands.terminal import printable

on_posix = pytest.mark.skipif(os.name == "nt", reason="signals and devices of POSIX")

SOURCE = """
import sys

def loss(params):
    return float((params["W"] ** 2).sum())

def rule(params):
    return {"W": 2 * params["W"]}

def wrong(params):
    return {"W": 3 * params["W"]}

def leaves(params):
    sys.exit(0)

def broken_rule(params):
    return params["V"]

def colourful(params):
    raise ValueError("\\x1b[2J\\x1b]0;title\\x07red \\x1b[31malert")

def deep(n):
    return deep(n + 1)
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loss.py").write_text(SOURCE)
    np.savez(tmp_path / "params.npz", W=np.arange(1.0, 7.0).reshape(3, 2))
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; return its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gradparity", *arguments])
        with pytest.raises(SystemExit) as exit:
            main()
        printed = capsys.readouterr()
        return int(exit.value.code or 0), printed.out, printed.err

    return run


def check(function="loss", gradient="rule", *more):
    return ("check", f"loss.py:{function}", "--params", "params.npz", "--gradient", gradient, *more)


def in_a_process(*arguments, options=(), **settings):
    command = [sys.executable, *options, "-m", "gradparity.compare.cli", *arguments]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run(command, text=True, **settings)


def test_the_negative_control_right_is_0_and_wrong_is_1(files, run):
    assert run(*check())[0] == 0
    assert run(*check("loss", "wrong"))[0] == 1


# Exceptions that nobody expected.


def test_an_exit_in_the_users_function_is_a_failure_with_its_place(files, run):
    code, _, error = run(*check("leaves"))
    assert code == 4
    assert "loss.py, line 14 called sys.exit(0)" in error


def test_an_unexpected_exception_is_a_failure(files, run, monkeypatch):
    monkeypatch.setattr(
        "gradparity.compare.user_functions.load_function", functools.partial(divmod, 1, 0)
    )
    monkeypatch.delenv("GRADPARITY_TRACEBACK", raising=False)
    code, _, error = run(*check())
    assert code == 4
    assert "TypeError: " in error
    assert "GRADPARITY_TRACEBACK=1" in error
    assert "Traceback" not in error
    monkeypatch.setenv("GRADPARITY_TRACEBACK", "1")
    assert "Traceback" in run(*check())[2]


def test_a_failure_of_gradparity_itself_is_not_put_down_to_the_user(files, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradparity.models.progress", None)  # cannot be imported
    code, _, error = run(*check())
    assert code == 4
    assert "gradparity: ModuleNotFoundError: import of gradparity.models.progress" in error


def test_escape_codes_of_an_exception_do_not_reach_the_terminal(files, run):
    code, out, error = run(*check("colourful"))
    assert code == 4
    assert "red alert" in out + error
    assert "\x1b" not in out + error
    assert "\x07" not in out + error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x9b2Jrest\x1b", "2Jrest"),
        ("a\tb\nc\r\nd\be", "a\tb\nc\nde"),
        ("numerical[loop] → 1e-3 µ", "numerical[loop] → 1e-3 µ"),
    ],
)
def test_printable_text_has_no_controls(text, shown):
    assert printable(text) == shown


# Files that claim too much.


def header_of(shape):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def npz_of(members):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


HUGE = header_of((10**13,))
CLAIMS = {
    "an archive of 72 TiB": npz_of({"W.npy": HUGE}),
    "an array of 72 TiB": HUGE,
    "an array of many dimensions": header_of((2,) * 63),
    "an array whose end is missing": header_of((10**9,)) + bytes(80),
    "names nested 3,000 deep": npz_of({"/".join("a" * 3000) + ".npy": header_of((1,)) + bytes(8)}),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_file_that_claims_too_much_is_refused(files, run, kind):
    name = "claims.npz" if CLAIMS[kind].startswith(b"PK") else "claims.npy"
    (files / name).write_bytes(CLAIMS[kind])
    code, _, error = run("check", "loss.py:loss", "--params", name, "--gradient", "rule")
    assert code == 4
    assert name in error
    assert "expected" in error


# Output.


def test_json_goes_to_standard_output_and_the_report_makes_way(files, run):
    code, out, error = run(*check("loss", "wrong", "--json", "-"))
    assert code == 1
    assert json.loads(out)["verdict"] == "differ"
    assert "wrong: differ" in error


@pytest.mark.parametrize(
    "command", [("backends",), ("train", "--backend", "numerical", "--steps", "1")]
)
def test_every_report_makes_way(run, command):
    more = ("--hidden-size", "1", "--data", "embedded") if command[0] == "train" else ()
    code, out, error = run(*command, *more, "--json", "-")
    assert code == 0
    assert json.loads(out)
    assert "numerical" in error


@on_posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_a_failure_and_the_device_stays(files, run):
    code, out, error = run(*check("loss", "rule", "--json", "/dev/full"))
    assert code == 4
    assert "No space left" in error
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    assert run(*check("loss", "rule", "--json", "/dev/null"))[0] == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with open("/dev/full", "w") as full:
        for arguments in (check(), ("--help",)):
            answer = in_a_process(*arguments, stdout=full)
            assert answer.returncode == 4, arguments
            assert "cannot be written" in answer.stderr or "No space left" in answer.stderr


@on_posix
def test_a_reader_that_goes_away_is_a_failure(files):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        assert in_a_process(*check("loss", "wrong"), stdout=pipe).returncode == 4


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_degrades_where_the_encoding_lacks_a_character(tmp_path, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    train = ("train", "--backend", "numerical", "--steps", "1", "--hidden-size", "1")
    answer = in_a_process(*train, "--data", "embedded", env=environment, encoding=encoding)
    assert answer.returncode == 0, answer.stderr
    assert " -> " in answer.stdout


def test_the_module_runs_without_assertions_too(files):
    answer = in_a_process(*check("loss", "wrong"), options=["-O"])
    assert answer.returncode == 1
    assert "wrong: differ" in answer.stdout


# Interrupts.


def press_and_wait():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.001)  # the handler has run


class InterruptedWhenDeleted:
    def __del__(self):
        press_and_wait()


def by_the_garbage_collector():
    pressed = []

    def callback(phase, info):
        if not pressed:
            pressed.append(phase)
            press_and_wait()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)
    return pressed


def by_a_weak_reference():
    thing = InterruptedWhenDeleted.__new__(type("Plain", (), {}))
    reference = weakref.ref(thing, lambda _: press_and_wait())
    del thing
    assert reference() is None


def by_a_finaliser():
    InterruptedWhenDeleted()


@on_posix
@pytest.mark.parametrize(
    "way", [press_and_wait, by_the_garbage_collector, by_a_weak_reference, by_a_finaliser]
)
def test_an_interrupt_gets_through_whatever_it_interrupts(way):
    interrupts, before = Interrupts(), signal.getsignal(signal.SIGINT)

    def work():
        with noticed_interrupts(interrupts):
            way()
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert interrupts.seen
    assert signal.getsignal(signal.SIGINT) is before


@on_posix
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_it_the_interrupt_would_be_lost():
    lost = False
    try:
        pressed = by_the_garbage_collector()
        time.sleep(0.05)
        lost = bool(pressed)
    except KeyboardInterrupt:
        pass
    assert lost


@on_posix
def test_an_interrupted_command_ends_with_130(files):
    (files / "slow.py").write_text(
        "import os, signal, time\n"
        "exec('import gc')\n"
        "def press(phase, info):\n"
        "    gc.callbacks.remove(press)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.01)\n"
        "def loss(params):\n"
        "    gc.callbacks.append(press)\n"
        "    gc.collect()\n"
        "    exec('time.sleep(20)')\n"
        "    return 0.0\n"
    )
    answer = in_a_process("check", "slow.py:loss", "--params", "params.npz", "--gradient", "loss")
    assert answer.returncode == 130
    assert "interrupted" in answer.stderr
