"""The IDX format: one array of unsigned bytes in a file, gzipped or not.

Layout, from the MNIST page of LeCun, Cortes and Burges: two zero bytes, the code of the element
type, the number of dimensions, the size of each dimension as a big-endian 32-bit integer, then
the elements, last dimension fastest.
"""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradparity.backends.errors import InvalidData

GZIP_MAGIC = b"\x1f\x8b"
# The code of unsigned bytes among the element types of the format, the only one MNIST uses.
UNSIGNED_BYTE = 0x08
# The largest set of this format that goes about, EMNIST, has 547 million.
MOST_BYTES = 2**30
UNPACK_ERRORS = (OSError, EOFError, zlib.error)
"""What `unpack` raises for a gzip stream that is cut off, damaged or endless."""
REMEDY = "replace it by an intact copy ('gradparity fetch-mnist' downloads MNIST to the cache)"


class TooLarge(OSError):
    """A gzip stream unpacks to more than what was expected could have."""


def read_unpacked(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of the file, unpacked when it is gzipped, whatever it is called.

    most: bytes that it may unpack to
    raises: InvalidData, when the file cannot be read, is larger, or its gzip stream is broken
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidData(
            f"{path}: {error.strerror or error}; expected a readable IDX file; "
            "check the path and its permissions"
        ) from error
    try:
        return unpack(content, most)
    except TooLarge as error:
        raise InvalidData(f"{path}: {error}; {REMEDY}") from error
    except UNPACK_ERRORS as error:
        raise InvalidData(
            f"{path}: the gzip stream is truncated or corrupted, got {len(content)} bytes and "
            f"'{error}'; expected a complete gzip file; {REMEDY}"
        ) from error


def unpack(content: bytes, most: int = MOST_BYTES) -> bytes:
    """Return `content` unpacked when it is gzipped, else as it is; may raise UNPACK_ERRORS.

    most: bytes after which unpacking stops with an error: a gzip file of 10 MB can hold 10 GB
    """
    # Browsers and servers unpack on the way without renaming: the bytes tell, the suffix does not.
    if not content.startswith(GZIP_MAGIC):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(most + 1)
    if len(unpacked) > most:
        raise TooLarge(f"a gzip stream of {len(content)} bytes unpacks to more than {most:,}")
    return unpacked


def decode_idx(content: bytes, dimensions: int, name: str) -> NDArray[np.uint8]:
    """Return the array that unpacked IDX content holds, as a read-only view of it.

    dimensions: how many the array must have, 3 for images and 1 for labels
    name: what an error calls the content, such as its path
    raises: InvalidData, for another format, element type or number of dimensions, and for
        content that is shorter or longer than its header announces
    """
    expected = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    magic = content[:4]
    if magic != expected:
        raise InvalidData(
            f"{name}: starts with {_describe_magic(magic)}; "
            f"expected {_describe_magic(expected)}; check which file this is, or {REMEDY}"
        )
    header_size = 4 + 4 * dimensions
    if len(content) < header_size:
        raise InvalidData(
            f"{name}: truncated within its header, got {len(content)} bytes; "
            f"expected a header of {header_size} bytes; {REMEDY}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header_size])
    surplus = len(content) - header_size - math.prod(shape)
    if surplus:
        flaw = f"{surplus} trailing bytes" if surplus > 0 else f"truncated by {-surplus} bytes"
        raise InvalidData(
            f"{name}: {flaw}, got {len(content)} bytes; expected {len(content) - surplus} for the "
            f"shape {shape} in its header; {REMEDY}"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def _describe_magic(magic: bytes) -> str:
    written = magic.hex(" ") or "nothing"
    if len(magic) < 4 or magic[:2] != b"\0\0":
        return f"{written} (no IDX file)"
    if magic[2] != UNSIGNED_BYTE:
        return f"{written} (IDX of another element type)"
    kind = {1: "labels", 3: "images"}.get(magic[3], f"{magic[3]} dimensions")
    return f"{written} (IDX {kind})"
