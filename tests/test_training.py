"""The training loop: divergence, callbacks, whose an optimizer is, its state by parameter."""
import copy
import gc
import math
import pickle
import re
import warnings

import numpy as np
import pytest

import nnjit as nn

X = np.random.default_rng(0).normal(size=(30, 4))
Y = np.arange(30) % 3


def network(*hidden, head=None, seed=0, dtype="float64"):
    return nn.Sequential([*hidden, nn.Dense(3)], head or nn.Categorical(), dtype).build(4, seed)


# ---- divergence --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("layers, place", [
    ([], r"layer 0, Dense\(3\)"), ([nn.Dense(5), nn.ReLU()], r"layer 0, Dense\(5\)")])
def test_the_first_loss_that_is_not_finite_is_warned_of_once(layers, place):
    """With the epoch, the batch, the learning rate, and the layer from which it comes."""
    model, optimizer = network(*layers), nn.SGD(1e250)
    with pytest.warns(RuntimeWarning) as caught:
        history = model.fit(1e60 * X, Y, optimizer, epochs=3, batch_size=10, shuffle=False, verbose=0).history
    text, = (str(warning.message) for warning in caught)
    assert caught[0].filename == __file__ and "\n" not in text
    assert text.startswith("fit: got a loss that is not finite in epoch 0, batch 1, at the learning rate "
                           "1e+250, where ")
    assert re.search(place, text)
    assert not any(map(math.isfinite, history["loss"][1:]))


def test_a_metric_beside_a_loss_of_nan_is_nan():
    model = network()
    model.vector[:] = np.nan
    assert all(map(math.isnan, model.evaluate(X, Y).values()))
    with pytest.raises(ValueError, match="predict: got NaN in the logits"):
        model.predict(X)
    assert np.isnan(model.predict_proba(X)).all()


def test_several_heads_diverge_alike():
    model = network(head=nn.Heads(a=nn.Categorical(), b=nn.Gaussian(), units={"a": 2, "b": 1}))
    with pytest.warns(RuntimeWarning, match="fit: got a loss that is not finite in epoch 0, batch 1"):
        model.fit(1e60 * X, {"a": Y % 2, "b": Y}, nn.SGD(1e250), batch_size=10, verbose=0)


# ---- callbacks ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer, epochs", [
    (True, 1), (np.True_, 1), (False, 3), (None, 3), (1, 3), ("stop", 3), ([0], 3), (np.ones(2), 3)])
def test_only_true_ends_a_training(answer, epochs):
    history = network().fit(X, Y, nn.SGD(), epochs=3, callbacks=[lambda *given: answer], verbose=0)
    assert history.epochs == list(range(epochs))


# ---- whose an optimizer is ---------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [nn.SGD, nn.Adam])
def test_an_optimizer_belongs_to_the_first_model_that_it_stepped(make):
    first, second, optimizer = network(), network(seed=1), make()
    first.fit(X, Y, optimizer, verbose=0)
    before = second.vector.copy()
    with pytest.raises(ValueError, match="optimizer: got one that has taken 1 steps with another "
                                         "model.*expected a new one") as caught:
        second.fit(X, Y, optimizer, verbose=0)
    assert "\n" not in str(caught.value) and np.array_equal(second.vector, before)
    first.fit(X, Y, optimizer, verbose=0)    # it goes on
    assert optimizer.iterations == 2
    del first
    gc.collect()
    with pytest.raises(ValueError, match="with another model"):
        second.fit(X, Y, optimizer, verbose=0)
    second.fit(X, Y, copy.deepcopy(optimizer), verbose=0)    # a copy belongs to nobody yet


def test_what_is_refused_leaves_an_optimizer_free():
    optimizer = nn.Adam()
    with pytest.raises(ValueError):
        network().fit(X, Y[:5], optimizer, verbose=0)
    network().fit(X, Y, optimizer, verbose=0)


@pytest.mark.parametrize("make", [lambda: nn.SGD(0.1, momentum=0.9),
                                  lambda: nn.Adam(nn.schedules.warm_up(0.05, 3)), nn.SGD])
