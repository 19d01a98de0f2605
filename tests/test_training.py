import dataclasses
import json
import math
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidData, InvalidSetting, ShapeMismatch, UnknownBackend
from gradparity.backends.pytrees import flatten
from gradparity.models import Dataset, Diverged, Quadratic, TwoLayerNet, load_mnist, train
from gradparity.models.checks import Samples, label_rows
from gradparity.models.functions import fraction_correct
from gradparity.models.training_loop import epoch_batches

NET = TwoLayerNet(4, 5, 3, weight_init_std=0.5)
STEPS_PER_EPOCH = 6
SHORT = {"epochs": 2, "batch_size": 10, "learning_rate": 0.5}


def three_clusters(training=64, test=20, seed=0):
    """Points around three centres: 6 batches of 10 with 4 samples over."""
    rng = np.random.default_rng(seed)
    centres = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]])

    def draw(size):
        labels = rng.integers(0, 3, size)
        return centres[labels] + 0.2 * rng.standard_normal((size, 4)), labels

    return Dataset(*draw(training), *draw(test), source="three clusters")


@pytest.fixture(scope="module")
def clusters():
    return three_clusters()


def largest_difference(run, other):
    leaves, others = flatten(run.params)[0], flatten(other.params)[0]
    return max(np.abs(a - b).max() for a, b in zip(leaves, others, strict=True))


def same_bits(run, other):
    return largest_difference(run, other) == 0 and np.array_equal(run.losses, other.losses)


# What a training gives


def test_training_learns(backend, clusters):
    run = train(NET, clusters, backend, **SHORT | {"epochs": 30})
    assert run.losses[-1] < 0.2 < 1.0 < run.losses[0]
    assert run.test_accuracy[-1] == 1.0
    assert run.train_accuracy[-1] > run.train_accuracy[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_has_a_loss_for_each_step_and_accuracies_for_each_epoch(
    load_backend, backend_name, clusters, dtype
):
    run = train(NET, clusters, load_backend(backend_name, dtype=dtype), **SHORT)
    assert (run.backend, run.dtype, run.steps) == (backend_name, dtype, 2 * STEPS_PER_EPOCH)
    assert run.losses.shape == (12,)
    assert run.train_accuracy.shape == run.test_accuracy.shape == run.epoch_seconds.shape == (2,)
    assert {leaf.dtype for leaf in run.params.values()} == {np.dtype(dtype)}
    assert all(isinstance(leaf, np.ndarray) for leaf in run.params.values())
    assert 0 < run.epoch_seconds.sum() <= run.seconds


def test_losses_and_accuracies_are_those_of_the_model(backend, clusters):
    run = train(NET, clusters, backend, steps=1, batch_size=10)
    batch = epoch_batches(0, 0, 64, 10)[0]
    params = NET.init(0)
    first = NET.loss(params, clusters.train_x[batch], clusters.train_t[batch])
    assert run.losses[0] == pytest.approx(first, rel=1e-14)
    assert run.train_accuracy[0] == NET.accuracy(run.params, clusters.train_x, clusters.train_t)
    assert run.test_accuracy[0] == NET.accuracy(run.params, clusters.test_x, clusters.test_t)


def test_a_step_is_the_learning_rate_times_the_gradient(backend, clusters):
    run = train(NET, clusters, backend, steps=1, batch_size=10, learning_rate=0.3)
    batch, params = epoch_batches(0, 0, 64, 10)[0], NET.init(0)
    x, t = clusters.train_x[batch], np.eye(3)[clusters.train_t[batch]]  # as steps take labels
    _, gradient = backend.to_numpy(backend.value_and_gradient(NET.loss)(params, x, t))
    for name, leaf in params.items():
        np.testing.assert_allclose(
            run.params[name], leaf - 0.3 * gradient[name], rtol=1e-13, atol=1e-15
        )


def test_steps_may_end_within_an_epoch(backend, clusters):
    run = train(NET, clusters, backend, steps=8, batch_size=10)
    assert (run.steps, len(run.test_accuracy)) == (8, 2)


def test_one_hot_labels_train_as_integer_ones(backend, clusters):
    one_hot = dataclasses.replace(
        clusters,
        train_t=np.eye(3, dtype=np.float32)[clusters.train_t],
        test_t=np.eye(3, dtype=np.float32)[clusters.test_t],
    )
    integer, spread = train(NET, clusters, backend, **SHORT), train(NET, one_hot, backend, **SHORT)
    assert largest_difference(integer, spread) < 1e-8
    assert integer.test_accuracy.tolist() == spread.test_accuracy.tolist()


@dataclass(frozen=True)
class ClassesAlone(TwoLayerNet):
    """Its loss takes integer classes, and one-hot rows for something else."""

    def loss(self, params, x, t):
        return super().loss(params, x, t) * (2.0 if t.ndim == 2 else 1.0)


@dataclass(frozen=True)
class NoRows(TwoLayerNet):
    def loss(self, params, x, t):
        if t.ndim == 2:
            raise TypeError("expected classes")
        return super().loss(params, x, t)


def test_labels_become_rows_only_where_the_loss_stays_the_same(clusters):
    settings = {"input_size": 4, "hidden_size": 5, "output_size": 3}
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(40, 4)), rng.integers(0, 3, 40))

    def rows(model):
        return label_rows(model, model.init(0), samples)

    np.testing.assert_array_equal(rows(TwoLayerNet(**settings)), np.eye(3)[samples.t])
    for model in (ClassesAlone(**settings), NoRows(**settings)):
        assert rows(model) is samples.t
    wide = TwoLayerNet(4, 5, 5)  # rows would take more memory than the inputs
    assert rows(wide) is samples.t


