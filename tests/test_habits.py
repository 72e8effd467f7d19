"""What people expect from elsewhere: activations by name, Input, frozen layers, weights, batches, names."""
import copy

import numpy as np
import pandas
import pytest

import nnjit as nn
from nnjit import habits


def data(N=40):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 5)).astype(np.float32)
    return X, rng.integers(3, size=N)


def train(model, optimizer=None, **options):
    X, y = data()
    model.fit(X, y, optimizer or nn.Adam(0.01), **{"epochs": 3, "verbose": 0, **options})
    return model


# ---- activations by name -----------------------------------------------------------------------------------

NAMES = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "silu": nn.SiLU,
         "swish": nn.SiLU, "softplus": nn.Softplus, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU}


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_by_name_is_the_layer_after(name):
    short = nn.Sequential([nn.Dense(6, activation=name), nn.Dense(3)], nn.Categorical())
    long = nn.Sequential([nn.Dense(6), NAMES[name](), nn.Dense(3)], nn.Categorical())
    assert [repr(layer) for layer in short.layers] == [repr(layer) for layer in long.layers]
    assert (train(short).vector == train(long).vector).all()


def test_an_activation_may_be_a_layer_or_none():
    layers = [nn.Dense(6, activation=nn.ELU(0.5)), nn.Dense(4, activation="linear"),
              nn.Dense(3, activation=None)]
    assert list(map(repr, nn.Sequential(layers, nn.Categorical()).layers)) == [
        "Dense(6)", "ELU(0.5)", "Dense(4)", "Dense(3)"]


def test_convolutions_take_activations():
    layers = [nn.Conv2D(2, 3, activation="relu"), nn.Conv2DTranspose(2, 3, activation="tanh"), nn.Flatten(),
              nn.Dense(1)]
    kinds = [type(layer) for layer in nn.Sequential(layers, nn.Gaussian()).layers]
    assert kinds == [nn.Conv2D, nn.ReLU, nn.Conv2DTranspose, nn.Tanh, nn.Flatten, nn.Dense]


def test_a_model_with_activations_by_name_is_saved_and_copied(tmp_path):
    model = train(nn.Sequential([nn.Dense(6, activation="relu"), nn.Dense(3)], nn.Categorical()))
    model.save(tmp_path / "m.npz")
    for other in (nn.load(tmp_path / "m.npz"), copy.copy(model)):
        assert len(other.layers) == 3 and (other.vector == model.vector).all()


@pytest.mark.parametrize("make, error, message", [
    (lambda: nn.Dense(3, activation="rectifier"), ValueError, "Dense activation: got 'rectifier', expected"),
    (lambda: nn.Dense(3, activation="softmax"), ValueError, "the head has it: head=Categorical"),
    (lambda: nn.Conv2D(3, 3, activation=3), TypeError, "Conv2D activation: got 3, expected one of"),
    (lambda: nn.Dense(3, activation=nn.ReLU), TypeError, "Dense activation: got .*ReLU"),
    (lambda: nn.Dense(3, "relu"), TypeError, "Dense bias: got 'relu', .* give activation='relu'"),
])
def test_what_is_no_activation(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- Input -------------------------------------------------------------------------------------------------

def body():
    return [nn.Dense(6), nn.Tanh(), nn.Dense(3)]


def test_input_builds_at_once():
    model = nn.Sequential([nn.Input(5), *body()], nn.Categorical())
    assert model.input_shape == (5,) and "Dense(6)" in model.summary()
    assert list(model.parameters()) == ["0.W", "0.b", "2.W", "2.b"]
    images = nn.Sequential([nn.Input((8, 8, 1)), nn.Conv2D(2, 3), nn.Flatten(), nn.Dense(1)], nn.Gaussian())
    assert images.input_shape == (8, 8, 1)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_first_training_begins_with_its_own_seed(seed):
    with_input = nn.Sequential([nn.Input(5), *body()], nn.Categorical())
    assert (train(with_input, seed=seed).vector
            == train(nn.Sequential(body(), nn.Categorical()), seed=seed).vector).all()


def test_weights_that_were_set_are_kept():
    model, other = (nn.Sequential([nn.Input(5), *body()], nn.Categorical()) for _ in range(2))
    other.parameters()["0.W"][0, 0] = 3.0
    model.set_weights(other.get_weights())
    train(model, nn.SGD(1e-30), seed=5)
    assert (model.parameters()["0.W"] == other.parameters()["0.W"]).all()


@pytest.mark.parametrize("shape, error", [((), ValueError), (0, ValueError), ((3, 0), ValueError),
                                          ("5", TypeError), (2.5, TypeError)])
def test_what_is_no_shape(shape, error):
    with pytest.raises(error, match="Input"):
        nn.Input(shape)


def test_rows_of_another_shape_than_the_input():
    X, y = data()
    with pytest.raises(ValueError, match=r"X: got shape \(40, 5\), expected \(N, 4\)"):
        nn.Sequential([nn.Input(4), *body()], nn.Categorical()).fit(X, y, nn.SGD(0.1), verbose=0)


# ---- frozen layers -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [lambda: nn.SGD(0.1, momentum=0.9, weight_decay=0.1), lambda: nn.AdamW(0.01),
                                  lambda: nn.RMSprop(0.01, momentum=0.5, centered=True)])