def test_an_optimizers_state_is_by_parameter_in_logical_shapes(make):
    """And goes on from there with the same bits, wherever a layout puts the parameters."""
    model, other, optimizer, again = network(nn.Dense(19)), network(nn.Dense(19)), make(), make()
    model.fit(X, Y, optimizer, epochs=2, batch_size=7, verbose=0)
    state = optimizer.state(model.graph.layout)
    shapes = {name: array.shape for name, array in model.parameters().items()}
    slots = {"SGD": ("velocity",) if optimizer.slots else (), "Adam": ("m", "v")}[type(optimizer).__name__]
    expected = {f"{slot}/{name}": shape for slot in slots for name, shape in shapes.items()}
    assert {name: array.shape for name, array in state.items()} == expected
    other.copy_weights(model)
    again.load_state(state, optimizer.iterations, other.graph.layout)
    for m, o in ((model, optimizer), (other, again)):
        m.fit(X, Y, o, epochs=2, batch_size=7, seed=5, verbose=0)
    assert np.array_equal(model.vector, other.vector)


def test_optimizers_with_schedules_are_pickled_and_compared():
    for schedule in (nn.schedules.constant(0.1), nn.schedules.step(0.1, 5), nn.schedules.cosine(0.1, 50),
                     nn.schedules.warm_up(nn.schedules.cosine(0.1, 50), 10)):
        again = pickle.loads(pickle.dumps(nn.Adam(schedule)))
        assert again.learning_rate == schedule and again.rate() == schedule(0)
    assert nn.schedules.step(0.1, 5) != nn.schedules.step(0.1, 6)
    text = "Adam(learning_rate=cosine(rate=0.1, steps=50, last=0.01)"
    assert repr(nn.Adam(nn.schedules.cosine(0.1, 50))).startswith(text)


# ---- attributes --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [lambda: nn.Dense(3), nn.Tanh, lambda: nn.Dropout(0.5),
                                  lambda: nn.Conv2D(2, 3), nn.Categorical, lambda: nn.Heads(a=nn.Gaussian()),
                                  nn.Adam, network])
def test_unknown_attributes_are_refused(make):
    """They would do nothing: weights is Keras's."""
    part = make()
    with pytest.raises(AttributeError, match="got the unknown attribute 'weights_', which would do nothing, "
                                             "expected") as caught:
        part.weights_ = False
    assert "\n" not in str(caught.value)
    assert not hasattr(part, "weights_")


def test_known_attributes_can_be_changed():
    optimizer = nn.Adam()
    optimizer.learning_rate = 0.5
    assert optimizer.rate() == 0.5


# ---- carrying weights over ---------------------------------------------------------------------------------

def test_weights_are_carried_over_by_layers_or_names():
    trained = network(nn.Dense(5), nn.Tanh(), nn.Dense(4))
    for layers, names in [(None, {"0.W", "0.b", "2.W", "2.b", "3.W", "3.b"}),
                          (slice(0, 3), {"0.W", "0.b", "2.W", "2.b"}), (slice(-1, None), {"3.W", "3.b"}),
                          (["0.b", "2.W"], {"0.b", "2.W"})]:
        model = network(nn.Dense(5), nn.Tanh(), nn.Dense(4), seed=7, dtype="float32")
        model.vector[:] = -9
        trained.vector[trained.vector == 0] = 0.25    # biases are 0 in both
        model.copy_weights(trained, layers)
        for name, array in model.parameters().items():
            assert np.array_equal(array, np.float32(trained.parameters()[name])) == (name in names), name
    model.copy_weights(trained)
    model.vector[:] = 0
    assert trained.vector.any()    # nothing is shared


@pytest.mark.parametrize("layers, error, message", [
    (None, ValueError, r"copy_weights: got \(4, 5\) for 0.W, expected \(4, 6\)"),
    (["9.W"], ValueError, "copy_weights: got the name '9.W', expected some of 0.W, 0.b"),
    ("0.W", TypeError, "layers: got '0.W', expected a slice"),
    ([0], TypeError, "expected a slice of layer numbers, or a list of names")])
