"""A program of someone who runs mypy with all its rules: the public names, used as their types say.

`make types` checks it, and a test runs it.
"""
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import assert_type

import nnjit as nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = RNG.integers(3, size=60)
NUMBERS = RNG.normal(size=60)
IMAGES = RNG.random((20, 8, 8, 3))
SEQUENCES = RNG.normal(size=(20, 6, 2))


# ---- classes of one's own ----------------------------------------------------------------------------------

class Scale(nn.Layer):
    """a = c x with one number c."""

    config = ("begin",)
    mask_use = "passes on"

    def __init__(self, begin: float = 1.0):
        self.begin = begin

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.shapes = {"c": ()}
        self.scratch = {"x": (input_shape, None)}
        return input_shape

    def initialise(self, rng: np.random.Generator) -> None:
        self.parameters["c"][...] = self.begin

    def forward(self, x: np.ndarray, out: np.ndarray, ctx: nn.layers.Context) -> np.ndarray:
        ctx.scratch["x"][:] = x
        return np.multiply(x, self.parameters["c"], out=out)

    def backward(self, x: np.ndarray, a: np.ndarray, delta: np.ndarray, dx: np.ndarray | None,
                 ctx: nn.layers.Context) -> np.ndarray | None:
        self.gradients["c"][...] = (ctx.scratch["x"] * delta).sum()
        return dx if dx is None else np.multiply(delta, self.parameters["c"], out=dx)


class Wide(nn.Dense):
    """A layer of the package, and a word when it is built."""

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.shape_before = input_shape
        return super().build(input_shape)


def softsign(x: float) -> float:
    return x / (type(x)(1) + abs(x))


def softsign_slope(a: float) -> float:
    return (type(a)(1) - abs(a)) ** 2


class Softsign(nn.Activation):
    in_place = True
    kernels = nn.elementwise("softsign", softsign, softsign_slope)    # type: ignore[no-untyped-call]


class Quantile(nn.Head):
    """The linear output is the q-quantile."""

    config, metric = ("q",), "mae"

    def __init__(self, q: float = 0.5):
        self.q = q

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype[Any]) -> np.ndarray:
        return np.asarray(y, dtype).reshape(N, units)

    def loss_and_delta(self, z: np.ndarray, y: np.ndarray, w: np.ndarray, total: float,
                       delta: np.ndarray) -> tuple[float, float, float]:
        e = y - z
        delta[:] = np.where(e > 0, -self.q, 1 - self.q) * w[:, None] / total
        losses = np.maximum(self.q * e, (self.q - 1) * e)
        return float(w @ losses.sum(axis=1)), float(w @ np.abs(e).sum(axis=1)), float(w.sum())

    def decide(self, z: np.ndarray) -> np.ndarray:
        return z[:, 0]


class Slowing(nn.callbacks.Callback):
    """Halves the learning rate where the loss rises."""

    def __init__(self) -> None:
        self.last = np.inf

    def on_epoch_end(self, state: nn.training.TrainingState, logs: dict[str, float]) -> None:
        if logs["loss"] > self.last and isinstance(state.optimizer.learning_rate, float):
            state.optimizer.learning_rate /= 2
        self.last = logs["loss"]
        state.stop = state.epoch > 100


class Patient(nn.callbacks.EarlyStopping):
    """A callback of the package that says when it begins."""

    began = False

    def on_train_begin(self, state: nn.training.TrainingState, logs: dict[str, float]) -> None:
        super().on_train_begin(state, logs)
        self.began = True


def halving(step: int) -> float:
    return 0.1 * 0.5 ** (step // 10)


def stop_at_three(model: nn.Sequential, epoch: int, logs: dict[str, float]) -> bool:
    return epoch >= 3


def constant_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, 0.1)


# ---- a model, its training, its use ------------------------------------------------------------------------