def test_a_frozen_layer_stays(make):
    model, optimizer = nn.Sequential([nn.Input(5), *body()], nn.Categorical()), make()
    train(model, optimizer)    # the optimiser has moments of the layer
    before = {name: array.copy() for name, array in model.parameters().items()}
    model.layers[0].trainable = False
    train(model, optimizer)
    for name, array in model.parameters().items():
        assert (array == before[name]).all() == name.startswith("0.")
    model.layers[0].trainable = True
    train(model, optimizer)
    assert (model.parameters()["0.W"] != before["0.W"]).all()


def test_a_frozen_layer_counts_for_nothing_in_the_length_of_a_gradient():
    """With it, clipping would shorten the step of the others."""
    layers = [nn.Dense(3, bias=False), nn.Dense(3, bias=False)]
    model = nn.Sequential(layers, nn.Categorical(), "float64").build(5)
    X, y = data()
    model.layers[0].trainable = False
    before, gradient = model.parameters()["1.W"].copy(), model.gradients(X, y)["1.W"]
    model.fit(X, y, nn.SGD(1.0, clip_norm=1e-3), batch_size=40, shuffle=False, verbose=0)
    np.testing.assert_allclose(before - model.parameters()["1.W"], 1e-3 * gradient / np.linalg.norm(gradient),
                               rtol=1e-9)


def test_what_is_frozen_is_saved(tmp_path):
    model = nn.Sequential(body(), nn.Categorical()).build(5)
    model.layers[0].trainable = False
    model.save(tmp_path / "m.npz")
    assert [layer.trainable for layer in nn.load(tmp_path / "m.npz").layers] == [False, True, True]
    assert [layer.trainable for layer in copy.copy(model).layers] == [False, True, True]


# ---- weights, single batches -------------------------------------------------------------------------------

def test_weights_as_a_list():
    model, other = (nn.Sequential(body(), nn.Categorical()).build(5, seed) for seed in (0, 1))
    weights = model.get_weights()
    assert [array.shape for array in weights] == [(5, 6), (6,), (6, 3), (3,)]
    weights[0][:] = 7    # copies
    assert (model.parameters()["0.W"] != 7).all()
    other.set_weights(model.get_weights())
    assert (other.vector == model.vector).all()
    for bad, message in ((weights[:3], "got 3 arrays, expected 4: 0.W, 0.b, 2.W, 2.b"),
                         ([weights[0].T, *weights[1:]], r"weights of 0.W: got shape \(6, 5\), expected")):
        with pytest.raises(ValueError, match=message):
            model.set_weights(bad)
    assert (other.vector == model.vector).all()


