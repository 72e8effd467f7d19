"""Sequences with masks: padding changes nothing, and what is left out is left out everywhere."""
import copy
import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from head_cases import CASES, EACH, check_refused

import nnjit as nn

pytestmark = pytest.mark.compiled    # the kernels, uncompiled, are met in test_recurrent and test_layers

N, T, D = 23, 9, 3
RNG = np.random.default_rng(5)
LENGTHS = RNG.integers(2, T + 1, N)
MASK = np.arange(T) < LENGTHS[:, None]
X = RNG.normal(size=(N, T, D))
Y = RNG.integers(3, size=(N, T))
LABEL = RNG.integers(3, size=N)
W = RNG.uniform(0.2, 2, (N, T))


def layers(name):
    return {"GRU": lambda: [nn.GRU(6)], "LSTM": lambda: [nn.LSTM(6)],
            "GRU on GRU": lambda: [nn.GRU(6, return_sequences=True), nn.Dropout(0.3), nn.GRU(5)],
            "backwards": lambda: [nn.LSTM(5, return_sequences=True, go_backwards=True), nn.GRU(4)],
            "dense and mean": lambda: [nn.Dense(5), nn.Tanh(), nn.GlobalAveragePool1D()],
            "normalised": lambda: [nn.Dense(5), nn.BatchNormalization(), nn.LayerNormalization(), nn.ReLU(),
                                   nn.GlobalMaxPool1D()],
            "convolution": lambda: [nn.Conv1D(4, 3), nn.Tanh(), nn.Conv1D(4, 2, padding="valid"),
                                    nn.GlobalMaxPool1D()],
            "causal": lambda: [nn.Conv1D(4, 3, padding="causal", strides=2), nn.GRU(4)]}[name]()


SUMMARIES = ["GRU", "LSTM", "GRU on GRU", "backwards", "dense and mean", "normalised", "convolution",
             "causal"]
summaries = pytest.mark.parametrize("name", SUMMARIES)


def model_of(name, head=None, units=3, dtype="float64"):
    return nn.Sequential([*layers(name), nn.Dense(units)], head or nn.Categorical(), dtype)


def tagger(head=None, units=3, dtype="float64"):
    return nn.Sequential([nn.GRU(6, return_sequences=True), nn.Dropout(0.2), nn.Dense(units)],
                         head or nn.Categorical(), dtype)


def fit(model, *data, **options):
    history = model.fit(*data, optimizer=nn.Adam(0.02), **{"epochs": 3, "batch_size": 7, "seed": 1,
                                                           "verbose": 0, **options}).history
    return model.vector.tobytes(), {name: values for name, values in history.items() if name != "seconds"}


def padded_with(values, filler):
    """Return a copy with something else in every masked step."""
    found = values.astype(float) if np.isnan(filler) else values.copy()
    found[~MASK] = filler
    return found


# ---- padding changes nothing -------------------------------------------------------------------------------

@summaries
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_may_hold_anything(name, dtype):
    outcomes = []
    for filler in (0.0, 7.0, np.nan, np.inf):
        model, given = model_of(name, dtype=dtype), padded_with(X, filler)
        trained = fit(model, given, LABEL, mask=MASK, validation_data=(given, LABEL, None, MASK))
        outcomes.append((trained, model.predict_proba(given, mask=MASK).tobytes(),
                         model.evaluate(given, LABEL, mask=MASK),
                         model.gradients(given, LABEL, mask=MASK)["0.W"].tobytes(),
                         model.logits(given[:2], mask=MASK[:2]).tobytes()))
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_targets_of_padding_may_hold_anything():
    first = fit(tagger(), X, Y, mask=MASK, sample_weight=W)
    assert fit(tagger(), X, padded_with(Y, -5), mask=MASK, sample_weight=W) == first
    assert fit(tagger(), X, padded_with(Y, np.nan), mask=MASK, sample_weight=padded_with(W, -1)) == first