def test_weights_that_cannot_be_carried_over(layers, error, message):
    model, before = network(nn.Dense(6)), None
    before = model.vector.copy()
    with pytest.raises(error, match=message):
        model.copy_weights(network(nn.Dense(5)), layers)
    assert np.array_equal(model.vector, before)
    with pytest.raises(TypeError, match="other: got dict, expected a Sequential"):
        model.copy_weights({})


# ---- one model, one owner ----------------------------------------------------------------------------------

@pytest.mark.parametrize("head, units, y", [
    (lambda: nn.Ordinal(3), 1, Y), (lambda: nn.Categorical(class_weight={0: 2.0}), 3, Y),
    (lambda: nn.Heads(a=nn.Ordinal(3), units={"a": 1}), 1, {"a": Y})])
def test_a_head_in_a_second_model_is_refused(head, units, y):
    head = head()
    model = nn.Sequential([nn.Dense(units)], head, "float64")
    model.fit(X, y, nn.SGD(), verbose=0)
    before = model.logits(X), {name: array.copy() for name, array in model.parameters().items()}
    part = getattr(head, "heads", {"a": head})["a"]
    for use in (lambda: nn.Sequential([nn.Dense(units)], head).fit(X, y, nn.SGD(), verbose=0),
                lambda: nn.Sequential([nn.Dense(units)], nn.Heads(b=part, units={"b": units}))):
        with pytest.raises(ValueError, match="belongs to another model.*copy_weights"):
            use()
    assert np.array_equal(model.logits(X), before[0])
    assert all(np.array_equal(array, before[1][name]) for name, array in model.parameters().items())
    free = copy.deepcopy(head)
    nn.Sequential([nn.Dense(units)], free).fit(X, y, nn.SGD(), verbose=0)


def test_two_models_that_are_not_built_cannot_share_a_layer_either():
    shared = nn.Dense(3)
    first, second = (nn.Sequential([shared], nn.Categorical()) for _ in range(2))
    first.build(4)
    before = first.logits(X)
    with pytest.raises(ValueError, match="belongs to another model"):
        second.build(700)
    assert np.array_equal(first.logits(X), before)
    del first, before
    gc.collect()
    second.build(700)    # what belonged to a model that is gone is free


def test_a_second_build_starts_anew():
    model = network()
    first = model.vector.copy()
    model.vector[:] = 0
    assert np.array_equal(model.build(4).vector, first)
    assert model.build(6).parameters()["0.W"].shape == (6, 3)