def test_batch_by_batch_is_a_training():
    X, y = data()
    whole, single = (nn.Sequential([nn.Dense(6), nn.Dropout(0.5), nn.Dense(3)], nn.Categorical()).build(5)
                     for _ in range(2))
    optimizer, logs = nn.Adam(0.01), []
    history = whole.fit(X, y, nn.Adam(0.01), batch_size=10, shuffle=False, verbose=0)
    for first in range(0, 40, 10):
        logs.append(single.train_on_batch(X[first:first + 10], y[first:first + 10], optimizer))
    assert (whole.vector == single.vector).all() and single.history is None
    assert np.mean([log["loss"] for log in logs]) == pytest.approx(history.history["loss"][0])
    assert logs[0].keys() == {"loss", "accuracy"}
    assert single.test_on_batch(X, y) == single.evaluate(X, y)


def test_batches_may_be_lists_and_weighted():
    X, y = data(6)
    model, other = (nn.Sequential(body(), nn.Categorical()).build(5) for _ in range(2))
    w = np.arange(6.0)
    model.train_on_batch(X.tolist(), y.tolist(), nn.SGD(0.1), sample_weight=w)
    other.fit(X, y, nn.SGD(0.1), batch_size=6, sample_weight=w, shuffle=False, verbose=0)
    assert (model.vector == other.vector).all()


# ---- RMSprop -----------------------------------------------------------------------------------------------