@summaries
def test_masks_in_all_their_forms(name):
    first = fit(model_of(name), X, LABEL, mask=MASK)
    assert fit(model_of(name), X, LABEL, mask=LENGTHS) == first
    assert fit(model_of(name), [x[:length] for x, length in zip(X, LENGTHS)], LABEL) == first
    masked = nn.Sequential([nn.Masking(-9.0), *layers(name), nn.Dense(3)], nn.Categorical(), "float64")
    # as the first layer it shifts the numbers of the others, from which what is random is drawn
    masked.build((T, D)), (other := model_of(name)).build((T, D))
    masked.set_weights(other.get_weights())
    given = padded_with(X, -9.0)
    np.testing.assert_array_equal(masked.logits(given), other.logits(X, mask=MASK))
    assert masked.evaluate(given, LABEL) == other.evaluate(X, LABEL, mask=MASK)


@summaries
def test_more_padding_changes_nothing(name):
    """But for the last digits: a dense product of more rows may be added up in another order."""
    wide = np.concatenate([X, np.full((N, 4, D), np.nan)], axis=1)
    model = model_of(name).build((T, D))
    wider = model_of(name).build((T + 4, D))
    wider.set_weights(model.get_weights())
    np.testing.assert_allclose(wider.logits(wide, mask=LENGTHS), model.logits(X, mask=LENGTHS), rtol=1e-12,
                               atol=1e-14)


@summaries
def test_a_padded_batch_is_its_sequences_one_by_one(name):
    model = model_of(name)
    fit(model, X, LABEL, mask=MASK)
    whole = model.logits(X, mask=MASK)
    for n in range(N):
        alone = model_of(name).build((int(LENGTHS[n]), D))
        alone.set_weights(model.get_weights())
        np.testing.assert_allclose(alone.logits(X[n:n + 1, :LENGTHS[n]]), whole[n:n + 1], rtol=1e-12,
                                   atol=1e-13)


def test_a_full_mask_is_none():
    assert fit(tagger(), X, Y, mask=np.ones((N, T), bool)) == fit(tagger(), X, Y)


# ---- a target for every step -------------------------------------------------------------------------------

@EACH
def test_every_head_at_every_step(name):
    """The loss and its gradient are those of the valid steps as rows, of which the masked ones are absent."""
    make, units, targets = CASES[name]
    rng = np.random.default_rng(0)
    y, last = targets(rng, N * T, units), nn.Dense(units)
    y = y[:, 0] if not isinstance(y, dict) and y.ndim == 2 and units == 1 else y
    steps = nn.Sequential([nn.Dense(4), nn.Tanh(), last], make(), "float64").build((T, D), seed=2)
    flat = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(units)], make(), "float64").build(D, seed=2)
    flat.set_weights(steps.get_weights())
    valid = MASK.reshape(-1)

    def at_steps(values):
        return values.reshape(N, T, *values.shape[1:])

    given = {k: at_steps(v) for k, v in y.items()} if isinstance(y, dict) else at_steps(y)
    of_valid = {k: v[valid] for k, v in y.items()} if isinstance(y, dict) else y[valid]
    rows, weights = X.reshape(N * T, D)[valid], W.reshape(-1)[valid]
    assert steps.evaluate(X, given, W, mask=MASK) == pytest.approx(flat.evaluate(rows, of_valid, weights),
                                                                   rel=1e-12)
    found, expected = steps.gradients(X, given, W, mask=MASK), flat.gradients(rows, of_valid, weights)
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-10, atol=1e-13, err_msg=key)
    predicted = steps.predict(X, mask=MASK)
    alone = flat.predict(rows)
    for key in alone if isinstance(alone, dict) else [None]:
        pair = (predicted[key], alone[key]) if key else (predicted, alone)
        np.testing.assert_allclose(pair[0].reshape(N * T, *pair[0].shape[2:])[valid], pair[1], rtol=1e-12)
    fit(steps, X, given, mask=MASK, sample_weight=W)
    assert np.isfinite(steps.vector).all()


def test_weights_of_sequences_and_of_steps():
    w = RNG.uniform(0.2, 2, N)
    first = fit(tagger(), X, Y, mask=MASK, sample_weight=w)
    assert fit(tagger(), X, Y, mask=MASK, sample_weight=np.repeat(w[:, None], T, axis=1)) == first
    # a step of weight 0 is in no loss, although its input moves the state
    some = np.where(RNG.random((N, T)) < 0.5, 0.0, 1.0)
    other = np.where(some == 0, (Y + 1) % 3, Y)
    assert fit(tagger(), X, other, mask=MASK, sample_weight=some) == fit(tagger(), X, Y, mask=MASK,
                                                                         sample_weight=some)


