"""Trainings that are stopped anywhere and go on from a backup: to the bit as if they had not been."""
import itertools
import os
import random
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from scale import times
from scipy import sparse

import nnjit as nn
from nnjit import callbacks, checkpoint, preparation
from nnjit.inputs.checks import DataError
from nnjit.training import backup


def data(N=43, seed=0):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(N, 6)) * (rng.random((N, 6)) < 0.7)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


class Stop(Exception):
    """In place of a power cut."""


class Cut(callbacks.Callback):
    """Cuts the power after so many batches of its own."""

    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, state, logs):
        self.left -= 1
        if self.left == 0:
            raise Stop

    def state(self):
        return {}


SETTINGS = {
    "plain": {},
    "in order": {"shuffle": False},
    "weighted": {"sample_weight": np.linspace(0, 2, 43)},
    "every second validation": {"validate_every": 2},
    "sparse": {"sparse": True},
    "one epoch": {"epochs": 1},
    "metrics": {"metrics": ["f1_macro", "roc_auc", "log_loss"]},
}


def run(path, every, cut=None, optimizer=None, epochs=4, change=None, **options):
    """Train from nothing, or from the backup at ``path``; return all that a training comes to."""
    X, y = data()
    model = nn.Sequential([nn.Dense(7), nn.BatchNormalization(0.5), nn.Tanh(), nn.Dropout(0.4), nn.Dense(2)],
                          nn.Categorical())
    optimizer = (optimizer or (lambda: nn.Adam(0.02)))()
    early = callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05)
    given = [early] if callable(optimizer.learning_rate) else [early, plateau]
    given += [callbacks.BackupAndRestore(path, every)] if path else []
    given += [Cut(cut)] if cut else []
    try:
        model.fit(X, y, optimizer, epochs, batch_size=10, validation_data=data(20, 1), seed=3,
                  callbacks=given, verbose=0, **options)
    except Stop:
        return None
    history = {name: values for name, values in model.history.history.items() if name != "seconds"}
    return {"arrays": [array.tobytes() for array in model.graph.arrays().values()],
            "slots": [slot.tobytes() for slot in optimizer.slots.values()], "steps": optimizer.iterations,
            "rate": optimizer.rate(), "history": history, "epochs": model.history.epochs,
            "validated": model.history.validated,
            "stopped": (early.stopped_epoch, early.best, early.best_epoch), "wait": early.wait,
            "seconds": len(model.history.history["seconds"])}


@pytest.fixture
def every_batch(monkeypatch):
    """A backup after every batch, which "1s" means in these tests."""
    monkeypatch.setattr(backup.BackupAndRestore, "_is_time", lambda self: self.seconds is not None)
    return "1s"


@pytest.mark.parametrize("settings", SETTINGS)
def test_stopped_after_any_batch(settings, tmp_path, every_batch):
    options = SETTINGS[settings]
    whole, path = run(None, 1, **options), tmp_path / "backup.npz"
    for batches in range(1, 5 * options.get("epochs", 4) + 1):
        found = run(path, every_batch, batches, **options)
        while found is None:
            found = run(path, every_batch, None, **options)
        assert found == whole
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [lambda: nn.SGD(0.1, momentum=0.9, clip_norm=1.0), lambda: nn.RMSprop(0.01),
                                  lambda: nn.AdamW(nn.schedules.cosine(0.05, 20))])
@pytest.mark.parametrize("every", [1, 2])
def test_stopped_again_and_again(make, every, tmp_path):
    """What was trained since the last backup is trained once more."""
    whole, path = run(None, 1, optimizer=make), tmp_path / "backup.npz"
    assert run(path, every, 7 + 5 * every, optimizer=make) is None and path.exists()
    assert run(path, every, 3, optimizer=make) is None
    assert run(path, every, optimizer=make) == whole