def test_the_dataset_and_the_initial_weights_stay_as_they_are(backend):
    clusters, untouched = three_clusters(), three_clusters()
    train(NET, clusters, backend, **SHORT)
    np.testing.assert_array_equal(clusters.train_x, untouched.train_x)
    np.testing.assert_array_equal(clusters.train_t, untouched.train_t)


# Seeds and batches


def test_an_epoch_visits_each_sample_at_most_once_and_in_its_own_order():
    first, second = (epoch_batches(7, epoch, 64, 10) for epoch in (0, 1))
    assert first.shape == (6, 10)
    assert len(np.unique(first)) == 60
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, epoch_batches(7, 0, 64, 10))
    assert not np.array_equal(first, epoch_batches(8, 0, 64, 10))


def test_samples_sit_out_by_chance():
    visits = np.zeros(64)
    for epoch in range(200):
        visits[epoch_batches(0, epoch, 64, 10).reshape(-1)] += 1
    # Each sample sits out 4 of 64 epochs: 12.5 of 200, with a standard deviation of 3.4.
    assert visits.min() > 200 - 12.5 - 5 * 3.4
    assert visits.max() < 200


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(backend, clusters):
    first, again = (train(NET, clusters, backend, **SHORT, seed=3) for _ in range(2))
    assert same_bits(first, again)
    assert largest_difference(first, train(NET, clusters, backend, **SHORT, seed=4)) > 1e-3


def test_a_name_means_its_backend_in_float64(load_backend, backend_name, clusters):
    load_backend(backend_name)
    run = train(NET, clusters, backend_name, **SHORT)
    assert run.dtype == "float64"
    assert same_bits(run, train(NET, clusters, get_backend(backend_name), **SHORT))


# Twins


def test_jax_and_torch_end_within_1e_9_after_a_hundred_steps(load_backend):
    digits = load_mnist("embedded")
    first, second = (
        train(TwoLayerNet(), digits, load_backend(name), steps=100) for name in ("jax", "torch")
    )
    assert largest_difference(first, second) <= 1e-9
    assert first.test_accuracy.tolist() == second.test_accuracy.tolist()


def test_all_backends_end_within_1e_6_after_a_hundred_steps(backend, clusters):
    reference = train(NET, clusters, "numerical", steps=100, batch_size=10, learning_rate=0.5)
    run = train(NET, clusters, backend, steps=100, batch_size=10, learning_rate=0.5)
    assert largest_difference(run, reference) <= 1e-6
    other = train(NET, clusters, backend, steps=100, batch_size=10, learning_rate=0.5001)
    assert largest_difference(other, reference) > 1e-5


# Progress


def test_progress_is_told_up_to_the_last_step(backend, clusters):
    told = []
    run = train(NET, clusters, backend, **SHORT, progress=lambda *now: told.append(now))
    steps = [step for step, _, _ in told]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12
    assert {total for _, total, _ in told} == {12}
    assert [loss for _, _, loss in told] == [run.losses[step - 1] for step in steps]


def test_progress_changes_nothing(backend, clusters):
    plain = train(NET, clusters, backend, **SHORT)
    assert same_bits(plain, train(NET, clusters, backend, **SHORT, progress=lambda *_: None))