def train(folder: Path) -> nn.Sequential:
    layers: list[nn.Layer | nn.Input] = [nn.Input(4), Wide(8, init="he_normal", l2=1e-4), Softsign(), Scale(),
                                         nn.Dropout(0.1), nn.Dense(3, init=constant_weights)]
    model = nn.Sequential(layers, head=nn.Categorical(label_smoothing=0.1), dtype=np.float32)
    optimizer = nn.SGD(nn.schedules.warm_up(nn.schedules.cosine(0.1, steps=50), steps=5), momentum=0.9)
    history = model.fit(X, LABELS, optimizer, epochs=4, batch_size=20, validation_data=(X, LABELS),
                        class_weight={0: 2.0}, metrics=["f1_macro"], verbose=0,
                        callbacks=[Slowing(), Patient(patience=2), stop_at_three])
    assert_type(history, nn.History)
    assert_type(history.history["loss"], list[float])
    assert_type(history.epochs, list[int])
    assert_type(model.history, nn.History | None)
    model.fit(X.tolist(), list(LABELS), optimizer=nn.AdamW(halving, clip_norm=1.0), validation_split=0.2,
              sample_weight=np.ones(60), sparse=False, verbose=0, seed=1, epochs=2,
              callbacks=[nn.callbacks.ModelCheckpoint(folder / "best.npz", "val_loss", save_best_only=True),
                         nn.callbacks.CSVLogger(folder / "log.csv"), nn.callbacks.TerminateOnNaN(),
                         nn.callbacks.BackupAndRestore(folder / "backup.npz", notes={"by": "hand"}),
                         nn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)])
    number = nn.RMSprop(0.01)
    model.fit(stream, optimizer=number, verbose=0,
              callbacks=(nn.callbacks.ReduceLROnPlateau("loss", patience=1),
                         nn.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)))
    assert_type(model.train_on_batch(X, LABELS, number), dict[str, float])
    return model


def stream() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield X, LABELS


def use(model: nn.Sequential, folder: Path) -> np.ndarray:
    assert_type(model.evaluate(X, LABELS, metrics=["roc_auc"]), dict[str, float])
    assert_type(model.test_on_batch(X, LABELS), dict[str, float])
    assert_type(model.logits(X), np.ndarray)
    assert_type(model.parameters(), dict[str, np.ndarray])
    assert_type(model.gradients(X, LABELS, step=0)["0.W"], np.ndarray)
    assert_type(model.activations(X), list[np.ndarray])
    assert_type(model.input_shape, tuple[int, ...] | None)
    assert_type(model.layers[0], nn.Layer)
    assert_type(model.head, nn.Head)
    assert_type(model.summary(), str)
    model.save(folder / "model.npz")
    again = nn.load(folder / "model.npz", custom={"Scale": Scale, "Wide": Wide, "Softsign": Softsign})
    assert_type(again, nn.Sequential)
    again.copy_weights(model, layers=slice(0, 2))
    again.set_weights(model.get_weights())
    again.layers[0].trainable = False
    explanation = nn.explain(model, X[:2], LABELS[:2])
    assert_type(explanation, nn.Explanation)
    print(len(explanation.steps), len(str(model.summary())))
    p: np.ndarray = again.predict_proba(X)
    classes: np.ndarray = again.predict(X)
    return p[np.arange(len(p)), classes]


def mistakes(model: nn.Sequential) -> None:
    """Never called: mypy has to object to each line, and does so to a remark that nothing needs."""
    model.compile()    # type: ignore[attr-defined]
    model.frozen = True    # type: ignore[attr-defined]
    model.layers[0].unit = 3    # type: ignore[attr-defined]
    model.fit(X, LABELS, "adam")    # type: ignore[arg-type]
    model.predict(X, maks=None)    # type: ignore[call-arg]
    nn.Sequential([nn.Dense(3)], nn.Dense(3))    # type: ignore[arg-type]
    nn.Dense("3")    # type: ignore[arg-type]
    nn.Adam(lr=0.1)    # type: ignore[call-arg]
    nn.Linear(3)    # type: ignore[attr-defined]
    nn.datasets.load_minst()    # type: ignore[attr-defined]
    nn.callbacks.LambdaCallback(on_epoch_end=halving)    # type: ignore[arg-type]


# ---- every layer, every head -------------------------------------------------------------------------------

def images() -> nn.Sequential:
    block = nn.Residual([nn.Conv2D(6, 3, strides=2, padding="same", bias=False), nn.BatchNormalization(),
                         nn.LeakyReLU()], shortcut=[nn.Conv2D(6, (1, 1), strides=(2, 2))])
    return nn.Sequential(
        [nn.RandomFlip(), nn.RandomShift(1), nn.ZeroPadding2D(((0, 1), (1, 0))), nn.Conv2D(4, 3, groups=1),
         nn.ReLU(), nn.MaxPool2D(2), block, nn.AveragePool2D(2, padding="same"),
         nn.Conv2DTranspose(4, 2, strides=2, activation="gelu"), nn.GlobalAveragePool2D(), nn.SiLU(),
         nn.LayerNormalization(), nn.Dense(4, activation=nn.ELU(0.5)), nn.Dense(2)],
        nn.Heads(kind=nn.Bernoulli(pos_weight=2.0), size=nn.Poisson(), units={"kind": 1, "size": 1}))