def test_rows_in_scipys_matrices_and_several_heads(tmp_path, every_batch):
    X, y = data()

    def train(path, cut=None):
        model = nn.Sequential([nn.Dense(3)], nn.Heads(side=nn.Categorical(), sum=nn.Gaussian()))
        given = [callbacks.BackupAndRestore(path, every_batch)] if path else []
        given += [Cut(cut)] if cut else []
        model.fit(sparse.csr_matrix(X), {"side": y, "sum": X.sum(axis=1)}, nn.Adam(0.1), 3, batch_size=10,
                  callbacks=given, verbose=0)
        log = model.history.history
        return model.vector.tobytes(), log["loss"], log["side_accuracy"], log["sum_mae"]

    whole, path = train(None), tmp_path / "b.npz"
    for cut in (2, 5, 8):
        with pytest.raises(Stop):
            train(path, cut)
        assert train(path) == whole


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_fingerprint_of_rows_without_zeros_follows_from_them_alone(parts, monkeypatch):
    """And not from the number of threads that left them out."""
    X, y = data(50)
    monkeypatch.setattr("nnjit.inputs.threads.get_threads", lambda: parts)
    model = nn.Sequential([nn.Dense(2)], nn.Categorical()).build(6)
    found = backup.fingerprint(preparation.examples(model, X, y, sparse=True))
    monkeypatch.setattr("nnjit.inputs.threads.get_threads", lambda: 1)
    assert found == backup.fingerprint(preparation.examples(model, X, y, sparse=True))
    for change in ((0, 0), (49, 5), (25, 3)):
        other = X.copy()
        other[change] += 1
        assert found != backup.fingerprint(preparation.examples(model, other, y, sparse=True))


def test_the_fingerprint_is_a_checksum_of_all_numbers():
    """As any version computes it: a backup goes on with the same rows."""
    X, y = data(50)
    X, w = X.astype(float), np.linspace(1, 2, 50)
    model = nn.Sequential([nn.Dense(2)], nn.Categorical(), "float64").build(6)
    assert backup.fingerprint(preparation.examples(model, X, y, w, sparse=False)) == {
        "arrays": ["float64 (50, 6)", "int64 (50,)", "float64 (50,)"],
        "checksum": zlib.crc32(X.tobytes() + y.tobytes() + w.tobytes())}


def test_the_epochs_may_be_more(tmp_path):
    whole, path = run(None, 1, epochs=4), tmp_path / "b.npz"
    assert run(path, 1, 7, epochs=2) is None
    assert run(path, 1, epochs=4) == whole


@pytest.mark.parametrize("make", [lambda: nn.Adam(0.02), lambda: nn.SGD(0.1, momentum=0.5),
                                  lambda: nn.RMSprop(nn.schedules.warm_up(nn.schedules.step(0.1, 7), 3))])
def test_a_backup_is_a_saved_model_that_trains_on(tmp_path, make):
    """With its optimiser and its history, as if it had never stopped."""
    (X, y), path = data(), tmp_path / "b.npz"

    def train(model, optimizer, **options):
        return model.fit(X, y, optimizer, batch_size=10, seed=3, verbose=0, **options)

    whole = nn.Sequential([nn.Dense(7), nn.Dropout(0.4), nn.Dense(2)], nn.Categorical())
    history = train(whole, make(), epochs=6).history
    cut = nn.Sequential([nn.Dense(7), nn.Dropout(0.4), nn.Dense(2)], nn.Categorical())
    with pytest.raises(Stop):
        train(cut, make(), epochs=6, callbacks=[callbacks.BackupAndRestore(path), Cut(12)])
    model = nn.load(path)
    assert model.history.epochs == [0, 1] and model.history.history["loss"] == history["loss"][:2]
    assert repr(model.optimizer) == repr(make()) and model.optimizer.iterations == 10
    later = train(model, model.optimizer, epochs=6, initial_epoch=2).history
    assert (model.vector == whole.vector).all() and later["loss"] == history["loss"][2:]


def test_a_backup_with_a_rate_that_is_a_function_of_the_users(tmp_path):
    path = tmp_path / "b.npz"
    with pytest.raises(Stop):
        begin(path, optimizer=nn.SGD(lambda step: 0.1 / (1 + step)))
    assert nn.load(path).optimizer is None and len(nn.load(path).history.epochs) == 1
    assert begin(path, optimizer=nn.SGD(lambda step: 0.1 / (1 + step))).history.epochs == [0, 1, 2]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("epoch", [0, 3])
def test_an_interrupt_after_the_last_batch_of_an_epoch_is_not_lost(tmp_path, epoch):
    """It comes during a validation, say; a backup precedes it."""
    def interrupt(model, number, logs):
        if number == epoch:
            signal.raise_signal(signal.SIGINT)

    X, y = data()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            nn.Sequential([nn.Dense(2)], nn.Categorical()).fit(X, y, nn.SGD(0.1), 4, verbose=0, callbacks=[
                interrupt, callbacks.BackupAndRestore(tmp_path / "b.npz", "1000s")])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert checkpoint.read(tmp_path / "b.npz")[0]["training"]["epoch"] == epoch + 1