def test_progress_shows_on_standard_error_only_where_it_is_asked_for(clusters, capfd, monkeypatch):
    monkeypatch.setattr("gradparity.models.progress.PERIOD", 1e-3)
    train(NET, clusters, "numerical", **SHORT)
    assert capfd.readouterr() == ("", "")
    train(NET, clusters, "numerical", **SHORT, progress=True)
    out, error = capfd.readouterr()
    assert out == ""
    assert "TwoLayerNet on numerical" in error
    assert "of 12, loss" in error


# Checkpoints

KILLED = """
import os, signal, sys
import numpy as np
from gradparity.models import Dataset, TwoLayerNet, train

arrays = np.load(sys.argv[1])
def report(step, steps, loss):
    if step >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
train(TwoLayerNet(4, 5, 3, weight_init_std=0.5), Dataset(**arrays, source=""), sys.argv[2],
      epochs=5, batch_size=10, learning_rate=0.5, progress=report, checkpoint=sys.argv[3])
"""


def test_a_killed_and_resumed_training_ends_with_the_bits_of_an_uninterrupted_one(
    load_backend, backend_name, clusters, tmp_path
):
    load_backend(backend_name)
    settings = SHORT | {"epochs": 5}
    data, checkpoint = tmp_path / "clusters.npz", tmp_path / "run.npz"
    arrays = {k: v for k, v in vars(clusters).items() if k != "source"}
    np.savez(data, **arrays)
    within_third_epoch = 2 * STEPS_PER_EPOCH + 3
    command = [sys.executable, "-c", KILLED, data, backend_name, checkpoint, within_third_epoch]
    killed = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = []
    resumed = train(
        NET, clusters, backend_name, **settings, checkpoint=checkpoint, resume=True,
        progress=lambda step, *_: done.append(step),
    )  # fmt: skip
    assert 2 * STEPS_PER_EPOCH < done[0] <= 3 * STEPS_PER_EPOCH  # the first two were kept
    whole = train(NET, clusters, backend_name, **settings)
    assert same_bits(resumed, whole)
    assert resumed.train_accuracy.tolist() == whole.train_accuracy.tolist()
    assert resumed.test_accuracy.tolist() == whole.test_accuracy.tolist()
    assert len(resumed.epoch_seconds) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clusters.npz", "run.npz"]


