"""Streams: blocks of examples, trained on as they come, to the bit as arrays whose batches they are."""
import threading
import time

import numpy as np
import pytest
from head_cases import check_refused, many_heads
from scipy import sparse

import nnjit as nn
from nnjit.inputs import stream

N, D, ROWS = 120, 130, 20


def data(density=1.0, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < density)
    return X.astype(dtype), rng.integers(3, size=N), rng.uniform(0.2, 2, N)


def blocks(X, *others, rows=ROWS):
    """Return the rows as a list of blocks."""
    def part(values, first):
        if isinstance(values, dict):
            return {name: part(one, first) for name, one in values.items()}
        return values[first:first + rows]
    return [tuple(part(values, first) for values in (X, *others)) for first in range(0, X.shape[0], rows)]


def network(head=None, dtype="float32", units=3):
    return nn.Sequential([nn.Dense(7), nn.Tanh(), nn.Dropout(0.3), nn.Dense(units)], head or nn.Categorical(),
                         dtype)


def outcome(model, *given, epochs=3, **options):
    history = model.fit(*given, optimizer=nn.Adam(0.02), epochs=epochs, verbose=0, seed=2,
                        **options).history
    return model.vector.tobytes(), {name: values for name, values in history.items() if name != "seconds"}


def from_memory(model, *given, **options):
    return outcome(model, *given, batch_size=ROWS, shuffle=False, **options)


# ---- the bits of arrays ------------------------------------------------------------------------------------

@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "sparse"])
def test_the_bits_of_arrays(dtype, density, epochs, kind):
    X, y, _ = data(density)
    X = sparse.csr_array(X) if kind == "sparse" else (10 * abs(X)).astype(kind)
    expected = from_memory(network(dtype=dtype), X, y, epochs=epochs)
    given = blocks(X, y)
    assert outcome(network(dtype=dtype), given, epochs=epochs) == expected
    assert outcome(network(dtype=dtype), lambda: iter(given), epochs=epochs) == expected
    large = blocks(X, y, rows=3 * ROWS)
    assert outcome(network(dtype=dtype), large, batch_size=ROWS, epochs=epochs) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"class_weight": {1: 2.5}}], ids=["", "class_weight"])
@pytest.mark.parametrize("head", [nn.Categorical, lambda: nn.Categorical(class_weight=[1, 3, 0.5])],
                         ids=["plain", "weighted"])
def test_the_bits_of_weighted_arrays(dtype, options, head):
    """The mean weight of all rows is counted before the first epoch."""
    X, y, w = data()
    expected = from_memory(network(head(), dtype), X, y, sample_weight=w, **options)
    assert outcome(network(head(), dtype), blocks(X, y, w), **options) == expected
    assert outcome(network(head(), dtype), lambda: blocks(X, y, w), **options) == expected
    expected = from_memory(network(head(), dtype), X, y, **options)
    assert outcome(network(head(), dtype), blocks(X, y), **options) == expected


def test_the_bits_of_several_heads():
    X, labels, w = data()
    y = {"type": labels, "size": np.arange(N) % 4, "age": X[:, 0]}
    models = [network(many_heads(), "float64", 5) for _ in range(2)]
    expected = from_memory(models[0], X, y, sample_weight=w, metrics={"age": ["r2"]})
    assert outcome(models[1], blocks(X, y, w), metrics={"age": ["r2"]}) == expected


def test_the_bits_of_images():
    rng = np.random.default_rng(1)
    X, y = rng.integers(256, size=(60, 6, 5, 2), dtype=np.uint8), rng.integers(3, size=60)

    def images():
        return nn.Sequential([nn.Conv2D(4, 3), nn.BatchNormalization(), nn.ReLU(), nn.Flatten(), nn.Dense(3)],
                             nn.Categorical())

    assert outcome(images(), blocks(X, y)) == from_memory(images(), X, y)


def test_an_evaluation_and_a_validation():
    X, y, w = data(0.3, "float64")
    model = network(dtype="float64")
    names = ["f1_macro", "roc_auc"]
    history = outcome(model, blocks(X, y), validation_data=blocks(X, y, w), metrics=names)[1]
    expected = model.evaluate(X, y, w, metrics=names)
    given = blocks(X, y, w, rows=7), iter(blocks(X, y, w)), lambda: iter(blocks(X, y, w))
    found = [model.evaluate(one, metrics=names) for one in given]
    for one in [*found, {name: history[f"val_{name}"][-1] for name in expected}]:
        assert one == pytest.approx(expected, rel=1e-12)
    # one block of all the rows has the bits
    assert model.evaluate([(X, y, w)], metrics=names) == expected
    assert model.evaluate([(list(X.tolist()), list(y))]) == pytest.approx(model.evaluate(X, y), rel=1e-12)


