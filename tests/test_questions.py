"""The questions that ``nnjit train`` asks, and the systems with which outputs and losses are explained."""
from dataclasses import replace

import numpy as np
import pytest

import nnjit as nn
from nnjit import datasets
from nnjit.experiments import questions

trains = pytest.mark.compiled


def fitted(head, units, x, y, hidden=(), optimizer=None, **options):
    """Return a ReLU network with this head, trained."""
    layers = [layer for width in hidden for layer in (nn.Dense(width), nn.ReLU())]
    model = nn.Sequential([*layers, nn.Dense(units)], head=head)
    model.fit(x, y, optimizer or nn.Adam(), verbose=0, **options)
    return model


# ---- losses ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("out, loss, head", [
    ("softmax", "crossentropy", nn.Categorical), ("sigmoid", "crossentropy", nn.Bernoulli),
    ("linear", "mse", nn.Gaussian),
    ("ordinal", "crossentropy", nn.Ordinal), ("poisson", "poisson", nn.Poisson)])
def test_auto_is_the_loss_of_the_distribution(out, loss, head):
    chosen, make_head, why = questions.choose_loss(out)
    assert (chosen, type(make_head())) == (loss, head)
    assert "the negative log-likelihood of" in why and "\n" not in why
    assert questions.choose_loss(out, loss)[0] == loss


@pytest.mark.parametrize("out", questions.OUTPUTS)
@pytest.mark.parametrize("loss", questions.LOSSES)
def test_every_pair_is_explained_or_refused(out, loss):
    try:
        chosen, make_head, why = questions.choose_loss(out, loss)
    except ValueError as error:
        own = questions.own_loss(out)
        assert str(error).startswith(f"--loss: got {loss} with --out {out}, expected {own}")
        assert "--out" in str(error)
        return
    if chosen == "mse" and out != "linear":
        with pytest.warns(UserWarning, match="saturates"):
            assert make_head().activation == out
        assert "no distribution of classes" in why
    else:
        assert "distribution" in why and make_head().metric in ("accuracy", "mae")


# ---- examples ----------------------------------------------------------------------------------------------

def test_iris_is_split_into_train_and_test():
    """A fifth to test, each part with all species; however few are trained on, they are of all."""
    for dtype in ("float32", "float64"):
        task = questions.of_iris("softmax", dtype)
        assert task.train[0].shape == (120, 4) and task.test[0].shape == (30, 4)
        assert task.train[0].dtype == dtype
        for _, y in (task.train, task.test):
            assert len(set(np.bincount(y))) == 1
    assert np.bincount(questions.of_iris("softmax", "float64", 7).train[1]).tolist() == [3, 2, 2]
    iris, task = datasets.load_iris(), questions.of_iris("linear", "float64", outliers=0.25)
    together = np.concatenate([task.train[0], task.test[0]])[:, 0]
    assert np.array_equal(np.sort(together), np.sort(iris.x[:, 0]))
    assert np.array_equal(task.test[1], iris.x[4::5, 1]) and np.count_nonzero(task.train[1] > 5) == 30


@pytest.mark.parametrize("out, classes, units, y", [
    ("softmax", None, 10, 4), ("softmax", (0, 4), 2, 1), ("sigmoid", None, 10, np.eye(10)[4]),
    ("sigmoid", (9, 4), 1, 1), ("sigmoid", (1, 4, 0), 3, np.eye(3)[1]), ("ordinal", None, 1, 4),
    ("linear", None, 1, 4), ("poisson", None, 1, 4)])
def test_targets_of_images(out, classes, units, y):
    data = datasets.load_digits()
    task = questions.of_images(data, out, "float32", classes=classes)
    four = np.flatnonzero(data.y_train == 4)[0] if classes is None else np.flatnonzero(
        data.y_train[np.isin(data.y_train, classes)] == 4)[0]
    assert task.units == units and task.image_shape == (28, 28) and np.array_equal(task.train[1][four], y)
    assert len(task.train[0]) == (1000 if classes is None else np.isin(data.y_train, classes).sum())
    assert len(task.train[1]) == len(task.train[0]) and len(task.test[1]) == len(task.test[0])


def test_images_with_colours_have_no_weight_images():
    data = datasets.load_digits()
    colours = replace(data, x_train=np.stack([data.x_train] * 3, axis=3),
                      x_test=np.stack([data.x_test] * 3, axis=3))
    task = questions.of_images(colours, "sigmoid", "float32", 50, (3, 8))
    assert task.train[0].shape == (50, 3 * 784) and task.image_shape is None and task.units == 1


def test_pairs_of_train_and_test():
    task = questions.of_pairs(datasets.load_digits(), "float32", 30)
    assert task.train[0].shape == (30, 28 * 56) and task.test[0].shape == (questions.TEST_PAIRS, 28 * 56)
    assert task.image_shape == (28, 56) and task.units == 10 and task.data.name == "UCI digits in pairs"
    assert task.train[0].max() == 1 and task.train[0].dtype == np.float32
    assert set(task.train[1].sum(axis=1)) == {1, 2}