# ---- what is refused ---------------------------------------------------------------------------------------

def begin(path, layers=None, head=None, optimizer=None, given=(), X=None, y=None, dtype="float32", **options):
    own_X, own_y = data()
    model = nn.Sequential(layers or [nn.Dense(4), nn.Dense(2)], head or nn.Categorical(), dtype)
    model.fit(own_X if X is None else X, own_y if y is None else y, optimizer or nn.Adam(0.1),
              **{"epochs": 3, "batch_size": 10, "verbose": 0, **options},
              callbacks=[*given, callbacks.BackupAndRestore(path), *[Cut(7)] * (not path.exists())])
    return model


@pytest.mark.parametrize("change, message", [
    ({"layers": [nn.Dense(5), nn.Dense(2)]}, "got layer 0 .*'units': 5.*, expected .*'units': 4.* as in"),
    ({"layers": [nn.Dense(4), nn.Dense(3, bias=False), nn.Dense(2)]}, "got layer 1 "),
    ({"head": nn.Categorical(temperature=2.0)}, "got head .*2.0"),
    ({"optimizer": nn.SGD(0.1)}, "got optimizer .*SGD.*, expected .*Adam"),
    ({"optimizer": nn.Adam(0.2)}, r"got optimizer .*0\.2.*, expected .*0\.1"),
    ({"batch_size": 11}, "got batch_size 11, expected 10 as in the backup"),
    ({"seed": 1}, "got seed 1, expected 0"),
    ({"shuffle": False}, "got shuffle False, expected True"),
    ({"dtype": "float64"}, "got "),
    ({"X": data(43, 5)[0]}, "got data .*checksum"),
    ({"y": 1 - data()[1]}, "got data .*checksum"),
    ({"validation_data": data(9)}, "got validation .*, expected None"),
    ({"given": [callbacks.TerminateOnNaN()]}, "got callbacks .*TerminateOnNaN.*, expected "),
])
def test_what_was_changed_is_named(change, message, tmp_path):
    path = tmp_path / "b.npz"
    with pytest.raises(Stop):
        begin(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        begin(path, **change)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert begin(path).history.epochs == [0, 1, 2]


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no file of ours"),
                                   lambda path: path.write_bytes(path.read_bytes()[:-200]),
                                   lambda path: flip(path), lambda path: nn.Sequential(
                                       [nn.Dense(2)], nn.Categorical()).build(6).save(path)])
def test_a_damaged_backup_is_refused(spoil, tmp_path):
    path = tmp_path / "b.npz"
    with pytest.raises(Stop):
        begin(path)
    spoil(path)
    with pytest.raises(DataError, match=str(path)):
        begin(path)


@pytest.mark.parametrize("change, message", [
    ({"stop": 1}, "stop: got 1, expected true or false"), ({"epoch": -1}, "epoch: got -1"),
    ({"batch": 0.5}, "batch: got 0.5"), ({"tally": 7}, "tally: got 7"), ({"steps": -1}, "steps: got -1"),
    ({"rows": [3]}, r"sums: got rows \[3\], expected a number"),
    ({"penalty": [0.5]}, r"sums: got penalty \[0.5\], expected a number"),
    ({"loss": "much"}, "sums: got loss 'much', expected a number"),
    ({"loss": [0.5, 0.5]}, r"sums: got loss \[0.5, 0.5\], expected a number"),
    ({"history/loss": np.zeros(2)}, "history/loss: got another length or type, expected 1 numbers"),
    ({"history/val_loss": np.zeros(1, int)}, "history/val_loss: got another length or type"),
    ({"history.epochs": np.zeros(1)}, "history/epochs: got another length or type")])
def test_a_training_that_makes_no_sense_is_refused(change, message, tmp_path, every_batch):
    path = tmp_path / "b.npz"
    assert run(path, every_batch, cut=7) is None
    description, arrays = checkpoint.read(path)
    training = description["training"]
    for name, value in change.items():
        place = next(place for place in (arrays, training, training["sums"]) if name in place)
        place[name] = value
    checkpoint.write(path, description, arrays)
    with pytest.raises(DataError, match=message) as caught:
        run(path, every_batch)
    assert "\n" not in str(caught.value)