def test_a_batch_counts_its_valid_steps():
    """The loss of a batch is the sum over its valid steps, divided by their number: gradients of batches of
    different lengths weigh a step alike.
    """
    model = nn.Sequential([nn.Dense(3)], nn.Categorical(), "float64").build((T, D), seed=1)
    parts = [slice(0, 8), slice(8, N)]
    counts = [MASK[part].sum() for part in parts]
    whole = model.gradients(X, Y, mask=MASK)["0.W"]
    each = [model.gradients(X[part], Y[part], mask=MASK[part])["0.W"] for part in parts]
    np.testing.assert_allclose(whole, np.average(each, axis=0, weights=counts), rtol=1e-12)


def test_class_weights_count_valid_steps():
    model, other = tagger(), tagger()
    counts = np.bincount(Y[MASK], minlength=3)
    by_hand = dict(enumerate(MASK.sum() / (3 * counts)))
    assert fit(model, X, padded_with(Y, 2), mask=MASK, class_weight="balanced")[0] == fit(
        other, X, Y, mask=MASK, class_weight=by_hand)[0]


def test_class_weights_of_several_heads_count_valid_steps():
    def train(filler, class_weight):
        head = nn.Heads(kind=nn.Categorical(), size=nn.Gaussian(), units={"kind": 3, "size": 1})
        targets = {"kind": padded_with(Y, filler), "size": padded_with(X[..., 0], float(filler))}
        return fit(tagger(head, 4), X, targets, mask=MASK, class_weight=class_weight)

    counts = np.bincount(Y[MASK], minlength=3)
    by_hand = {"kind": dict(enumerate(MASK.sum() / (3 * counts)))}
    assert train(0, {"kind": "balanced"}) == train(2, {"kind": "balanced"}) == train(1, by_hand)
    assert train(0, by_hand) != train(0, None)


def test_metrics_and_history_leave_out_what_the_mask_leaves_out():
    model = tagger()
    log = fit(model, X, Y, mask=MASK, metrics=["f1_macro", "balanced_accuracy"],
              validation_data=(X, Y, None, MASK))[1]
    d, valid = model.predict(X, mask=MASK), MASK.reshape(-1)
    assert log["val_f1_macro"][-1] == pytest.approx(
        sk.f1_score(Y.reshape(-1)[valid], d.reshape(-1)[valid], average="macro"), rel=1e-12)
    assert log["val_accuracy"][-1] == (d == Y)[MASK].mean()


def test_an_ordinal_head_counts_the_ranks_of_valid_steps():
    ranks = np.where(MASK, Y, 9)
    model = tagger(nn.Ordinal(), 1)
    fit(model, X, ranks, mask=MASK)
    assert model.head.classes == 3


def test_lists_of_targets():
    lists = [x[:length] for x, length in zip(X, LENGTHS)]
    targets = [y[:length] for y, length in zip(Y, LENGTHS)]
    assert fit(tagger(), lists, targets) == fit(tagger(), X, Y, mask=MASK)


# ---- other numbers of steps --------------------------------------------------------------------------------

@summaries
def test_sequences_of_other_lengths(name):
    """A network goes through longer and shorter ones, as one that is built for them."""
    model = model_of(name)
    longer, more = RNG.normal(size=(N, T + 5, D)), LENGTHS + 5
    fit(model, X, LABEL, mask=MASK, validation_data=(longer, LABEL, None, more))
    other = model_of(name).build((T + 5, D), seed=1)
    other.set_weights(model.get_weights())
    assert np.array_equal(model.logits(longer, mask=more), other.logits(longer, mask=more))
    assert model.evaluate(longer, LABEL, mask=more) == other.evaluate(longer, LABEL, mask=more)
    lists = [x[:length] for x, length in zip(longer, more)]
    assert np.array_equal(model.predict_proba(lists), other.predict_proba(lists))
    for key, gradient in model.gradients(longer, LABEL, mask=more, step=2).items():
        np.testing.assert_array_equal(gradient, other.gradients(longer, LABEL, mask=more, step=2)[key])
    assert model.input_shape == (T, D)