def test_a_model_that_is_not_built_is_copied():
    model = copy.deepcopy(nn.Sequential([nn.Dense(3)], nn.Categorical()))
    model.fit(X, Y, nn.SGD(), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.predict(X).shape == (30,)


# ---- state that is not trained -----------------------------------------------------------------------------

class Centred(nn.Layer):
    """Subtracts the running mean of its input; which training moves, and nothing else does."""

    def build(self, input_shape):
        self.state_shapes, self.scratch = {"mean": input_shape}, {"input": (input_shape, None)}
        return input_shape

    def forward(self, x, out, ctx):
        if ctx.step is not None:
            ctx.scratch["input"][:] = x
        return np.subtract(x, self.state["mean"], out=out)

    def backward(self, x, a, delta, dx, ctx):
        if dx is not None:
            dx[:] = delta
        return dx

    def commit(self, ctx):
        mean = np.average(ctx.scratch["input"], axis=0, weights=ctx.w)
        self.state["mean"] += 0.5 * (mean - self.state["mean"])


def test_state_is_moved_by_training_only(tmp_path):
    model = network(Centred())
    assert {name: array.tolist() for name, array in model.state().items()} == {"0.mean": [0, 0, 0, 0]}
    model.evaluate(X, Y), model.gradients(X, Y, step=1), model.predict(X)
    assert not model.state()["0.mean"].any()
    weights = np.arange(30.0)
    model.fit(X, Y, nn.SGD(), batch_size=30, sample_weight=weights, verbose=0)
    mean = 0.5 * np.average(X, axis=0, weights=weights)
    np.testing.assert_allclose(model.state()["0.mean"], mean, rtol=1e-12)
    model.save(tmp_path / "model.npz")
    others = nn.load(tmp_path / "model.npz", custom={"Centred": Centred}), copy.deepcopy(model)
    for other in others:
        assert np.array_equal(other.state()["0.mean"], model.state()["0.mean"])
        assert np.array_equal(other.logits(X), model.logits(X))
        other.fit(X, Y, nn.SGD(), verbose=0)
    np.testing.assert_allclose(model.state()["0.mean"], mean, rtol=1e-12)    # they share nothing
    fresh = network(Centred())
    fresh.copy_weights(model)
    assert np.array_equal(fresh.logits(X), model.logits(X))


# ---- what is refused changes nothing -----------------------------------------------------------------------

def test_a_refused_model_leaves_the_other_ones_head():
    head = nn.Ordinal()
    first, second = (nn.Sequential([nn.Dense(1)], head) for _ in range(2))
    first.fit(X, np.arange(len(X)) % 2, nn.SGD(), verbose=0)
    with pytest.raises(ValueError, match="belongs to another model"):
        second.fit(X, np.arange(len(X)) % 5, nn.SGD(), verbose=0)
    assert head.classes == 2


def test_a_refused_optimizer_leaves_the_model_unbuilt():
    optimizer = nn.SGD(0.1)
    used = network()
    used.fit(X, Y, optimizer, verbose=0)
    model = nn.Sequential([nn.Dense(3)], nn.Categorical())
    with pytest.raises(ValueError, match="optimizer: got one that has taken"):
        model.fit(X, Y, optimizer, verbose=0)
    assert model.input_shape is None and model.input_scale is None


def test_a_build_that_is_refused_leaves_what_was_built():
    model = network()
    model.fit(X, Y, nn.SGD(0.1), verbose=0)
    before = model.logits(X)
    with pytest.raises(ValueError, match="Flatten"):
        model.build((2, 2, 2))
    assert np.array_equal(model.logits(X), before) and model.input_scale is not None
    assert np.array_equal(copy.copy(model).logits(X), before)


def test_a_copied_optimizer_shares_no_slot():
    model, optimizer = network(), nn.Adam()
    model.fit(X, Y, optimizer, verbose=0)
    other = copy.copy(optimizer)
    assert not any(np.shares_memory(other.slots[name], slot) for name, slot in optimizer.slots.items())


@pytest.mark.parametrize("make, name, value", [
    (lambda: nn.Dense(3), "units", 4), (lambda: nn.Dropout(0.5), "rate", 0.1),
    (nn.LeakyReLU, "negative_slope", 1),
    (nn.Bernoulli, "threshold", 0.9), (nn.SGD, "momentum", 0.9), (nn.Ordinal, "classes", 3)])
def test_what_is_settled_is_not_set_again(make, name, value):
    with pytest.raises(AttributeError, match=f"got another {name}, expected it where the .* is made"):
        setattr(make(), name, value)


@pytest.mark.parametrize("name, value", [("learning_rate", -1), ("weight_decay", -1), ("clip_norm", 0),
                                         ("beta_1", 1), ("epsilon", 0)])
def test_hyperparameters_are_checked_whenever_they_are_set(name, value):
    optimizer = nn.AdamW()
    with pytest.raises(ValueError, match=f"{name}: got {value}"):
        setattr(optimizer, name, value)
    optimizer.learning_rate = 0.5
    assert optimizer.rate() == 0.5


def test_a_validation_loss_that_is_not_finite_is_warned_of():
    model = nn.Sequential([nn.Dense(1)], nn.Gaussian())
    with pytest.warns(RuntimeWarning, match="validation loss that is not finite after epoch 0") as caught:
        model.fit(1e12 * X, X[:, 0], nn.SGD(1.0), batch_size=len(X), verbose=0,
                  validation_data=(1e12 * X, X[:, 0]))
    assert caught[0].filename == __file__