def test_a_finished_training_can_be_made_longer_bit_for_bit(backend, clusters, tmp_path):
    checkpoint = tmp_path / "run.npz"
    settings = {"batch_size": 10, "checkpoint": checkpoint}
    train(NET, clusters, backend, steps=8, **settings)
    longer = train(NET, clusters, backend, steps=17, resume=True, **settings)
    whole = train(NET, clusters, backend, steps=17, batch_size=10)
    assert same_bits(longer, whole)
    assert longer.test_accuracy.tolist() == whole.test_accuracy.tolist()
    again = train(NET, clusters, backend, steps=17, resume=True, **settings)
    assert same_bits(again, whole)
    assert again.seconds == longer.seconds


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_holds_everything_without_pickles(clusters, tmp_path, dtype):
    backend = get_backend("numerical", dtype=dtype)
    run = train(NET, clusters, backend, **SHORT, checkpoint=tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        for name, leaf in run.params.items():
            np.testing.assert_array_equal(file[f"params:{name}"], leaf, strict=True)
        np.testing.assert_array_equal(file["losses"], run.losses, strict=True)
        settings = json.loads(str(file["settings"]))
    assert settings["model"].endswith(repr(NET))
    assert settings["backend.dtype"] == dtype
    assert (settings["seed"], settings["batch_size"], settings["learning_rate"]) == (0, 10, 0.5)


@pytest.mark.parametrize(
    ("named", "changed"),
    [
        ("learning_rate 0.5 instead of 0.25", {"learning_rate": 0.25}),
        ("batch_size 10 instead of 20", {"batch_size": 20}),
        ("seed 0 instead of 1", {"seed": 1}),
        ("hidden_size=5", {"model": TwoLayerNet(4, 6, 3)}),
        ("dataset", {"dataset": three_clusters(seed=1)}),
        ("backend.dtype 'float64' instead of 'float32'",
         {"backend": get_backend("numerical", dtype="float32")}),
        ("backend.step_size 'automatic' instead of 0.0001",
         {"backend": get_backend("numerical", step_size=1e-4)}),
        ("holds 12 steps, expected at most the 6", {"epochs": 1}),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_training_is_refused(clusters, tmp_path, named, changed):
    settings = {"model": NET, "dataset": clusters, "backend": "numerical", **SHORT}
    settings["checkpoint"] = tmp_path / "run.npz"
    train(**settings)
    before = settings["checkpoint"].read_bytes()
    with pytest.raises(InvalidSetting, match="run.npz") as refusal:
        train(**settings | changed, resume=True)
    assert named in str(refusal.value)
    assert settings["checkpoint"].read_bytes() == before


def flip_bit(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"not an archive" * 100,
        lambda content: content.replace(b"losses.npy", b"lasses.npy"),
        lambda content: flip_bit(content, content.index(b"losses.npy") + 150),
    ],
    ids=["empty", "truncated", "text", "an entry missing", "one bit flipped"],
)
def test_a_damaged_checkpoint_is_refused(clusters, tmp_path, damage):
    checkpoint = tmp_path / "run.npz"
    train(NET, clusters, "numerical", **SHORT, checkpoint=checkpoint)
    damaged = damage(checkpoint.read_bytes())
    checkpoint.write_bytes(damaged)
    with pytest.raises(InvalidData, match=r"run\.npz: got a file that cannot be read"):
        train(NET, clusters, "numerical", **SHORT, checkpoint=checkpoint, resume=True)
    assert checkpoint.read_bytes() == damaged


@pytest.mark.parametrize("name", ["losses", "test_accuracy", "params:W1"])
def test_a_checkpoint_whose_arrays_were_changed_is_refused(clusters, tmp_path, name):
    checkpoint = tmp_path / "run.npz"
    train(NET, clusters, "numerical", **SHORT, checkpoint=checkpoint)
    with np.load(checkpoint) as file:
        arrays = dict(file)
    arrays[name] = arrays[name][:-1]
    np.savez(checkpoint, **arrays)
    with pytest.raises(InvalidData, match="its arrays are not those that were written"):
        train(NET, clusters, "numerical", **SHORT, checkpoint=checkpoint, resume=True)


def test_a_longer_training_is_not_overwritten_by_accident(clusters, tmp_path):
    checkpoint = tmp_path / "run.npz"
    settings = {"batch_size": 10, "checkpoint": checkpoint}
    train(NET, clusters, "numerical", **settings, epochs=1)
    train(NET, clusters, "numerical", **settings, epochs=2)  # nothing is lost by that
    before = checkpoint.read_bytes()
    with pytest.raises(InvalidSetting, match=r"run\.npz holds a training of 12 steps.*--overwrite"):
        train(NET, clusters, "numerical", **settings, epochs=9)
    assert checkpoint.read_bytes() == before
    train(NET, clusters, "numerical", **settings, epochs=1, overwrite=True)
    assert checkpoint.read_bytes() != before


def test_a_file_of_another_kind_is_not_overwritten_by_a_checkpoint(clusters, tmp_path):
    np.savez(tmp_path / "params.npz", W=np.ones(3))
    (tmp_path / "notes").write_text("mine")
    for name in ("params.npz", "notes"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InvalidSetting, match="a file that train has not written"):
            train(NET, clusters, "numerical", **SHORT, checkpoint=tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def test_what_a_killed_training_left_is_cleared_when_the_next_one_starts(clusters, tmp_path):
    checkpoint, left = tmp_path / "run.npz", tmp_path / ".run.npz.0123abcd.partial"
    left.write_bytes(b"a part")
    train(NET, clusters, "numerical", **SHORT, checkpoint=checkpoint)
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_checkpoint_that_is_not_there_cannot_be_resumed(clusters, tmp_path):
    with pytest.raises(InvalidSetting, match=r"none\.npz: there is no such file"):
        train(NET, clusters, "numerical", **SHORT, checkpoint=tmp_path / "none.npz", resume=True)
    with pytest.raises(InvalidSetting, match="resume without a checkpoint"):
        train(NET, clusters, "numerical", **SHORT, resume=True)


def test_a_checkpoint_needs_a_directory_that_exists(clusters, tmp_path):
    for place in (tmp_path, tmp_path / "missing" / "run.npz"):
        with pytest.raises(InvalidSetting, match="expected a file in a directory that exists"):
            train(NET, clusters, "numerical", **SHORT, checkpoint=place)


# Divergence


@dataclass(frozen=True)
class Regression:
    """A linear map, whose squared error grows without bound when the learning rate is too large."""

    def init(self, seed):
        return {"W": np.random.default_rng(seed).standard_normal((4, 3))}

    def predict(self, params, x):
        return x @ params["W"]

    def loss(self, params, x, t):
        difference = self.predict(params, x) - t
        return array_namespace(x).mean(difference * difference)

    def accuracy(self, params, x, t):
        return fraction_correct(self.predict(params, x), t)


@pytest.fixture(scope="module")
def targets(clusters):
    return dataclasses.replace(
        clusters, train_t=np.eye(3)[clusters.train_t], test_t=np.eye(3)[clusters.test_t]
    )


@pytest.mark.parametrize("progress", [False, lambda *_: None], ids=["silent", "reporting"])
def test_a_loss_that_explodes_stops_with_what_was_learned(
    load_backend, backend_name, targets, tmp_path, progress
):
    backend = load_backend(backend_name, dtype="float32")
    checkpoint = tmp_path / "run.npz"
    settings = {"batch_size": 10, "learning_rate": 1e3, "checkpoint": checkpoint}
    with pytest.raises(Diverged) as stop:
        train(Regression(), targets, backend, epochs=9, progress=progress, **settings)
    run = stop.value.run
    assert run.steps > STEPS_PER_EPOCH
    assert np.isfinite(run.losses).all()
    assert np.isfinite(run.params["W"]).all()
    assert len(run.test_accuracy) == run.steps // STEPS_PER_EPOCH
    assert f"step {run.steps + 1} " in str(stop.value)
    assert "the learning rate, 1000, is probably too large: try 100" in str(stop.value)
    # The file holds the last whole epoch, and the run agrees with it.
    epochs = run.steps // STEPS_PER_EPOCH
    kept = train(Regression(), targets, backend, epochs=epochs, resume=True, **settings)
    np.testing.assert_allclose(run.losses[: kept.steps], kept.losses, rtol=1e-6)
    assert kept.steps == epochs * STEPS_PER_EPOCH


@dataclass(frozen=True)
class Undefined(Regression):
    """A model with a NaN in its loss from the start."""

    def loss(self, params, x, t):
        return super().loss(params, x, t) * math.nan


def test_a_loss_that_is_nan_at_once_does_not_blame_the_learning_rate(backend, targets):
    with pytest.raises(Diverged, match="loss of step 1 is nan.*not to blame") as stop:
        train(Undefined(), targets, backend, **SHORT)
    assert stop.value.run.steps == 0
    np.testing.assert_array_equal(stop.value.run.params["W"], Regression().init(0)["W"])


@dataclass(frozen=True)
class Steep(Regression):
    """A model whose gradient is large enough to overflow in one update."""

    def loss(self, params, x, t):
        return 1e3 * super().loss(params, x, t)


def test_an_update_that_overflows_is_not_the_end_of_a_good_run(backend, targets):
    with pytest.raises(Diverged, match="the update of step 1 gave parameters") as stop:
        train(Steep(), targets, backend, steps=1, batch_size=10, learning_rate=1.7e308)
    assert stop.value.run.steps == 0


def test_a_small_learning_rate_does_not_diverge(backend, targets):
    run = train(Regression(), targets, backend, **SHORT | {"learning_rate": 0.1})
    assert np.isfinite(run.losses).all()


# Bad input


def spoil(dataset, name, index, value):
    array = getattr(dataset, name).copy()
    array[index] = value
    return dataclasses.replace(dataset, **{name: array})


@dataclass(frozen=True)
class BadData:
    name: str
    spoiled: Any
    error: type[Exception]
    message: str


BAD_DATA = (
    BadData("NaN in x", lambda d: spoil(d, "train_x", (7, 2), np.nan), InvalidData,
            r"train_x\[7, 2\]: got nan, expected finite numbers"),
    BadData("infinity in the test set", lambda d: spoil(d, "test_x", (0, 0), np.inf), InvalidData,
            r"test_x\[0, 0\]: got inf"),
    BadData("a label too large", lambda d: spoil(d, "train_t", 9, 3), InvalidData,
            r"train_t\[9\]: got 3, expected classes 0 to 2; 1 of 64"),
    BadData("a negative label", lambda d: spoil(d, "test_t", 0, -1), InvalidData,
            r"test_t\[0\]: got -1"),
    BadData("labels in a column",
            lambda d: dataclasses.replace(d, train_t=d.train_t[:, None]), ShapeMismatch,
            r"labels of shape \(1, 1\)"),
    BadData("too few labels", lambda d: dataclasses.replace(d, train_t=d.train_t[:-1]),
            ShapeMismatch, "train_t: got 63 labels for the 64 samples"),
    BadData("fractional labels", lambda d: dataclasses.replace(d, train_t=d.train_t + 0.5),
            InvalidData, "labels of dtype float64"),
    BadData("labels that are words",
            lambda d: dataclasses.replace(d, train_t=d.train_t.astype(str)), InvalidData,
            "train_t: got dtype <U"),
    BadData("rows that are no shares",
            lambda d: dataclasses.replace(d, train_t=np.ones((64, 3)), test_t=np.eye(3)[d.test_t]),
            InvalidData, r"train_t\[0\]: got \[1. 1. 1.\], expected rows of shares"),
    BadData("samples that are too wide",
            lambda d: dataclasses.replace(d, train_x=np.ones((64, 9))), ShapeMismatch,
            r"leaf W1: got inputs of shape \(1, 9\)"),
    BadData("nothing to train on",
            lambda d: dataclasses.replace(d, train_x=d.train_x[:0], train_t=d.train_t[:0]),
            InvalidData, r"train_x: got shape \(0, 4\), expected at least one sample"),
    BadData("nothing to test on",
            lambda d: dataclasses.replace(d, test_x=d.test_x[:0], test_t=d.test_t[:0]),
            InvalidData, r"test_x: got shape \(0, 4\)"),
    BadData("fewer samples than a batch",
            lambda d: dataclasses.replace(d, train_x=d.train_x[:9], train_t=d.train_t[:9]),
            InvalidData, "got batch_size 10, expected at most the 9 training samples"),
)  # fmt: skip


@pytest.mark.parametrize("bad", BAD_DATA, ids=[bad.name for bad in BAD_DATA])
def test_bad_data_is_refused_before_the_first_step(backend, clusters, bad):
    steps = []
    with pytest.raises(bad.error, match=bad.message):
        train(NET, bad.spoiled(clusters), backend, **SHORT, progress=lambda *now: steps.append(now))
    assert steps == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": None}, "got epochs None and steps None"),
        ({"steps": 3}, "got epochs 2 and steps 3, expected one of the two"),
        ({"epochs": 0}, "got epochs 0"),
        ({"epochs": None, "steps": -5}, "got steps -5"),
        ({"epochs": 1.5}, "got epochs 1.5"),
        ({"batch_size": 0}, "got batch_size 0"),
        ({"learning_rate": 0.0}, "got learning_rate 0.0"),
        ({"learning_rate": -1.0}, "got learning_rate -1.0"),
        ({"learning_rate": math.nan}, "got learning_rate nan"),
        ({"seed": -1}, "got seed -1"),
        ({"seed": 0.5}, "got seed 0.5"),
    ],
)
def test_bad_settings_are_refused(clusters, settings, message):
    with pytest.raises(InvalidSetting, match=message):
        train(NET, clusters, "numerical", **SHORT | settings)


def test_an_unknown_backend_or_dtype_is_refused(clusters):
    with pytest.raises(UnknownBackend, match="numerical, jax, torch"):
        train(NET, clusters, "abacus", **SHORT)
    with pytest.raises(InvalidSetting, match="float16"):
        train(NET, clusters, get_backend("numerical", dtype="float16"), **SHORT)


@dataclass
class Changeable:
    """A model that may change after it was compiled."""

    init, predict = Regression.init, Regression.predict
    loss, accuracy = Regression.loss, Regression.accuracy


@pytest.mark.parametrize("model", [Quadratic(), "net", Changeable()])
def test_what_is_no_classifier_is_refused(clusters, model):
    with pytest.raises(InvalidSetting, match="expected a hashable one with init, predict, loss"):
        train(model, clusters, "numerical", **SHORT)


def test_awkward_arrays_train_like_plain_ones(backend, clusters):
    awkward = dataclasses.replace(
        clusters,
        train_x=np.flip(np.flip(clusters.train_x).copy()),
        train_t=clusters.train_t.astype(">i2"),
        test_x=clusters.test_x.astype(">f8"),
    )
    awkward.train_x.flags.writeable = False
    assert awkward.train_x.strides[0] < 0
    plain = train(NET, clusters, backend, **SHORT)
    assert same_bits(plain, train(NET, awkward, backend, **SHORT))