@pytest.mark.parametrize("validation", [list, tuple], ids=["list", "tuple"])
def test_a_list_of_arrays_is_no_stream(validation):
    X, y, w = data()
    assert from_memory(network(), X, y, validation_data=validation([X, y, w])) == from_memory(
        network(), X, y, validation_data=(X, y, w))


# ---- how it is read ----------------------------------------------------------------------------------------

def test_an_epoch_is_a_pass():
    X, y, _ = data()
    opened = []

    def source():
        opened.append(threading.current_thread())
        yield from blocks(X, y)

    outcome(network(), source, epochs=4)
    assert len(opened) == 4
    assert opened[0] is threading.main_thread() and all(one.name == "nnjit-ahead" for one in opened[1:])


def test_an_iterator_is_read_once():
    X, y, _ = data()
    expected = from_memory(network(), X, y, epochs=1)
    assert outcome(network(), iter(blocks(X, y)), epochs=1) == expected
    check_refused(ValueError, "X: got an iterator for 3 epochs.*function", outcome, network(),
                  iter(blocks(X, y)))
    check_refused(ValueError, "validation_data: got an iterator for 3 epochs", outcome, network(), X, y,
                  validation_data=iter(blocks(X, y)))
    model = network()    # its weights are taken to have the mean of the first block's
    assert np.isfinite(outcome(model, iter(blocks(X, y, np.full(N, 7.0))), epochs=1)[1]["loss"]).all()
    np.testing.assert_allclose(model.vector, np.frombuffer(expected[0], np.float32), rtol=1e-5, atol=1e-6)


def test_a_block_may_be_written_over():
    """Whoever reads into one buffer is not overtaken by what is read ahead."""
    X, y, w = data()

    def source():
        buffers = [np.empty((ROWS, D), np.float32), np.empty(ROWS, np.int64), np.empty(ROWS, np.float32)]
        for block in blocks(X, y, w.astype(np.float32)):
            for buffer, values in zip(buffers, block):
                buffer[:] = values
            yield tuple(buffers)

    assert outcome(network(), source) == from_memory(network(), X, y, sample_weight=w)


def test_blocks_are_prepared_while_others_are_trained_on():
    """While the second block is trained on, the third and the fourth are read, and no more."""
    X, y, _ = data()
    read, seen = [], []

    def source():
        for number, block in enumerate(blocks(X, y)):
            read.append(number)
            yield block

    expected = [4, 5, 6, 6, 6, 6]    # two wait, and one is in the reader's hands

    class Slow(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            deadline = time.monotonic() + 20
            while len(read) < expected[len(seen)] and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.05)    # in which no more are read
            seen.append(len(read))

    outcome(network(), source, epochs=1, callbacks=[Slow()])
    assert seen == expected