def test_rmsprop_learns_and_is_described():
    X, y = data(300)
    y = (X[:, 0] > 0).astype(int)
    for optimizer in (nn.RMSprop(0.01), nn.RMSprop(0.01, momentum=0.9), nn.RMSprop(0.01, centered=True)):
        model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(2)], nn.Categorical())
        assert model.fit(X, y, optimizer, 30, verbose=0).history["accuracy"][-1] > 0.95
    assert repr(nn.RMSprop(centered=True)) == (
        "RMSprop(learning_rate=0.001, rho=0.9, momentum=0, epsilon=1e-07, centered=True, weight_decay=0)")
    for bad in ({"rho": 1.0}, {"momentum": -0.1}, {"epsilon": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            nn.RMSprop(**bad)


# ---- class weights -----------------------------------------------------------------------------------------

def same_as_weights(head, units, y, class_weight, weights):
    """Check that a training with class weights is the one with these weights of the rows."""
    X, _ = data(len(y))
    by_class, by_row = (nn.Sequential([nn.Dense(units)], head()).build(5) for _ in range(2))
    options = {"epochs": 2, "batch_size": 10, "verbose": 0, "validation_split": 0.25}
    log = by_class.fit(X, y, nn.SGD(0.1), class_weight=class_weight, **options).history
    n = int(len(y) * 0.75)
    # the last rows validate, with weight 1
    other = by_row.fit(X[:n], y[:n], nn.SGD(0.1), 2, 10, validation_data=(X[n:], y[n:]),
                       sample_weight=np.asarray(weights, np.float32)[:n], verbose=0).history
    assert (by_class.vector == by_row.vector).all()
    assert log["loss"] == other["loss"] and log["val_loss"] == other["val_loss"]


def test_class_weights_are_weights_of_rows():
    y = np.arange(40) % 3
    same_as_weights(nn.Categorical, 3, y, {0: 2.0, 2: 0.5}, np.array([2.0, 1.0, 0.5])[y])
    one_hot = np.eye(3)[y]
    same_as_weights(nn.Categorical, 3, one_hot, [2.0, 1.0, 0.5], np.array([2.0, 1.0, 0.5])[y])
    soft = 0.8 * one_hot + 0.2 / 3
    same_as_weights(nn.Categorical, 3, soft, {1: 3}, np.array([1.0, 3.0, 1.0])[y])
    same_as_weights(nn.Bernoulli, 1, y > 0, {1: 4.0}, np.where(y > 0, 4.0, 1.0))


def test_balanced_class_weights_are_scikit_learns():
    """n / (classes that occur * rows of the class), counted among the training rows."""
    y = np.array([0] * 20 + [1] * 8 + [3] * 2 + [0, 1, 3, 0, 1, 3, 0, 1, 3, 0])
    same_as_weights(nn.Categorical, 4, y, "balanced", np.array([30 / 60, 30 / 24, 0.0, 30 / 6])[y])
    same_as_weights(nn.Bernoulli, 1, (y == 0).astype(int), "balanced", np.where(y == 0, 30 / 40, 30 / 20))


def test_class_weights_of_several_heads_weigh_their_own_loss():
    X, y = data()
    size = X.sum(axis=1)

    def train(head, target, w=None, class_weight=None, units=3):
        model = nn.Sequential([nn.Dense(units)], head).build(5)
        model.fit(X, target, nn.SGD(0.1), 2, 10, sample_weight=w, class_weight=class_weight, verbose=0)
        return model.parameters()["0.W"]

    heads = nn.Heads(kind=nn.Categorical(), size=nn.Gaussian(), units={"kind": 3, "size": 1})
    both = train(heads, {"kind": y, "size": size}, class_weight={"kind": {1: 5.0}}, units=4)
    start = nn.Sequential([nn.Dense(4)], nn.Gaussian()).build(5).parameters()["0.W"]
    for columns, head, target, w in ((slice(0, 3), nn.Categorical(), y, np.where(y == 1, 5.0, 1.0)),
                                     (slice(3, 4), nn.Gaussian(), size, None)):
        model = nn.Sequential([nn.Dense(columns.stop - columns.start)], head).build(5)
        model.parameters()["0.W"][...] = start[:, columns]
        model.fit(X, target, nn.SGD(0.1), 2, 10, sample_weight=w, verbose=0)
        np.testing.assert_allclose(both[:, columns], model.parameters()["0.W"], rtol=2e-5, atol=1e-6)


THREE = np.arange(40) % 3


@pytest.mark.parametrize("head, units, y, class_weight, error, message", [
    (nn.Categorical, 3, THREE, "fair", ValueError, "class_weight: got 'fair', expected 'balanced'"),
    (nn.Categorical, 3, THREE, {3: 1.0}, ValueError, "class_weight: got class 3, expected classes 0 .. 2"),
    (nn.Categorical, 3, THREE, {0: -1.0}, ValueError, "class_weight: got -1"),
    (nn.Categorical, 3, THREE, 2.0, TypeError, "class_weight: got 2.0, expected a dict"),
    (nn.Gaussian, 1, np.arange(40.0), {0: 1.0}, TypeError, "expected None: it predicts no class of a row"),
    (nn.Bernoulli, 2, np.ones((40, 2)), {0: 1.0}, ValueError, "for 2 labels, expected one question; give"),
])
def test_class_weights_that_say_nothing(head, units, y, class_weight, error, message):
    with pytest.raises(error, match=message):
        nn.Sequential([nn.Dense(units)], head()).fit(data()[0], y, nn.SGD(0.1), class_weight=class_weight)


# ---- names of other libraries, and text --------------------------------------------------------------------

@pytest.mark.parametrize("do, error, message", [
    (lambda: nn.load_model, AttributeError, "module 'nnjit' has no attribute 'load_model'; use nnjit.load"),
    (lambda: nn.nothing, AttributeError, "module 'nnjit' has no attribute 'nothing'"),
    (lambda: digits_model().compile, AttributeError, "'Sequential' object has no attribute 'compile'; use "),
    (lambda: digits_model().nothing, AttributeError, "'Sequential' object has no attribute 'nothing'"),
    (lambda: nn.Adam(lr=0.1), TypeError, "Adam: got the unknown argument 'lr'; use learning_rate"),
    (lambda: nn.Dense(3, input_shape=(4,)), TypeError, "Dense: got the unknown argument 'input_shape'; use "),
    (lambda: nn.Dense(3, nothing=4), TypeError, "got an unexpected keyword argument 'nothing'"),
])
def test_names_of_other_libraries(do, error, message):
    with pytest.raises(error) as caught:
        do()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def digits_model():
    return nn.Sequential([nn.Dense(10)], nn.Categorical())


def test_every_hint_is_for_a_name_that_is_missing():
    assert not [name for name in habits.NAMES if hasattr(nn, name)]
    assert not [name for name in habits.MODEL if hasattr(digits_model(), name)]


@pytest.mark.parametrize("kind", [np.array, lambda words: np.array(words, object), list, pandas.Series])
@pytest.mark.parametrize("head, words, remedy", [
    (nn.Gaussian(), ["1.5", "2"], "give np.asarray(y).astype(float)"),
    (nn.Laplace(), ["low", "high"], "for classes use Categorical(), with a unit for each, which takes text"),
    (nn.Ordinal(3), ["low", "mid"], "give them in their order, such as Ordinal(classes=['mid', 'low'])"),
    (nn.Ordinal(), ["low", "mid"], "give them in their order, such as Ordinal(classes=['mid', 'low'])"),
])
def test_the_remedy_for_text_fits_the_head(kind, head, words, remedy):
    model = nn.Sequential([nn.Dense(1)], copy.copy(head))
    with pytest.raises(TypeError) as caught:
        model.fit(np.ones((6, 2)), kind((words * 6)[:6]), nn.SGD(0.1), verbose=0)
    assert str(caught.value).startswith(f"y: got text, such as {min(words)!r}, expected numbers; {remedy}")


@pytest.mark.parametrize("head, units, words, remedy", [
    (nn.Categorical, 3, ["0", "1", "2"], "give np.asarray(y).astype(int)"),
    (nn.Categorical, 3, ["a", "b", "c"], "number the classes with np.unique(y, return_inverse=True)[1]"),
    (nn.Bernoulli, 1, ["no", "yes"], "give y == 'yes'")])
def test_text_for_a_network_that_has_learned_numbers(head, units, words, remedy):
    model = nn.Sequential([nn.Dense(units)], head())
    model.fit(np.ones((6, 2)), [0, 1] * 3, nn.SGD(0.1), verbose=0)
    with pytest.raises(TypeError) as caught:
        model.evaluate(np.ones((6, 2)), (words * 6)[:6])
    assert str(caught.value).startswith(f"y: got text, such as {min(words)!r}, expected numbers; {remedy}")


def test_columns_of_text_are_named():
    frame = pandas.DataFrame({"age": [1.0, 2.0], "town": ["Rome", "Oslo"], "member": [True, False]})
    with pytest.raises(TypeError, match="X: got columns without numbers, 'town', expected an array"):
        digits_model().fit(frame, [0, 1], nn.SGD(0.1), verbose=0)
    history = digits_model().fit(frame[["age", "member"]].astype(float), [0, 1], nn.SGD(0.1), verbose=0)
    assert len(history.epochs) == 1


# ---- at a prompt and in a notebook -------------------------------------------------------------------------

def test_what_a_prompt_shows():
    model = nn.Sequential([nn.Dense(3, activation="tanh"), nn.Dense(2)], nn.Categorical(), "float64")
    assert repr(model) == "Sequential([Dense(3), Tanh(), Dense(2)], head=Categorical(), dtype='float64')"
    assert repr(nn.History()) == "History(no epochs)"
    history = model.fit(np.eye(4), [0, 1, 0, 1], nn.SGD(0.1), 3, validation_split=0.25, verbose=0)
    assert repr(history).startswith("History(3 epochs, at last loss 0.") and "val_accuracy" in repr(history)
    assert repr(model.summary()) == str(model.summary()) and "\n" in repr(model.summary())
    schedule = nn.schedules.warm_up(nn.schedules.cosine(0.01, 100), 5)
    assert repr(schedule) == "warm_up(schedule=cosine(rate=0.01, steps=100, last=0.01), steps=5)"
    assert f"learning_rate={schedule!r}" in repr(nn.Adam(schedule))
    assert copy.deepcopy(schedule) == schedule


def test_what_a_notebook_shows():
    model = nn.Sequential([nn.Dense(2)], nn.Categorical(temperature=0.5))
    assert model._repr_html_().startswith("<code>Sequential([Dense(2)]")
    history = model.fit(np.eye(4), [0, 1, 0, 1], nn.SGD(0.1), 3, validation_split=0.25, validate_every=2,
                        verbose=0)
    assert model._repr_html_().count("<tr>") == 3 and "<td>Dense(2)</td>" in model._repr_html_()
    assert history._repr_html_().count("<tr>") == 4
    first, second = history.history["val_loss"]
    assert [(row["epoch"], row["loss"], row.get("val_loss")) for row in history.rows()] == list(
        zip(range(3), history.history["loss"], [first, None, second]))
