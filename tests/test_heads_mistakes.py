"""The mistakes that the heads explain."""
import numpy as np
import pytest
from head_cases import COLUMN, N, built, case, check_refused, many_heads, squared_error

import nnjit as nn

# a head, its units, targets, and what the message must say
MISTAKES = {
    "labels from 1": (nn.Categorical(), 3, 1 + np.arange(N) % 3,
                      r"labels 1 .. 3, expected class numbers 0 .. 2.*y - 1"),
    "a class too many": (nn.Categorical(), 3, np.arange(N) % 4,
                         r"labels 0 .. 3.*for 4 classes the last layer takes 4 units"),
    "labels with gaps": (nn.Categorical(), 3, np.arange(N) % 3 * 10,
                         r"labels 0 .. 20, expected class numbers 0 .. 2; number the classes with np.unique"),
    "missing labels": (nn.Categorical(), 3, np.where(np.arange(N) > 3, 1, np.nan),
                       "got NaN or infinity, expected class numbers 0 .. 2; fill in or drop"),
    "negative labels": (nn.Categorical(), 3, np.arange(N) % 3 - 1, r"labels -1 .. 1.*np.unique"),
    "not whole": (nn.Categorical(), 3, np.arange(N) % 3 + 0.5,
                  r"got 0.5, expected class numbers.*Gaussian\(\)"),
    "multi-hot": (nn.Categorical(), 3, np.ones((N, 3)), r"a row of 0 and 1 with 3 ones.*Bernoulli\(\)"),
    "empty rows": (nn.Categorical(), 3, np.zeros((N, 3)), r"a row of 0 and 1 with 0 ones.*Bernoulli\(\)"),
    "no probabilities": (nn.Categorical(), 3, np.full((N, 3), 0.5), "rows that are no probabilities"),
    "a column of labels": (nn.Categorical(), 3, COLUMN, r"shape \(11, 1\).*y\[:, 0\]"),
    "wide rows": (nn.Categorical(), 3, np.eye(4)[np.arange(N) % 4],
                  r"shape \(11, 4\).*a unit for each class"),
    "integer labels": (nn.Bernoulli(), 1, np.arange(N) % 5,
                       r"labels 0 .. 4, expected 0 and 1.*5 classes use Categorical\(\)"),
    "labels -1 and 1": (nn.Bernoulli(), 1, np.arange(N) % 2 * 2 - 1,
                        "labels -1 and 1, expected 0 and 1; give y > 0"),
    "labels 1 and 2": (nn.Bernoulli(), 1, np.arange(N) % 2 + 1,
                       "labels 1 and 2, expected 0 and 1; give y - 1"),
    "no probability": (nn.Bernoulli(), 1, np.linspace(0, 1.5, N), r"got 1.05, expected 0 and 1"),
    "missing answers": (nn.Bernoulli(), 1, np.where(np.arange(N) > 3, 1, np.nan), "got NaN"),
    "a choice": (nn.Bernoulli(), 3, np.arange(N) % 3,
                 r"shape \(11,\), expected \(11, 3\).*3 classes use Categorical\(\)"),
    "a column of answers": (nn.Bernoulli(), 1, COLUMN,
                            r"shape \(11, 1\), expected \(11,\).*11 by 11; give y\[:, 0\]"),
    "a column": (nn.Gaussian(), 1, COLUMN, r"shape \(11, 1\), expected \(11,\).*11 by 11; give y\[:, 0\]"),
    "a row too wide": (nn.Gaussian(), 1, np.zeros((N, 2)),
                       r"shape \(11, 2\), expected \(11,\) for the single unit"),
    "a number for several": (nn.Laplace(), 2, np.zeros(N),
                             r"shape \(11,\), expected \(11, 2\), a number for each of 2 units"),
    "three axes": (nn.Huber(), 2, np.zeros((N, 2, 1)), r"shape \(11, 2, 1\), expected \(11, 2\)"),
    "missing numbers": (nn.Gaussian(), 1, np.append(np.zeros(N - 1), np.nan),
                        "got NaN or infinity, expected finite numbers"),
    "negative counts": (nn.Poisson(), 1, np.arange(N) - 3,
                        r"got -3, expected non-negative counts.*Gaussian\(\)"),
    "ranks from 1": (nn.Ordinal(3), 1, 1 + np.arange(N) % 3,
                     r"labels 1 .. 3.*y - 1; for 4 classes give Ordinal\(classes=4\)"),
    "one-hot ranks": (nn.Ordinal(3), 1, np.eye(3)[np.arange(N) % 3],
                      r"shape \(11, 3\), expected.*np.argmax\(y, axis=1\)"),
    "a column of ranks": (nn.Ordinal(3), 1, COLUMN, r"shape \(11, 1\), expected.*give y\[:, 0\]"),
    "short": (nn.Gaussian(), 1, np.zeros(N - 1), r"shape \(10,\), expected 11 rows"),
    "nothing": (nn.Gaussian(), 1, 3.0, r"shape \(\), expected 11 rows"),
    "ragged": (nn.Bernoulli(), 2, [[0, 1]] * (N - 1) + [[0]], "rows of different lengths"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_targets_that_are_refused(mistake):
    head, units, y, message = MISTAKES[mistake]
    check_refused(ValueError, message, built(head, units).targets, y, N, units, np.dtype(np.float64))


def test_targets_of_the_wrong_kind():
    for head, units in [(nn.Gaussian(), 1), (nn.Bernoulli(), 1), (nn.Bernoulli(), 2), (nn.Categorical(), 2),
                        (nn.Ordinal(3), 1)]:
        for y in (["yes"] * N, np.zeros(N, complex), np.full(N, None)):
            check_refused(TypeError, "y: got", built(head, units).targets, y, N, units, np.dtype(np.float64))
    check_refused(TypeError, r"y: got text, .*number the classes with np.unique\(y, return_inverse=True\)",
                  built(nn.Categorical(), 2).targets, ["cat", "dog"], 2, 2, np.dtype(np.float64))
    check_refused(ValueError, "too large for float32.*scale the targets", built(nn.Gaussian(), 1).targets,
                  np.full(N, 1e300), N, 1, np.dtype(np.float32))


@pytest.mark.parametrize("y, message", [
    (1 + np.arange(9) % 3, r"labels 1 .. 3, expected the first class to be 0; give y - 1"),
    (np.eye(3), "expected class numbers"),
    ([0.5, 1], "got 0.5, expected class numbers"), ([0, -1, 2], "labels -1 .. 2")])
def test_targets_from_which_no_classes_can_be_taken(y, message):
    check_refused(ValueError, message, nn.Ordinal().infer_from_targets, y)


@pytest.mark.parametrize("head, shape, message", [
    (nn.Categorical(), (1,), r"got 1 unit.*always answers class 0: use Bernoulli\(\), or 2 units"),
    (squared_error("softmax"), (1,), "always answers class 0"),
    (nn.Ordinal(4), (4,), "got 4 units in the last layer, expected 1, the score"),
    (nn.Categorical(), (4, 4, 3), r"got an output of shape \(4, 4, 3\)"),
    (nn.Gaussian(), (2, 2), r"got an output of shape \(2, 2\)"),
    (nn.Bernoulli(pos_weight=[1, 2]), (3,), "got 2 weights, expected 3"),
    (nn.Categorical(class_weight=[1, 2]), (3,), "got 2 weights, expected 3"),
    (nn.Categorical(class_weight={3: 1}), (3,), "got class 3, expected classes 0 .. 2"),
    (nn.Categorical(class_weight={0: 0, 1: 0}), (2,), "got only zeros"),
    (many_heads(), (6,),
     r"got 6 units in the last layer, expected 3 \(type\) \+ 1 \(size\) \+ 1 \(age\) = 5"),
    (nn.Heads(a=nn.Gaussian()), (1,), r"got no units, expected Heads\(..., units="),
], ids=str)
def test_last_layers_that_are_refused(head, shape, message):
    check_refused(ValueError, message, head.build, shape)


class Softmax(nn.Layer):
    """A layer of the user's own."""

    effect_on_output = "keeps the output in 0 .. 1 and saturates"


@pytest.mark.parametrize("head", [nn.Bernoulli(), nn.Categorical(), nn.Ordinal(3), nn.Poisson(),
                                  squared_error("sigmoid"),
                                  nn.Heads(a=nn.Bernoulli())], ids=repr)
@pytest.mark.parametrize("layer", [nn.Sigmoid(), Softmax(), nn.Tanh(), nn.ReLU()],
                         ids=lambda layer: type(layer).__name__)
def test_an_output_activation_before_a_head_that_applies_its_own(head, layer):
    name = type(layer).__name__
    message = (f"got a {name} layer before it, expected logits, .* applies the .* itself; "
               f"remove the {name} layer")
    check_refused(ValueError, message, head.check_last_layer, layer)


LINEAR = pytest.mark.parametrize("head", [nn.Gaussian(), nn.Laplace(), nn.Huber(), nn.SquaredError("linear")],
                                 ids=repr)


@LINEAR
@pytest.mark.parametrize("layer, effect", [
    (nn.Sigmoid(), "keeps the output in 0 .. 1 and saturates"),
    (Softmax(), "keeps the output in 0 .. 1 and saturates"),
    (nn.Tanh(), "keeps the output in -1 .. 1 and saturates"),
    (nn.ReLU(), "lets no output below 0 and passes no gradient to one that is "
                "0")], ids=lambda value: type(value).__name__)
def test_an_output_activation_before_a_linear_head_is_warned_of(head, layer, effect):
    message = rf"the {type(layer).__name__} layer before it {effect}, .*use Bernoulli\(\) or Categorical\(\)"
    with pytest.warns(UserWarning, match=message):
        head.check_last_layer(layer)


@LINEAR
@pytest.mark.parametrize("layer", [nn.Dense(1), nn.Flatten(), nn.GlobalAveragePool2D(), nn.Conv2D(3, 3)],
                         ids=repr)
def test_other_last_layers_are_taken(head, layer):
    head.check_last_layer(layer)
    nn.Categorical().check_last_layer(layer)


@pytest.mark.parametrize("head", [nn.Gaussian(), nn.Categorical(), nn.Heads(a=nn.Laplace())], ids=repr)
def test_dropout_before_a_head_is_refused(head):
    message = "got a Dropout layer before it, expected logits.*put it before the last Dense layer"
    check_refused(ValueError, message, head.check_last_layer, nn.Dropout(0.5))


def test_a_network_with_an_output_activation_too_many():
    model = nn.Sequential([nn.Dense(3), nn.Sigmoid()], head=nn.Categorical())
    check_refused(ValueError, "applies the softmax itself; remove the Sigmoid layer", model.build, 4)
    model = nn.Sequential([nn.Dense(1), nn.Sigmoid()], head=nn.Gaussian())
    with pytest.warns(UserWarning, match="saturates"):
        model.build(4)


@pytest.mark.parametrize("activation, own", [("sigmoid", r"Bernoulli\(\)"), ("softmax", r"Categorical\(\)")])
def test_squared_error_warns_that_it_saturates(activation, own):
    with pytest.warns(UserWarning,
                      match=f"the {activation} saturates.*{own} has the loss that belongs to it"):
        nn.SquaredError(activation)


def test_argmax_of_the_probabilities_of_a_single_unit_is_right(rng):
    """They have a column for each of the two classes."""
    head, z, _, _ = case("Bernoulli", rng)
    p = head.probabilities(z)
    decisions = head.decide(z)
    assert p.shape == (N, 2) and np.array_equal(p.argmax(axis=1), decisions) and len(set(decisions)) == 2


@pytest.mark.parametrize("head", [nn.Gaussian(), nn.Poisson(), nn.SquaredError("linear"),
                                  nn.Heads(a=nn.Laplace(), units={"a": 1})],
                         ids=repr)
def test_no_probabilities_where_there_are_no_classes(head):
    check_refused(TypeError, "expected one that predicts classes; use predict", built(head, 1).probabilities,
                  COLUMN)


@pytest.mark.parametrize("exception, make", [
    *[(ValueError, lambda v=v: nn.Huber(v)) for v in (0, -1, np.nan, np.inf)],
    (TypeError, lambda: nn.Huber("1")),
    *[(ValueError, lambda v=v: nn.Bernoulli(v)) for v in (0, 1, -0.1, 1.1)],
    (TypeError, lambda: nn.Bernoulli(None)),
    *[(ValueError, lambda v=v: nn.Bernoulli(pos_weight=v)) for v in (0, -1, [1, -1], [1, np.nan])],
    (TypeError, lambda: nn.Bernoulli(pos_weight="2")),
    (ValueError, lambda: nn.Bernoulli(pos_weight=[[1], [2]])),
    *[(ValueError, lambda v=v: nn.Categorical(v)) for v in (0, -1, np.inf)],
    (TypeError, lambda: nn.Categorical("hot")),
    *[(ValueError, lambda v=v: nn.Categorical(label_smoothing=v)) for v in (-0.1, 1)],
    *[(ValueError, lambda v=v: nn.Categorical(base=v)) for v in (1, 0.5, -2)],
    (ValueError, lambda: nn.Categorical(2, base=3)),
    *[(ValueError, lambda v=v: nn.Categorical(class_weight=v))
      for v in ([1, -1], {0: -1}, {-1: 1}, {0: np.nan})],
    *[(TypeError, lambda v=v: nn.Categorical(class_weight=v))
      for v in (2, "balanced", {0: "1"}, {0.5: 1}, {None: 1})],
    *[(ValueError, lambda v=v: nn.Ordinal(v)) for v in (1, 0, -3)],
    *[(TypeError, lambda v=v: nn.Ordinal(v)) for v in (3.0, True)],
    (ValueError, lambda: nn.SquaredError("tanh")), (ValueError, lambda: nn.SquaredError(None)),
    (ValueError, lambda: nn.Heads()), (TypeError, lambda: nn.Heads(a="softmax")),
    (TypeError, lambda: nn.Heads(a=nn.Categorical)),
    (ValueError, lambda: nn.Heads(dict.fromkeys("ab", nn.Gaussian()))),
    (TypeError, lambda: nn.Heads(a=many_heads())), (TypeError, lambda: nn.Heads(nn.Categorical())),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), units={"b": 1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), b=nn.Gaussian(), units={"a": 1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), units={"a": 0})),
    (TypeError, lambda: nn.Heads(a=nn.Gaussian(), units=1)),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), weights={"a": -1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), weights={"b": 1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), weights={"a": 0})),
    (TypeError, lambda: nn.Heads(a=nn.Gaussian(), weights=[1])),
])
def test_settings_that_are_refused(exception, make):
    check_refused(exception, "got ", make)


@pytest.mark.parametrize("exception, y, message", [
    (TypeError, np.zeros(N), "y: got ndarray, expected a dict of 'type', 'size', 'age'"),
    (ValueError, {"type": np.zeros(N)}, "y: got 'type', expected 'type', 'size', 'age'"),
    (ValueError, {"type": np.zeros(N), "size": np.zeros(N), "age": np.zeros(N), "make": 1},
     "'make', expected")])
def test_targets_of_several_heads_that_are_refused(exception, y, message):
    head = built(many_heads(), 5)
    check_refused(exception, message, head.targets, y, N, 5, np.dtype(np.float64))
    check_refused(exception, message, head.infer_from_targets, y)
