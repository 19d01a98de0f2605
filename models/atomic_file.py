"""Files that are there entirely or not at all, and what is no file written to as it is."""

import glob
import os
import secrets
import socket
import stat
import sys
import time
from pathlib import Path
from typing import IO

# A partial file this old, in seconds, is abandoned where locks cannot tell.
ABANDONED_AFTER = 600.0
# A rename would take the streams of a process away from it.
DESCRIPTORS = ("/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd")
MOST_LINKS = 40  # as many as the system itself follows


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader, or a crash, meets the old file or the new, never a part.

    Only a regular file is replaced, where a link leads to, and keeps its permissions. A device, a
    pipe, a socket or a stream of this process is written to as it is. What a killed process left
    of an earlier attempt is removed.

    raises: OSError, as for any write; the old file and no other is then still there
    """
    found = _status(path)
    stream = found and _own_stream(found)
    if stream:
        stream.flush()
        _write_whole(stream.fileno(), content)
    elif found is None or is_replaced(path):
        _replace(Path(os.path.realpath(path)), content, found)
    elif stat.S_ISSOCK(found.st_mode):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(os.fspath(path))
            connection.sendall(content)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            _write_whole(descriptor, content)
        finally:
            os.close(descriptor)


def is_replaced(path: Path) -> bool:
    """Return whether writing makes a regular file, new or in place of one that is there."""
    found = _status(path)
    return found is None or (stat.S_ISREG(found.st_mode) and not _is_descriptor(path))


def clear_abandoned(path: Path) -> None:
    """Remove what killed processes left of their attempts to write this file."""
    target = Path(os.path.realpath(path))
    for partial in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        try:
            with open(partial, "rb") as file:
                if _lock(file, wait=False):
                    partial.unlink(missing_ok=True)
        except OSError:  # another user's, or gone meanwhile
            continue


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _replace(target: Path, content: bytes, old: os.stat_result | None) -> None:
    clear_abandoned(target)
    # Beside the target: a rename is atomic only within one file system.
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            _lock(file, wait=True)
            taken_away = os.fstat(file.fileno()).st_nlink == 0
            if not taken_away:
                if old is not None:
                    os.chmod(partial, stat.S_IMODE(old.st_mode))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":  # while it is locked: nobody takes it for abandoned
                    os.replace(partial, target)
        if taken_away:  # by another process, between its first moment and its lock
            _replace(target, content, old)
        elif os.name == "nt":
            os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _lock(file: IO[bytes], *, wait: bool) -> bool:
    """Lock the file for as long as it is open; return False where another process has it."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, and file systems without locks
        return time.time() - os.fstat(file.fileno()).st_mtime > ABANDONED_AFTER
    return True


def _own_stream(found: os.stat_result) -> IO[str] | None:
    """Return the standard output or error that is this very file, if one is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            own = os.fstat(stream.fileno())
        except (AttributeError, OSError, ValueError):  # no stream, or one that is no file
            continue
        # A terminal or /dev/null may as well be opened again.
        if not stat.S_ISCHR(own.st_mode) and os.path.samestat(own, found):
            return stream
    return None


def _is_descriptor(path: Path) -> bool:
    """Return whether the path leads through a descriptor, as /dev/stdout and /dev/fd/3 do."""
    step = os.path.abspath(path)
    for _ in range(MOST_LINKS):
        folder = os.path.dirname(step)
        if folder in DESCRIPTORS or os.path.realpath(folder) in DESCRIPTORS:
            return True
        if not os.path.islink(step):
            return False
        step = os.path.abspath(os.path.join(folder, os.readlink(step)))
    return False


def _write_whole(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
