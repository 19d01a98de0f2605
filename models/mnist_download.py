"""Download MNIST from public mirrors into a cache that never holds a broken file."""

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gradparity.backends.errors import DownloadFailed, InvalidData

from .atomic_file import write_atomically
from .idx_files import UNPACK_ERRORS, read_unpacked, unpack
from .mnist_files import MNIST_FILES, MnistFile, check_official, find_file, find_mismatch
from .progress import announced

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

ByteProgress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received so far, and how many come if that is known."""


def cache_directory() -> Path:
    """Return where downloads are kept: the user's cache folder of this operating system."""
    # Imported late: embedded digits and explicit directories do without it.
    import pooch

    return Path(pooch.os_cache("gradparity")) / "mnist"


def fetch_mnist(
    directory: str | os.PathLike[str] | None = None,
    *,
    progress: bool | ByteProgress = False,
    mirrors: Sequence[str] = MIRRORS,
) -> tuple[Path, ...]:
    """Bring the four files of MNIST into a directory, and return their paths.

    Files that are there already and intact are kept. In the cache a damaged one is replaced;
    in any other directory nothing is ever overwritten.

    directory: by default the cache, where `load_mnist` finds the files
    progress: True draws bars on standard error; a function is called as `ByteProgress` says
    mirrors: addresses of folders that hold the files as .gz, tried in turn for each file
    returns: paths of training images and labels, test images and labels, unpacked
    raises: DownloadFailed, naming what each mirror answered, or a directory that cannot be
        written; InvalidData, for a damaged or another set's file there

    >>> gp.fetch_mnist()[0].name  # doctest: +SKIP
    'train-images-idx3-ubyte'
    """
    cache = cache_directory()
    target = cache if directory is None else Path(os.path.expanduser(directory))
    with _progress_reports(progress) as report:
        return fetch_files(
            MNIST_FILES, target, mirrors=mirrors, report=report, replace=target == cache
        )


def fetch_files(
    files: Sequence[MnistFile],
    directory: Path,
    *,
    mirrors: Sequence[str],
    report: ByteProgress,
    replace: bool,
) -> tuple[Path, ...]:
    """Bring `files` into the directory; `replace` says whether damaged ones may be overwritten."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return tuple(_fetch_file(file, directory, mirrors, report, replace) for file in files)
    except OSError as error:
        raise DownloadFailed(
            f"{directory}: {error.strerror or error}; expected a directory that can be written; "
            "choose another one or change its permissions"
        ) from error


def _fetch_file(
    file: MnistFile,
    directory: Path,
    mirrors: Sequence[str],
    report: ByteProgress,
    replace: bool,
) -> Path:
    present = find_file(directory, file)
    if present is not None:
        try:
            check_official(read_unpacked(present, file.size), file, present)
            return present
        except InvalidData:
            if not replace:
                raise
            present.unlink()
    path = directory / file.name
    write_atomically(path, _download(file, mirrors, report))
    return path


def _download(file: MnistFile, mirrors: Sequence[str], report: ByteProgress) -> bytes:
    """Return the unpacked content from the first mirror that has it intact."""
    import pooch

    answers = []
    for mirror in mirrors:
        address = f"{mirror.rstrip('/')}/{file.name}.gz"
        # Received in memory (10 MB at most): an interruption leaves nothing to clean up.
        received = io.BytesIO()
        download = pooch.HTTPDownloader(progressbar=_Meter(file.name, report), chunk_size=64 * 1024)
        try:
            download(address, received, None)
            content = unpack(received.getvalue(), file.size)
        except UNPACK_ERRORS as error:  # an OSError is also what requests raises
            answers.append(f"{address}: {error}")
            continue
        mismatch = find_mismatch(content, file)
        if mismatch is None:
            return content
        answers.append(f"{address}: {mismatch}")
    raise DownloadFailed(
        f"{file.name}: expected an intact copy from one of {len(mirrors)} mirrors, got none; "
        "check the network and try again, or use a directory that holds the four files\n  "
        + "\n  ".join(answers)
    )


class _Meter:
    """The progress bar that pooch feeds: it passes the counts on."""

    def __init__(self, name: str, report: ByteProgress) -> None:
        self.total = 0
        self._name = name
        self._report = report
        self._received = 0

    def update(self, size: int) -> None:
        # Pooch counts whole chunks, so that the last one overshoots.
        self._received += size
        if self.total:
            self._received = min(self._received, self.total)
        self._report(self._name, self._received, self.total or None)

    def reset(self) -> None:
        """Keep the count: pooch resets it only to add the total once more at the end."""

    def close(self) -> None:
        """Leave the report open, as the next file goes to it too."""


@contextmanager
def _progress_reports(progress: bool | ByteProgress) -> Iterator[ByteProgress]:
    if callable(progress):
        yield progress
    elif progress and sys.stderr is not None and sys.stderr.isatty():
        with _drawn_bars() as draw:
            yield draw
    elif progress:
        with announced("download") as announce:

            def tell(name: str, received: int, total: int | None) -> None:
                share = received / total if total else None
                announce(f"{name}, {received / 1e6:.1f} MB", share)

            yield tell
    else:
        yield lambda name, received, total: None


@contextmanager
def _drawn_bars() -> Iterator[ByteProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def draw(name: str, received: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=received, total=total)

        yield draw
