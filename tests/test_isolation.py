"""What happens in another process stays there: crashes, hangs, babble and rubbish."""

import ctypes
import faulthandler
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from gradparity.compare.conformance import isolation
from gradparity.compare.conformance.isolation import (
    Failure,
    FailureKind,
    IsolatedProcess,
    NotIsolable,
)

AMPLE = 60.0  # seconds; no call below comes near it unless isolation is broken


def add(left, right):
    return left + right


def exit_at_once():
    os._exit(7)


def read_address_zero():
    ctypes.string_at(0)


def sleep_for_ever():
    while True:
        time.sleep(1)


def loop_in_c_for_ever():
    sum(iter(int, 1))  # one call into C that never returns and keeps the interpreter's lock


def sleep_without_an_alarm():
    faulthandler.cancel_dump_traceback_later()
    sleep_for_ever()


def leave_a_child_that_holds_the_pipes():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    os._exit(1)


def babble():
    print("not a reply")
    os.write(1, b"\x00" * 64)
    return sys.stdin.read()


class ReadsOnlyWhereItWasMade:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('planted')",))


@pytest.fixture
def process():
    with IsolatedProcess(AMPLE) as process:
        yield process


def test_a_result_comes_back(process):
    total = process.call(add, np.arange(3.0), np.ones(3))
    np.testing.assert_array_equal(total, [1.0, 2.0, 3.0])


def test_a_function_without_a_module_is_sent_with_its_code(process):
    offset = 40
    assert process.call(lambda x: x + offset, 2) == 42


def test_calls_share_a_process_until_one_crashes(process):
    first = process.call(os.getpid)
    assert first != os.getpid()
    assert process.call(os.getpid) == first
    process.call(exit_at_once)
    assert process.call(os.getpid) not in (first, os.getpid())


def test_an_exception_is_told_in_one_line(process):
    failure = process.call(np.linalg.inv, np.zeros((2, 2)))
    assert failure == Failure(FailureKind.RAISED, "LinAlgError: Singular matrix")


def test_an_exit_request_is_only_a_failed_call(process):
    failure = process.call(sys.exit, "planted")
    assert failure == Failure(FailureKind.RAISED, "SystemExit: planted")
    assert process.call(add, 1, 1) == 2


@pytest.mark.parametrize("status", [1, 7])
def test_a_crash_is_told_with_its_status(process, status):
    failure = process.call(os._exit, status)
    assert failure == Failure(FailureKind.CRASHED, f"the process ended with status {status}")


def test_a_segmentation_fault_is_told_with_its_place(process):
    failure = process.call(read_address_zero)
    assert failure.kind is FailureKind.CRASHED
    assert "SIGSEGV" in failure.reason
    assert "string_at" in failure.reason
    assert process.call(add, 1, 1) == 2


@pytest.mark.parametrize("hang", [sleep_for_ever, loop_in_c_for_ever])
def test_a_hang_ends_at_the_time_limit_and_is_told_with_its_place(hang):
    with IsolatedProcess(time_limit=0.5) as process:
        started = time.monotonic()
        failure = process.call(hang)
        assert time.monotonic() - started < AMPLE / 2
        assert failure.kind is FailureKind.TIMED_OUT
        assert f"no answer within 0.5 s, in {hang.__name__} (test_isolation.py" in failure.reason
        process.time_limit = AMPLE
        assert process.call(add, 1, 1) == 2


def test_a_hang_without_its_alarm_ends_too(monkeypatch):
    monkeypatch.setattr(isolation, "GRACE", 0.1)
    with IsolatedProcess(time_limit=0.5) as process:
        failure = process.call(sleep_without_an_alarm)
    assert failure.kind is FailureKind.TIMED_OUT
    assert "no answer within 0.5 s" in failure.reason


def test_a_child_left_behind_does_not_hold_up_the_caller(process):
    started = time.monotonic()
    assert process.call(leave_a_child_that_holds_the_pipes).kind is FailureKind.CRASHED
    assert time.monotonic() - started < AMPLE / 2


def test_what_a_call_prints_and_reads_does_not_mix_with_replies(process):
    assert process.call(babble) == ""
    assert process.call(add, 1, 1) == 2


def test_an_answer_that_cannot_be_sent_is_a_failed_call(process):
    failure = process.call(lambda: (_ for _ in ()))
    assert failure.kind is FailureKind.RAISED
    assert "generator" in failure.reason


def test_an_answer_that_cannot_be_read_is_a_failed_call(process):
    failure = process.call(ReadsOnlyWhereItWasMade)
    assert failure == Failure(
        FailureKind.RAISED, "the answer cannot be read: RuntimeError: planted"
    )


def test_what_cannot_be_sent_is_refused_with_the_remedy(process):
    with pytest.raises(NotIsolable, match="define them in a module"):
        process.call(add, (entry for entry in ()), 1)


def test_no_process_is_left_behind():
    with IsolatedProcess(AMPLE) as process:
        pid = process.call(os.getpid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_cannot_start_is_a_failed_call(process, monkeypatch):
    process.call(add, 1, 1)
    process.stop()
    monkeypatch.setattr(sys, "path", [])  # neither gradparity nor anything else is found
    failure = process.call(add, 1, 1)
    assert failure == Failure(FailureKind.CRASHED, "no process could be started")
    monkeypatch.undo()
    assert process.call(add, 1, 1) == 2


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (AssertionError("off by\n  2"), "off by 2"),
        (AssertionError(), "AssertionError"),
        (KeyError("W1"), "KeyError: 'W1'"),
    ],
)
def test_an_error_is_described_in_one_line(error, line):
    assert isolation.describe(error) == line
