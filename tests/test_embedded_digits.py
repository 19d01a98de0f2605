import time
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from draw_embedded_digits import SEED, draw_balanced, draw_subset, write_embedded_digits

from gradparity.backends.errors import InvalidData
from gradparity.models import embedded_digits
from gradparity.models.embedded_digits import ATTRIBUTION, read_embedded_digits
from gradparity.models.mnist_files import Digits, read_digits

FULL_MNIST = Path(__file__).parents[2] / "shared" / "mnist"
ARCHIVE = resources.files("gradparity.models").joinpath("embedded_digits.npz")


def differing_arrays(left, right):
    names = [field.name for field in fields(Digits)]
    return [name for name in names if not np.array_equal(getattr(left, name), getattr(right, name))]


@pytest.fixture(scope="module")
def full_set():
    if not FULL_MNIST.is_dir():
        pytest.skip("the full MNIST is not beside the repository, in ../shared/mnist")
    return read_digits(FULL_MNIST, official=True)


def test_redrawing_from_the_full_set_gives_the_embedded_digits_bit_by_bit(full_set):
    assert differing_arrays(draw_subset(full_set), read_embedded_digits()) == []


def test_one_exchanged_pixel_in_the_full_set_would_be_noticed(full_set):
    pixel = int(draw_balanced(full_set.train_labels, 1)[0]), 14, 14
    images = full_set.train_images.copy()
    images[pixel] ^= 1
    changed = replace(full_set, train_images=images)
    assert differing_arrays(draw_subset(changed), read_embedded_digits()) == ["train_images"]


def test_the_digits_are_balanced_and_their_classes_mixed():
    digits = read_embedded_digits()
    assert digits.train_images.shape == (5000, 28, 28)
    assert digits.test_images.shape == (1000, 28, 28)
    assert np.bincount(digits.train_labels).tolist() == [500] * 10
    assert np.bincount(digits.test_labels).tolist() == [100] * 10
    # Of neighbours drawn without order one pair in ten is equal; sorted classes give nearly all.
    neighbours_equal = np.mean(digits.train_labels[1:] == digits.train_labels[:-1])
    assert 0.08 < neighbours_equal < 0.12


def test_a_template_of_the_training_digits_recognises_most_test_digits():
    # A swapped label array or scrambled pixels would leave a tenth; class means reach about 0.8.
    digits = read_embedded_digits()
    train_x = digits.train_images.reshape(5000, 784) / 255
    test_x = digits.test_images.reshape(1000, 784) / 255
    means = np.stack([train_x[digits.train_labels == digit].mean(axis=0) for digit in range(10)])
    distances = ((test_x[:, np.newaxis] - means) ** 2).sum(axis=2)
    assert np.mean(distances.argmin(axis=1) == digits.test_labels) > 0.75


def test_no_test_digit_is_a_training_digit():
    digits = read_embedded_digits()
    training = {image.tobytes() for image in digits.train_images}
    assert len(training) == 5000
    assert not training & {image.tobytes() for image in digits.test_images}


LABELS = np.random.default_rng(0).integers(0, 10, 2000).astype(np.uint8)


def test_a_draw_takes_as_many_of_each_class_and_none_twice():
    drawn = draw_balanced(LABELS, 100)
    assert np.bincount(LABELS[drawn]).tolist() == [100] * 10
    assert len(set(drawn.tolist())) == 1000


def test_a_draw_keeps_the_smallest_keys_of_each_class_in_the_order_of_the_keys():
    labels = np.arange(40, dtype=np.uint8) % 10
    keys = np.random.PCG64(7).random_raw(40).tolist()
    kept = [sorted(range(digit, 40, 10), key=keys.__getitem__)[:3] for digit in range(10)]
    expected = sorted(sum(kept, []), key=keys.__getitem__)
    assert draw_balanced(labels, 3, seed=7).tolist() == expected


def test_another_seed_draws_other_digits_and_the_same_seed_the_same():
    assert np.array_equal(draw_balanced(LABELS, 100, seed=1), draw_balanced(LABELS, 100, seed=1))
    assert set(draw_balanced(LABELS, 100, seed=1)) != set(draw_balanced(LABELS, 100, seed=2))


def test_every_position_is_drawn_equally_often_over_many_seeds():
    labels = np.repeat(np.arange(10, dtype=np.uint8), 6)
    draws = 2000
    counts = sum(np.isin(np.arange(60), draw_balanced(labels, 2, seed)) for seed in range(draws))
    # Binomial with p = 1/3; five standard deviations hold for 60 positions with odds of 3e-5.
    assert np.abs(counts / draws - 1 / 3).max() < 5 * np.sqrt(2 / 9 / draws)


def test_a_class_with_too_few_digits_is_refused():
    with pytest.raises(InvalidData, match=r"got 3 of class 7; expected at least 4; draw from"):
        draw_balanced(np.repeat(np.arange(10, dtype=np.uint8), [9] * 7 + [3, 9, 9]), 4)


def test_the_archive_is_compact_and_names_its_origin_and_licence():
    assert len(ARCHIVE.read_bytes()) <= 1_500_000
    with ARCHIVE.open("rb") as file, np.load(file) as archive:
        assert archive["attribution"] == ATTRIBUTION
        assert f"seed {SEED}" in str(archive["changes"])
    for name in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0"):
        assert name in ATTRIBUTION


def test_the_notice_beside_the_archive_names_the_same_origin_and_licence():
    notice = ARCHIVE.parent.joinpath("embedded_digits.license.txt").read_text()
    words = ATTRIBUTION.replace("(", " ").replace(")", " ").replace(",", " ").split()
    assert [word for word in words if word not in notice] == []


def test_written_digits_are_read_back(tmp_path, monkeypatch):
    seven = Digits(*(getattr(read_embedded_digits(), field.name)[:7] for field in fields(Digits)))
    monkeypatch.setattr(embedded_digits.resources, "files", lambda package: tmp_path)
    write_embedded_digits(tmp_path / "embedded_digits.npz", seven)
    assert differing_arrays(read_embedded_digits(), seven) == []


WHOLE = ARCHIVE.read_bytes()
# The first entry of zip's central directory; ten bytes on stands the compression method.
METHOD = WHOLE.index(b"PK\x01\x02") + 10
DAMAGED = {
    "cut off": WHOLE[:-1000],
    "empty": b"",
    "no archive": b"<!DOCTYPE html>" * 100,
    "a pixel changed": WHOLE[:5000] + bytes([WHOLE[5000] ^ 1]) + WHOLE[5001:],
    "an unknown compression": WHOLE[:METHOD] + bytes([99]) + WHOLE[METHOD + 1 :],
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_archive_says_to_install_afresh(tmp_path, monkeypatch, content):
    (tmp_path / "embedded_digits.npz").write_bytes(content)
    monkeypatch.setattr(embedded_digits.resources, "files", lambda package: tmp_path)
    with pytest.raises(InvalidData, match=r"embedded_digits\.npz: cannot be read .*afresh"):
        read_embedded_digits()


def test_a_lost_archive_says_to_install_afresh(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded_digits.resources, "files", lambda package: tmp_path)
    with pytest.raises(InvalidData, match="install gradparity afresh"):
        read_embedded_digits()


def test_reading_takes_less_than_a_third_of_a_second():
    def seconds():
        start = time.perf_counter()
        read_embedded_digits()
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3