def flip(path):
    """Change one bit of the largest array."""
    content = bytearray(path.read_bytes())
    place = content.index(b"parameters/0.W.npy") + 300
    content[place] ^= 1
    path.write_bytes(content)


def test_the_books_own_layers_are_refused_before_they_are_trained(tmp_path):
    model, _ = nn.book.prepare("tanh", data=nn.datasets.load_digits(), iterations=2)
    (X, y), _ = nn.datasets.load_digits().rows("float64", 100)
    with pytest.raises(ValueError, match="save: got "):
        model.fit(X, y, nn.SGD(0.1), callbacks=[callbacks.BackupAndRestore(tmp_path / "b.npz")], verbose=0)


@pytest.mark.parametrize("every, error", [("often", ValueError), ("0s", ValueError), (0, ValueError),
                                          (1.5, TypeError)])
def test_how_often_is_checked(every, error):
    with pytest.raises(error, match="every: got"):
        callbacks.BackupAndRestore("b.npz", every)


# ---- trouble -----------------------------------------------------------------------------------------------

def test_a_full_disk_is_one_warning_and_the_old_backup_stays(tmp_path, monkeypatch):
    path, calls = tmp_path / "b.npz", itertools.count()

    def write(*given, well=checkpoint.write):
        if next(calls) > 0:
            raise OSError(28, "No space left on device")
        well(*given)

    monkeypatch.setattr(checkpoint, "write", write)
    monkeypatch.setattr(backup.BackupAndRestore, "over", lambda self: None)
    with pytest.warns(RuntimeWarning, match="backup: got No space left on device") as caught:
        train_through(path)
    assert len(caught) == 1
    assert checkpoint.read(path)[0]["training"]["epoch"] == 1


def train_through(path):
    X, y = data()
    model = nn.Sequential([nn.Dense(2)], nn.Categorical())
    model.fit(X, y, nn.SGD(0.1), 4, callbacks=[callbacks.BackupAndRestore(path)], verbose=0)
    assert model.history.epochs == [0, 1, 2, 3]


SCRIPT = """
import hashlib, json, sys
import numpy as np
import nnjit as nn
rng = np.random.default_rng(0)
X = (rng.normal(size=(600, 30)) * (rng.random((600, 30)) < 0.4)).astype("float32")    # without its zeros
y = (X[:, 0] > 0).astype(int)
nn.set_threads(int(sys.argv[2]))
model = nn.Sequential([nn.Dense(40), nn.Tanh(), nn.Dropout(0.5), nn.Dense(2)], nn.Categorical())
early = nn.callbacks.EarlyStopping("val_loss", patience=30, restore_best_weights=True)
optimizer = nn.Adam(0.01)
print("began", flush=True)
model.fit(X, y, optimizer, 60, 8, validation_split=0.2, verbose=0, callbacks=[
    early, nn.callbacks.BackupAndRestore(sys.argv[1], "0.002s")])
history = {name: one for name, one in model.history.history.items() if name != "seconds"}
slots = [slot.tobytes() for slot in optimizer.slots.values()]
rest = [history, early.best, early.best_epoch, early.wait, model.history.epochs]
found = [model.vector.tobytes(), *slots, repr(rest).encode()]
print(hashlib.sha256(b"".join(found)).hexdigest())
"""


def killed_run(folder, seconds, threads):
    """Run the script, and kill it so many seconds after it has begun; return what it prints at its end."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder / "b.npz"), str(threads)], text=True,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "began\n"
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return None
    return out.strip()


@pytest.mark.compiled
@pytest.mark.torture
@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_kills_at_random_moments(tmp_path, count):
    kills, draw = times(2, 60), random.Random(1)
    (tmp_path / "whole").mkdir()
    begin = time.perf_counter()
    whole = killed_run(tmp_path / "whole", 300, 1)
    length, done = time.perf_counter() - begin, 0
    while done < kills:
        folder = tmp_path / f"killed-{done}"
        folder.mkdir()
        found, stops = None, draw.choice([1, 1, 2, 3])
        for _ in range(stops):
            found = killed_run(folder, draw.uniform(0, 0.8 * length), draw.choice([1, 2]))
            done += 1
            if found is not None:
                break
        found = found or killed_run(folder, 300, draw.choice([1, 2]))
        assert found == whole
        assert list(folder.iterdir()) == []
    count("trainings killed at random moments", done)
