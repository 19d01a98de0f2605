import gzip
import hashlib
import struct
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

from gradparity.backends.errors import DownloadFailed, InvalidData
from gradparity.models import fetch_mnist, load_mnist
from gradparity.models.mnist_download import MIRRORS, cache_directory, fetch_files
from gradparity.models.mnist_files import MNIST_FILES, MnistFile

FULL_MNIST = Path(__file__).parents[2] / "shared" / "mnist"
needs_full_mnist = pytest.mark.skipif(
    not FULL_MNIST.is_dir(),
    reason="the full MNIST is not beside the repository, in ../shared/mnist",
)

LABELS = np.random.default_rng(0).integers(0, 10, 200_000).astype(np.uint8)
CONTENT = bytes([0, 0, 8, 1]) + struct.pack(">I", LABELS.size) + LABELS.tobytes()
PACKED = gzip.compress(CONTENT)
FILE = MnistFile("digits-idx1-ubyte", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Answering(BaseHTTPRequestHandler):
    """Answer every request with the same bytes, and note it."""

    def __init__(self, *arguments, requests, status=200, body=PACKED, length=True, headers=()):
        self.requests = requests
        self.status, self.body, self.length, self.extra = status, body, length, headers
        super().__init__(*arguments)

    def do_GET(self):
        self.requests.append(self.path)
        self.send_response(self.status)
        if self.length:
            size = len(self.body) if self.length is True else self.length
            self.send_header("Content-Length", str(size))
        for name, value in self.extra:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


class Folder(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Start servers on this machine; each gets a handler and gives its address."""
    running = []

    def start(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


class Mirror:
    """One server and the paths it was asked for."""

    def __init__(self, serve, **answer):
        self.requests = []
        self.address = serve(partial(Answering, requests=self.requests, **answer))


def fetch(directory, *mirrors, report=lambda *_: None, replace=True):
    addresses = [mirror if isinstance(mirror, str) else mirror.address for mirror in mirrors]
    (path,) = fetch_files((FILE,), directory, mirrors=addresses, report=report, replace=replace)
    return path


DEAD = "http://127.0.0.1:1/"  # port 1 is reserved, nothing listens there
BAD_ANSWERS = {
    "not found": ({"status": 404, "body": b"gone"}, "404"),
    "a server error": ({"status": 503, "body": b"later"}, "503"),
    "another file": ({"body": gzip.compress(CONTENT[:-1] + b"\0")}, "has SHA-256"),
    "an endless file": ({"body": gzip.compress(bytes(10**7))}, "unpacks to more than"),
    "a web page": ({"body": b"<!DOCTYPE html>"}, "has SHA-256"),
    "nothing": ({"body": b"", "length": False}, "has SHA-256"),
    "a corrupted file": ({"body": PACKED[:999] + b"~~~" + PACKED[1002:]}, ""),
    "a truncated file": ({"body": PACKED[:-500]}, "ended before the end-of-stream"),
    "a connection cut short": ({"body": PACKED[:-500], "length": len(PACKED)}, "Incomplete"),
}
each_bad_answer = pytest.mark.parametrize(
    ("answer", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys()
)


def test_a_good_mirror_gives_the_unpacked_file_under_its_name(tmp_path, serve):
    mirror = Mirror(serve)
    path = fetch(tmp_path / "new" / "cache", mirror)
    assert path == tmp_path / "new" / "cache" / FILE.name
    assert path.read_bytes() == CONTENT
    assert mirror.requests == ["/digits-idx1-ubyte.gz"]
    assert list(path.parent.iterdir()) == [path]


def test_a_mirror_that_unpacks_on_the_way_is_as_good(tmp_path, serve):
    unpacking = Mirror(serve, headers=[("Content-Encoding", "gzip")])
    assert fetch(tmp_path / "a", unpacking).read_bytes() == CONTENT
    assert fetch(tmp_path / "b", Mirror(serve, body=CONTENT)).read_bytes() == CONTENT


def test_the_second_mirror_is_left_alone_when_the_first_is_good(tmp_path, serve):
    first, second = Mirror(serve), Mirror(serve)
    fetch(tmp_path, first, second)
    assert second.requests == []


def test_the_second_mirror_steps_in_for_a_dead_one(tmp_path, serve):
    assert fetch(tmp_path, DEAD, Mirror(serve)).read_bytes() == CONTENT


@each_bad_answer
def test_the_second_mirror_steps_in_for_a_bad_answer(tmp_path, serve, answer, reason):
    bad, good = Mirror(serve, **answer), Mirror(serve)
    assert fetch(tmp_path, bad, good).read_bytes() == CONTENT
    assert len(bad.requests) == len(good.requests) == 1


@each_bad_answer
def test_a_bad_answer_leaves_nothing_in_the_cache_and_is_reported(tmp_path, serve, answer, reason):
    bad = Mirror(serve, **answer)
    with pytest.raises(DownloadFailed, match="expected an intact copy from one of 2 mir") as caught:
        fetch(tmp_path, bad, DEAD)
    message = str(caught.value)
    assert message.startswith("digits-idx1-ubyte: ")
    assert f"{bad.address}digits-idx1-ubyte.gz: " in message
    assert f"{DEAD}digits-idx1-ubyte.gz: " in message
    assert reason in message
    assert "check the network" in message
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing_in_the_cache(tmp_path, serve):
    def interrupt(name, received, total):
        if received > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, Mirror(serve), report=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_intact_file_is_not_downloaded_again(tmp_path, serve):
    mirror = Mirror(serve)
    first = fetch(tmp_path, mirror)
    written = first.stat().st_mtime_ns
    assert fetch(tmp_path, mirror) == first
    assert first.stat().st_mtime_ns == written
    assert len(mirror.requests) == 1


def test_an_intact_gzipped_file_is_kept_as_it_is(tmp_path):
    packed = tmp_path / f"{FILE.name}.gz"
    packed.write_bytes(PACKED)
    assert fetch(tmp_path, DEAD) == packed


DAMAGED = {
    "truncated": ("", CONTENT[:-1]),
    "gzip cut off": (".gz", PACKED[:-1]),
    "another set": ("", CONTENT[:-1] + b"\x09"),
}
each_damage = pytest.mark.parametrize(("suffix", "content"), DAMAGED.values(), ids=DAMAGED.keys())


@each_damage
def test_a_damaged_file_in_the_cache_is_replaced(tmp_path, serve, suffix, content):
    (tmp_path / f"{FILE.name}{suffix}").write_bytes(content)
    path = fetch(tmp_path, Mirror(serve))
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


@each_damage
def test_a_file_in_a_directory_of_the_users_own_is_never_overwritten(
    tmp_path, serve, suffix, content
):
    path = tmp_path / f"{FILE.name}{suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match="expected .*; replace it by an intact copy") as caught:
        fetch(tmp_path, Mirror(serve), replace=False)
    assert str(caught.value).startswith(f"{path}: ")
    assert path.read_bytes() == content


def test_a_directory_that_cannot_be_made_or_written_is_refused(tmp_path, serve, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadFailed, match=r"file: .*; expected a directory .*; choose another"):
        fetch(tmp_path / "file", Mirror(serve))

    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gradparity.models.mnist_download.write_atomically", refuse)
    with pytest.raises(DownloadFailed, match="Permission denied; expected a directory that can"):
        fetch(tmp_path, Mirror(serve))


def test_progress_counts_up_to_the_size_that_was_announced(tmp_path, serve):
    reports = []
    fetch(tmp_path, Mirror(serve), report=lambda *report: reports.append(report))
    names, received, totals = zip(*reports, strict=True)
    assert set(names) == {FILE.name}
    assert set(totals) == {len(PACKED)}
    assert list(received) == sorted(received)
    assert 0 < received[0] < received[-1] == len(PACKED)


def test_progress_has_no_total_when_none_was_announced(tmp_path, serve):
    reports = []
    fetch(tmp_path, Mirror(serve, length=False), report=lambda *report: reports.append(report))
    assert {total for _, _, total in reports} == {None}
    assert reports[-1][1] >= len(PACKED)


def test_downloads_are_kept_in_the_users_cache_folder():
    assert cache_directory() == Path(pooch.os_cache("gradparity")) / "mnist"


def test_both_public_mirrors_are_reached_over_tls():
    assert len(MIRRORS) == len(set(MIRRORS)) == 2
    assert all(mirror.startswith("https://") for mirror in MIRRORS)


@pytest.fixture
def full_mirror(serve):
    return serve(partial(Folder, directory=str(FULL_MNIST)))


@needs_full_mnist
def test_what_was_fetched_is_what_auto_loads(tmp_path, monkeypatch, full_mirror, capfd):
    monkeypatch.delenv("GRADPARITY_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    paths = fetch_mnist(mirrors=[DEAD, full_mirror])
    folder = tmp_path / "gradparity" / "mnist"
    assert paths == tuple(folder / file.name for file in MNIST_FILES)
    assert load_mnist().source.endswith(
        f"the full MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0) in {folder}"
    )
    assert capfd.readouterr() == ("", "")  # nothing is printed unasked

    damaged = paths[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(InvalidData, match="fetch-mnist"):
        load_mnist()
    assert fetch_mnist(mirrors=[full_mirror]) == paths
    assert len(load_mnist().train_x) == 60000


@needs_full_mnist
def test_a_bar_is_drawn_for_each_file_on_a_terminal(tmp_path, full_mirror, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    fetch_mnist(tmp_path, progress=True, mirrors=[full_mirror])
    out, err = capfd.readouterr()
    assert out == ""
    assert [file.name for file in MNIST_FILES if file.name not in err] == []


@needs_full_mnist
def test_a_killed_download_leaves_no_broken_file(tmp_path, full_mirror):
    program = (
        "import os, sys; from gradparity.models import fetch_mnist\n"
        "def die(name, received, total):\n"
        "    if name.startswith('t10k-images') and received > total / 2: os._exit(9)\n"
        "fetch_mnist(sys.argv[1], progress=die, mirrors=[sys.argv[2]])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path), full_mirror])
    assert done.returncode == 9
    whole = tmp_path / MNIST_FILES[0].name, tmp_path / MNIST_FILES[1].name
    assert sorted(tmp_path.iterdir()) == sorted(whole)
    assert fetch_mnist(tmp_path, mirrors=[full_mirror])[:2] == whole
    assert len(load_mnist(tmp_path).test_x) == 10000
