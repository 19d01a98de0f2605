import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradparity.backends.errors import InvalidData
from gradparity.models.idx_files import decode_idx, read_unpacked


def encode_idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


IMAGES = encode_idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
LABELS = encode_idx(np.array([3, 1, 4], np.uint8))


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)))
def test_an_array_survives_encoding_and_decoding(array):
    decoded = decode_idx(encode_idx(array), array.ndim, "digits")
    assert decoded.dtype == np.uint8
    assert decoded.shape == array.shape
    assert np.array_equal(decoded, array)


def test_sizes_are_big_endian_and_the_last_dimension_runs_fastest():
    content = bytes.fromhex("00000802 00000002 00000003 010203040506".replace(" ", ""))
    assert decode_idx(content, 2, "digits").tolist() == [[1, 2, 3], [4, 5, 6]]


REFUSED = {
    "labels where images are expected": (LABELS, 3, "00 00 08 01 (IDX labels)"),
    "images where labels are expected": (IMAGES, 1, "00 00 08 03 (IDX images)"),
    "a web page": (b"<!DOCTYPE html>", 3, "3c 21 44 4f (no IDX file)"),
    "floats": (b"\0\0\x0d\x03" + IMAGES[4:], 3, "00 00 0d 03 (IDX of another element type)"),
    "an empty file": (b"", 3, "starts with nothing"),
    "three bytes": (IMAGES[:3], 3, "00 00 08 (no IDX file)"),
    "half a header": (IMAGES[:9], 3, "truncated within its header, got 9 bytes"),
    "a header alone": (IMAGES[:16], 3, "truncated by 24 bytes, got 16 bytes; expected 40"),
    "a missing byte": (IMAGES[:-1], 3, "truncated by 1 bytes, got 39 bytes; expected 40"),
    "a trailing byte": (IMAGES + b"\0", 3, "1 trailing bytes, got 41 bytes; expected 40"),
    "an absurd count": (b"\0\0\x08\x01\xff\xff\xff\xff" + b"\0", 1, "truncated by 4294967294"),
}


@pytest.mark.parametrize(("content", "dimensions", "found"), REFUSED.values(), ids=REFUSED.keys())
def test_other_content_is_refused_with_what_was_found_expected_and_a_remedy(
    content, dimensions, found
):
    with pytest.raises(InvalidData) as caught:
        decode_idx(content, dimensions, "digits.gz")
    message = str(caught.value)
    assert message.startswith("digits.gz: ")
    assert found in message
    assert "expected" in message
    assert "intact copy" in message


@given(st.integers(min_value=0, max_value=len(IMAGES) - 1))
def test_no_prefix_of_a_file_passes_for_the_file(size):
    with pytest.raises(InvalidData):
        decode_idx(IMAGES[:size], 3, "digits")


@pytest.mark.parametrize("name", ["digits", "digits.gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_content_tells_whether_a_file_is_gzipped_not_its_name(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(IMAGES))
    assert read_unpacked(path) == IMAGES


PACKED = gzip.compress(IMAGES)
BROKEN_GZIP = {
    "cut off": PACKED[:-9],
    "cut off in its header": PACKED[:5],
    "without its checksum": PACKED[:-8],
    "wrong checksum": PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:],
    "damaged inside": PACKED[:12] + b"\xff\xff\xff" + PACKED[15:],
    "junk after it": PACKED + b"junk",
}


@pytest.mark.parametrize("content", BROKEN_GZIP.values(), ids=BROKEN_GZIP.keys())
def test_a_broken_gzip_stream_is_refused_by_name(tmp_path, content):
    path = tmp_path / "digits.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match="expected a complete gzip file; replace it") as caught:
        read_unpacked(path)
    assert str(caught.value).startswith(f"{path}: the gzip stream is truncated or corrupted")
    assert f"got {len(content)} bytes" in str(caught.value)


def test_a_gzip_stream_is_unpacked_up_to_a_limit(tmp_path):
    path = tmp_path / "digits.gz"
    path.write_bytes(gzip.compress(bytes(5000)))
    assert read_unpacked(path, 5000) == bytes(5000)
    with pytest.raises(InvalidData, match=r"digits\.gz: a gzip stream of .* more than 4,999"):
        read_unpacked(path, 4999)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidData, match="No such file.*expected a readable IDX file; check"):
        read_unpacked(tmp_path / "absent")
    with pytest.raises(InvalidData, match="[Dd]irectory"):
        read_unpacked(tmp_path)