def test_training_goes_on_with_other_lengths():
    model, other = (tagger().build((T, D), seed=1) for _ in range(2))
    model.untouched = None
    wider = np.pad(X, ((0, 0), (0, 4), (0, 0)))
    targets = np.pad(Y, ((0, 0), (0, 4)))
    reference = tagger().build((T + 4, D), seed=1)
    fit(model, wider, targets, mask=LENGTHS), fit(reference, wider, targets, mask=LENGTHS)
    assert (model.vector == reference.vector).all() and (model.vector != other.vector).any()
    assert [model.train_on_batch(X[:5, :t], Y[:5, :t], nn.SGD(0.1))["loss"] for t in (3, 5, 7)]


# ---- what else is done with a model ------------------------------------------------------------------------

def test_streams_of_sequences():
    blocks = [(X[i:i + 7], Y[i:i + 7], W[i:i + 7], MASK[i:i + 7]) for i in range(0, N, 7)]
    expected = fit(tagger(), X, Y, mask=MASK, sample_weight=W, shuffle=False)
    assert fit(tagger(), blocks, batch_size=None) == expected
    assert fit(tagger(), lambda: iter(blocks), batch_size=None) == expected
    plain = [(X[i:i + 7], LABEL[i:i + 7], None, LENGTHS[i:i + 7]) for i in range(0, N, 7)]
    assert fit(model_of("GRU"), plain, batch_size=None) == fit(model_of("GRU"), X, LABEL, mask=MASK,
                                                               shuffle=False)


def test_a_split_takes_the_masks_along():
    first = fit(tagger(), X, Y, mask=MASK, sample_weight=W, validation_split=0.3)
    cut = int(np.floor(N * 0.7))
    assert fit(tagger(), X[:cut], Y[:cut], mask=MASK[:cut], sample_weight=W[:cut],
               validation_data=(X[cut:], Y[cut:], W[cut:], MASK[cut:])) == first