def test_the_thread_ends_with_the_training():
    X, y, _ = data()

    class Stop(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            state.stop = True

    class Raise(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            raise KeyError("mine")

    def endless():
        while True:
            yield X[:ROWS], y[:ROWS]

    model = network()
    model.fit(endless, optimizer=nn.SGD(0.1), callbacks=[Stop()], verbose=0)
    assert len(model.history.epochs) == 1
    with pytest.raises(KeyError, match="mine"):
        model.fit(endless, optimizer=nn.SGD(0.1), callbacks=[Raise()], verbose=0)
    assert not any(thread.name == "nnjit-ahead" for thread in threading.enumerate())


def test_a_stopped_training_goes_on(tmp_path):
    X, y, w = data()

    class Cut(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            if state.steps == 9:
                raise SystemExit

    def train(*more, change=0.0):
        model = network(dtype="float64")
        backup = nn.callbacks.BackupAndRestore(tmp_path / "backup.npz", every="0.000001s")
        return outcome(model, lambda: blocks(X + change, y, w), callbacks=[backup, *more])

    whole = train()
    with pytest.raises(SystemExit):
        train(Cut())
    with pytest.raises(nn.DataError, match="got data"):
        train(change=1)
    assert train() == whole


def test_the_progress_counts_rows(capfd):
    X, y, _ = data()
    network().fit(lambda: blocks(X, y), optimizer=nn.SGD(0.1), epochs=2, verbose=1)
    assert "rows/s" in capfd.readouterr().err


# ---- mistakes ----------------------------------------------------------------------------------------------

def with_block(number, block):
    """Return blocks of which one is another."""
    X, y, _ = data()
    given = blocks(X, y)
    given[number] = block
    return given


BAD = np.full((ROWS, D), np.nan)
X_OF_ONE, Y_OF_ONE = np.ones((ROWS, D)), np.zeros(ROWS, int)


@pytest.mark.parametrize("exception, message, given", [
    (ValueError, "X: got no block", []),
    (ValueError, "X: got no block", lambda: iter(())),
    (TypeError, "X: got a function that returned NoneType", lambda: None),
    (TypeError, "block 0: got dict, expected", [{"X": 1}]),
    (TypeError, "block 0: got ndarray, expected", [np.ones((3, 4))]),
    (ValueError, "block 0: got 1 parts, expected", [(X_OF_ONE,)]),
    (ValueError, "block 0: X: got shape", [(X_OF_ONE[0], 1)]),
    (ValueError, "block 0: y: got shape", [(X_OF_ONE, Y_OF_ONE[:3])]),
    (ValueError, "block 2: X: got NaN", with_block(2, (BAD, Y_OF_ONE))),
    (ValueError, "block 2: X: got shape", with_block(2, (np.ones((ROWS, 3)), Y_OF_ONE))),
    (ValueError, "block 3: y: got labels", with_block(3, (X_OF_ONE, Y_OF_ONE + 3))),
    (ValueError, "block 3: sample_weight: got some in this block",
     with_block(3, (X_OF_ONE, Y_OF_ONE, np.ones(ROWS)))),
    (TypeError, "block 5: got int", with_block(5, 3)),
    (ValueError, "sample_weight: got 0 for every row", [(X_OF_ONE, Y_OF_ONE, np.zeros(ROWS))]),
])
def test_a_bad_block(exception, message, given):
    check_refused(exception, message, outcome, network(), given)


@pytest.mark.parametrize("exception, message, options", [
    (ValueError, "validation_split: got 0.2 for a stream", {"validation_split": 0.2}),
    (ValueError, "class_weight: got 'balanced' for a stream", {"class_weight": "balanced"}),
    (ValueError, "sample_weight: got one beside a stream", {"sample_weight": np.ones(N)}),
    (ValueError, "mask: got one beside a stream", {"mask": np.ones(N)}),
])
def test_what_a_stream_cannot_do(exception, message, options):
    model = network()
    check_refused(exception, message, outcome, model, with_block(0, (X_OF_ONE, Y_OF_ONE)), **options)
    assert model.input_shape is None


def test_targets_that_were_forgotten():
    X, _, _ = data()
    check_refused(TypeError, "y: got None, expected the targets", network().fit, X, optimizer=nn.SGD(0.1))
    check_refused(TypeError, "optimizer: got None, expected", network().fit, X, np.zeros(N))


def test_an_error_of_the_reader_is_raised_as_it_is():
    X, y, _ = data()

    def source():
        yield from blocks(X, y)[:2]
        raise OSError("the disk is gone")

    model = network()
    with pytest.raises(OSError, match="the disk is gone"):
        outcome(model, source)
    assert model.predict(X).shape == (N,)    # it has been trained on two blocks


def test_a_pass_without_blocks():
    X, y, _ = data()
    passes = iter([blocks(X, y), []])
    check_refused(ValueError, "got no block in this pass", outcome, network(), lambda: next(passes))


# ---- PyTorch -----------------------------------------------------------------------------------------------

def test_a_data_loader():
    torch = pytest.importorskip("torch")
    X, y, _ = data()
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(tensors, batch_size=ROWS)
    assert outcome(network(), loader) == from_memory(network(), X, y)
    assert network().fit(loader, optimizer=nn.SGD(0.1), validation_data=loader, verbose=0).history["val_loss"]


def test_ahead_gives_everything_in_order():
    reader = stream.Ahead(range(100), lambda number: number**2)
    assert list(reader) == [number**2 for number in range(100)]
    assert list(reader) == []
    reader.close()