def sequences() -> nn.Sequential:
    return nn.Sequential([nn.Masking(0.0), nn.Conv1D(4, 3, padding="causal"),
                          nn.GRU(5, return_sequences=True), nn.LSTM(4, return_sequences=True),
                          nn.GlobalMaxPool1D(), nn.Dense(1)], nn.Huber(1.5))


def others() -> list[nn.Sequential]:
    pools: list[nn.Layer] = [nn.GlobalMaxPool2D(), nn.GlobalAveragePool1D(), nn.Flatten(), nn.GELU(),
                             nn.Sigmoid(), nn.Softplus(), nn.Tanh()]
    print(pools)
    heads: list[nn.heads.Head] = [nn.Gaussian(loc=[0.5], scale=2.0), nn.Laplace(), nn.SquaredError("linear"),
                            Quantile(0.9)]
    models = [nn.Sequential([nn.Dense(1)], head) for head in heads]
    for model in models:
        model.fit(X, NUMBERS, nn.Adam(0.01), verbose=0)
    ordinal = nn.Sequential([nn.Dense(1)], nn.Ordinal(3))
    ordinal.fit(X, LABELS, nn.Adam(nn.schedules.Step(0.1, every=10)), verbose=0)
    return [*models, ordinal]


# ---- the rest ----------------------------------------------------------------------------------------------

def one_run(seed: int, units: int) -> nn.History:
    model = nn.Sequential([nn.Dense(units), nn.ReLU(), nn.Dense(3)], nn.Categorical())
    return model.fit(X, LABELS, nn.Adam(), seed=seed, verbose=0)


def functions() -> None:
    found = nn.sweep(one_run, {"units": [2, 3]}, seeds=2, verbose=0)
    assert_type(found, nn.Sweep)
    assert_type(found.best(), dict[str, Any])
    data = nn.datasets.load_iris()
    assert_type(data, nn.datasets.Table)
    digits = nn.datasets.load("digits")
    assert_type(digits, nn.datasets.Dataset)
    assert_type(digits.x_train, np.ndarray)
    run = nn.book.run("tanh", iterations=1, verbose=0)
    assert_type(run.model, nn.Sequential)
    loss: float | np.ndarray = nn.losses.mean_squared_error([0.0, 1.0], [0.5, 0.5], reduction="mean")
    print(loss, nn.metrics.Metrics(nn.Gaussian(), 1).names, nn.get_threads())
    nn.set_threads("auto")
    try:
        nn.datasets.read_table("no such file.csv")
    except nn.DataError as error:
        print(error)


def extras(model: nn.Sequential, folder: Path) -> None:
    network = nn.estimators.MLPClassifier((8,), solver="lbfgs", tol=0.1, random_state=0)
    network.fit(X, LABELS)
    assert_type(network.predict_proba(X), np.ndarray)
    around = nn.estimators.SequentialClassifier(one_run_model, epochs=2, callbacks=[Slowing()])
    assert_type(around.fit(X, LABELS % 2).predict(X), np.ndarray)
    axes = nn.plots.curves(one_run(0, 2), "accuracy")
    axes.set_title("so far")
    nn.exchange.to_safetensors(model, folder / "model.safetensors")
    assert_type(nn.exchange.from_safetensors(model, folder / "model.safetensors"), nn.Sequential)
    weights = nn.exchange.to_torch_state(model)
    assert_type(weights, dict[str, np.ndarray])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = train(folder)
        print(use(model, folder).mean(), len(others()))
        images().fit(IMAGES, {"kind": np.arange(20) % 2, "size": np.arange(20)}, nn.Adam(), verbose=0)
        sequences().fit(SEQUENCES, np.arange(20.0), nn.Adam(), mask=np.full(20, 5), verbose=0)
        functions()
        extras(one_run_model(), folder)


def one_run_model() -> nn.Sequential:
    return nn.Sequential([nn.Dense(3), nn.ReLU(), nn.Dense(2)], nn.Categorical()).build(4)


if __name__ == "__main__":
    main()
