"""Results are replaced whole; what is no regular file is written to as it is."""

import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from gradparity.models.atomic_file import clear_abandoned, write_atomically

on_posix = pytest.mark.skipif(os.name == "nt", reason="devices, pipes and links of POSIX")


def test_the_content_replaces_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, failure):
    def fail(*_):
        raise failure

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(failure)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_gets_the_permissions_of_an_ordinary_one(tmp_path):
    (tmp_path / "ordinary").write_bytes(b"")
    write_atomically(tmp_path / "file", b"")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@on_posix
def test_a_file_that_only_its_owner_may_read_stays_so(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_directory_is_an_error_of_the_operating_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "file", b"")


@on_posix
@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing yet"])
def test_a_link_is_followed_and_stays_a_link(tmp_path, there):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_bytes(b"old")
    link.symlink_to("elsewhere/target")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@on_posix
def test_devices_stay_devices():
    write_atomically("/dev/null", b"nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="No space left"):
            write_atomically("/dev/full", b"something")
        assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@on_posix
def test_a_pipe_gets_the_content(tmp_path):
    path, received = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    write_atomically(path, b"x" * 200_000)
    reader.join()
    assert received == [b"x" * 200_000]
    assert stat.S_ISFIFO(path.stat().st_mode)


@on_posix
def test_a_socket_gets_the_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # addresses of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        server.listen()
        received = []

        def receive():
            connection = server.accept()[0]
            with connection:
                received.append(connection.recv(100))

        reader = threading.Thread(target=receive)
        reader.start()
        write_atomically("socket", b"content")
        reader.join()
    assert received == [b"content"]


@on_posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("into", ["file", "pipe"])
def test_standard_output_gets_the_content_between_what_is_printed(tmp_path, name, into):
    if not os.path.exists(os.path.dirname(name) or "/dev/stdout"):
        pytest.skip(f"this system has no {name}")
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "from gradparity.models.atomic_file import write_atomically\n"
        f"print('before'); write_atomically({name!r}, b'content\\n'); print('after')"
    )
    output = tmp_path / "output"
    with open(output, "wb") as file:
        answer = subprocess.run(
            [sys.executable, "-c", code],
            stdout=file if into == "file" else subprocess.PIPE,
            cwd=tmp_path,
            check=True,
        )
    printed = output.read_bytes() if into == "file" else answer.stdout
    assert printed.split() == [b"before", b"content", b"after"]
    assert (tmp_path / "link").is_symlink()


@on_posix
def test_what_a_killed_process_left_is_cleared_and_what_is_being_written_stays(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "file"
    abandoned, living, other = (
        tmp_path / f".{name}.partial" for name in ("file.0a", "file.1b", "other.2c")
    )
    for partial in (abandoned, living, other):
        partial.write_bytes(b"a part")
    with open(living, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear_abandoned(path)
        assert set(tmp_path.iterdir()) == {living, other}
        write_atomically(path, b"whole")
        assert living.exists()
    write_atomically(path, b"whole again")
    assert set(tmp_path.iterdir()) == {path, other}


@on_posix
def test_a_partial_file_that_was_cleared_too_early_is_written_again(tmp_path, monkeypatch):
    from gradparity.models import atomic_file

    lock, taken = atomic_file._lock, []

    def lock_late(file, *, wait):
        if wait and not taken:
            taken.append(file.name)
            os.unlink(file.name)
        return lock(file, wait=wait)

    monkeypatch.setattr(atomic_file, "_lock", lock_late)
    write_atomically(tmp_path / "file", b"new")
    assert taken
    assert (tmp_path / "file").read_bytes() == b"new"