# ---- the systems -------------------------------------------------------------------------------------------

@trains
def test_squared_error_finds_the_mean_and_absolute_error_the_median():
    """Iris, Dense(32), Dense(1), Adam, 100 epochs: sepal width by length, one flower in ten off by 5 cm."""
    iris = datasets.load_iris()
    x, y = iris.x[:, :1], iris.x[:, 1]
    wrong = datasets.with_outliers(y, 0.1, 5.0)
    predicted = {}
    for head in (nn.Gaussian(), nn.Laplace(), nn.Huber()):
        model = nn.Sequential([nn.Dense(32), nn.Dense(1)], head=head)
        model.fit(x, wrong, nn.Adam(), epochs=100, verbose=0)
        predicted[type(head)] = model.predict(x)
    assert predicted[nn.Gaussian].mean() == pytest.approx(wrong.mean(), abs=0.1)
    assert predicted[nn.Laplace].mean() == pytest.approx(np.median(wrong), abs=0.15)
    error = {kind: np.abs(p - y).mean() for kind, p in predicted.items()}
    assert error[nn.Laplace] < error[nn.Huber] < error[nn.Gaussian] - 0.1


@trains
def test_is_it_a_3_or_an_8():
    (x, y), test = datasets.load_digits().only(3, 8).rows()
    model = fitted(nn.Bernoulli(), 1, x, y, (20,), epochs=20)
    assert model.evaluate(*test)["accuracy"] > 0.85
    assert np.array_equal(model.predict_proba(test[0]).argmax(axis=1), model.predict(test[0]))


@trains
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_class_numbers_and_one_hot_rows_train_the_same_bits(dtype):
    (x, y), test = datasets.load_digits().rows(dtype, 300)
    models = [nn.Sequential([nn.Dense(20), nn.ReLU(), nn.Dense(10)], head=nn.Categorical(), dtype=dtype)
              for _ in range(2)]
    for model, targets in zip(models, (y, np.eye(10)[y])):
        model.fit(x, targets, nn.Adam(0.01), epochs=5, verbose=0)
    assert np.array_equal(models[0].vector, models[1].vector)
    assert models[0].history.history["loss"] == models[1].history.history["loss"]
    assert models[0].evaluate(*test)["accuracy"] > 0.7


@trains
def test_which_digits_are_present():
    task = questions.of_pairs(datasets.load_digits(), "float32", 2000)
    model = fitted(nn.Bernoulli(), 10, *task.train, (50,), nn.Adam(0.003), epochs=5)
    x, present = task.test
    always_no = np.mean(present == 0)
    assert model.evaluate(x, present)["accuracy"] > always_no + 0.05
    sets = model.predict(x)
    assert sets.shape == present.shape and set(sets.sum(axis=1)) >= {1, 2}    # sets, and no choice of one


@trains
def test_how_large_is_the_digit():
    """Ranks are found, but the shapes of digits have no order: free classes find them better."""
    (x, y), (x_test, y_test) = datasets.load_digits().rows()
    error = {}
    for head, units in [(nn.Ordinal(), 1), (nn.Categorical(), 10)]:
        model = fitted(head, units, x, y, (50,), nn.Adam(0.003), epochs=15)
        error[type(head)] = np.abs(model.predict(x_test) - y_test).mean()
    assert error[nn.Categorical] < error[nn.Ordinal] < 0.5 * np.abs(y_test - np.median(y_test)).mean()


@trains
def test_few_examples_of_an_order_are_better_ranked():
    """The size of a petal in ten grades, by the sepal, from 20 flowers."""
    iris = datasets.load_iris()
    x, petal = iris.x[:, :2] - iris.x[:, :2].mean(axis=0), iris.x[:, 2]
    grade = np.searchsorted(np.quantile(petal, np.arange(0.1, 1, 0.1)), petal)
    error = {nn.Ordinal: [], nn.Categorical: []}
    for seed in range(3):
        known = np.random.RandomState(seed).permutation(150) < 20
        for head, units in [(nn.Ordinal(10), 1), (nn.Categorical(), 10)]:
            model = fitted(head, units, x[known], grade[known], (), nn.Adam(0.05), epochs=100)
            error[type(head)].append(np.abs(model.predict(x[~known]) - grade[~known]).mean())
    assert np.mean(error[nn.Ordinal]) < np.mean(error[nn.Categorical])


@trains
def test_a_saturated_start_holds_squared_error_up():
    (x, y), _ = datasets.load_digits().only(3, 8).rows()
    accuracy = []
    with pytest.warns(UserWarning, match="saturates"):
        heads = [nn.Bernoulli(), nn.SquaredError("sigmoid")]
    for head in heads:
        model = nn.Sequential([nn.Dense(20), nn.ReLU(), nn.Dense(1)], head=head).build(784, seed=3)
        model.parameters()["2.b"][:] = -6
        history = model.fit(x, y, nn.SGD(0.1), epochs=8, batch_size=20, seed=3, verbose=0).history
        accuracy.append(history["accuracy"][-1])
    assert accuracy[0] > 0.95 and accuracy[1] < 0.6