def test_a_stopped_training_goes_on(tmp_path):
    class Cut(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            if state.steps == 6:
                raise SystemExit

    def train(*more, mask=MASK):
        backup = nn.callbacks.BackupAndRestore(tmp_path / "backup.npz", every="0.000001s")
        return fit(tagger(), X, Y, mask=mask, metrics=["f1_macro"], callbacks=[backup, *more])

    whole = train()
    with pytest.raises(SystemExit):
        train(Cut())
    with pytest.raises(nn.DataError, match="got data"):
        train(mask=np.ones((N, T), bool))
    assert train() == whole


@summaries
def test_saved_copied_and_evaluated_as_before(name, tmp_path):
    model = model_of(name)
    fit(model, X, LABEL, mask=MASK)
    model.save(tmp_path / "model.npz")
    for other in (nn.load(tmp_path / "model.npz"), copy.deepcopy(model)):
        assert np.array_equal(other.logits(X, mask=MASK), model.logits(X, mask=MASK))
        assert repr(other.layers) == repr(model.layers)


def test_many_sequences_go_in_blocks():
    many = np.tile(X, (200, 1, 1)), np.tile(MASK, (200, 1))
    model = tagger(dtype="float32").build((T, D))
    whole = model.logits(many[0], mask=many[1])
    np.testing.assert_allclose(whole[:N], model.logits(X, mask=MASK), rtol=1e-4, atol=1e-6)
    assert model.evaluate(many[0], np.tile(Y, (200, 1)), mask=many[1])["loss"] == pytest.approx(
        model.evaluate(X, Y, mask=MASK)["loss"], rel=1e-5)


def test_the_summary_says_what_becomes_of_the_mask():
    model = nn.Sequential([nn.Masking(), nn.Dense(4), nn.ReLU(), nn.Conv1D(4, 3), nn.BatchNormalization(),
                           nn.GRU(5, return_sequences=True), nn.LSTM(4), nn.Dense(3)],
                          nn.Categorical()).build((T, D))
    uses = [line.split("  ")[-1].strip() for line in model.summary().splitlines()[1:-2]]
    assert uses == ["passes on", "passes on", "passes on", "uses", "uses", "uses", "consumes"]
    refusing = nn.Sequential([nn.Flatten(), nn.Dense(3)], nn.Categorical()).build((T, D))
    assert "refuses: it puts valid and masked steps side by side" in refusing.summary()


# ---- mistakes ----------------------------------------------------------------------------------------------

class Own(nn.Layer):
    """A layer that says nothing about masks."""

    def forward(self, x, out, ctx):
        out[...] = x
        return out

    def backward(self, x, a, delta, dx, ctx):
        return delta


EMPTY = MASK.copy()
EMPTY[3] = False


@pytest.mark.parametrize("exception, message, options", [
    (ValueError, r"mask: got bool of shape \(23, 8\), expected \(23, 9\)", {"mask": MASK[:, 1:]}),
    (ValueError, "mask: got sequence 3 without a valid step", {"mask": EMPTY}),
    (ValueError, "mask: got sequence 0 without a valid step", {"mask": np.zeros((N, T), bool)}),
    (ValueError, "mask: got sequence 0 without a valid step", {"mask": np.zeros(N, int)}),
    (ValueError, "mask: got a length of 10, expected at most 9", {"mask": np.full(N, 10)}),
    (ValueError, r"mask: got shape \(22,\), expected 23 rows", {"mask": LENGTHS[1:]}),
    (TypeError, "mask: got float64, expected", {"mask": MASK * 1.0}),
    (ValueError, "mask: got int64 of shape", {"mask": MASK * 1}),
    (ValueError, r"sample_weight: got shape \(23, 4\), expected \(23,\) or \(23, 9\)",
     {"sample_weight": np.ones((N, 4))}),
])
def test_bad_masks(exception, message, options):
    model = tagger()
    check_refused(exception, message, fit, model, X, Y, **options)
    assert model.input_shape is None


@pytest.mark.parametrize("message, make", [
    ("layer 0, Flatten.*side by side", lambda: [nn.Flatten(), nn.Dense(3)]),
    ("layer 1, Own.*says nothing about masks", lambda: [nn.Dense(3), Own(), nn.GlobalMaxPool1D()]),
    ("layer 0, Conv1D.*depends on the padded length", lambda: [nn.Conv1D(3, 2, strides=2), nn.GRU(3)]),
])
def test_a_layer_that_would_ignore_the_mask(message, make):
    model = nn.Sequential([*make(), nn.Dense(3)], nn.Categorical())
    check_refused(ValueError, f"mask: got one for {message}", fit, model, X, LABEL, mask=MASK)
    masked = nn.Sequential([nn.Masking(), *make(), nn.Dense(3)], nn.Categorical())
    check_refused(ValueError, "mask: got one for layer", masked.build, (T, D))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(nn.Sequential([*make(), nn.Dense(3)], nn.Categorical()), X, LABEL)    # without one it does


@pytest.mark.parametrize("exception, message, call", [
    (ValueError, r"y: got shape \(23,\), expected \(23, 9, \.\.\.\), a value for each step.*GRU",
     lambda: fit(tagger(), X, LABEL)),
    (ValueError, "Masking behind another layer", lambda: nn.Sequential([nn.Dense(2), nn.Masking()],
                                                                     nn.Gaussian())),
    (TypeError, "Masking mask_value: got 'x'", lambda: nn.Masking("x")),
    (ValueError, "Masking: got rows of shape", lambda: nn.Sequential([nn.Masking(), nn.Dense(1)],
                                                                    nn.Gaussian()).build(3)),
    (ValueError, "mask: got one for X of shape", lambda: fit(
        nn.Sequential([nn.Dense(3)], nn.Categorical()), X[:, 0], LABEL, mask=MASK)),
    (ValueError, r"X\[1\]: got shape \(3, 2\), expected \(steps, 3\)", lambda: fit(
        model_of("GRU"), [X[0], X[1][:3, :2]], LABEL[:2])),
    (ValueError, "got sequences of 12 steps, expected 9: the network has weights for each step", lambda:
        nn.Sequential([nn.Flatten(), nn.Dense(2)], nn.Categorical()).build((T, D)).predict(
            np.ones((2, 12, D)))),
    (ValueError, r"X: got shape \(2, 9, 4\), expected \(N, 9, 3\)", lambda: model_of("GRU").build(
        (T, D)).predict(np.ones((2, T, 4)))),
    (ValueError, "X: got NaN", lambda: fit(model_of("GRU"), padded_with(X, np.nan), LABEL)),
])
def test_mistakes(exception, message, call):
    check_refused(exception, message, call)
