"""Data of one's own: the question that a target asks, what is learned of the inputs, parts, comparison."""
import warnings

import numpy as np
import pandas
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nnjit as nn
from nnjit import checkpoint
from nnjit.inputs import preprocessing
from nnjit.inputs.checks import DataError
from nnjit.inputs.columns import Category, Columns, Flag, Number
from nnjit.inputs.pictures import Pictures, is_dark_on_white, top_of
from nnjit.own_data import compare, prepare, target
from nnjit.own_data.target import Refused

rng = np.random.default_rng(3)
N = 60


def frame(**columns):
    return pandas.DataFrame(columns)


def asked(values, out=None, loss="auto", **more):
    return target.ask(frame(t=values), ["t"], out, loss, **more)


# ---- the question ------------------------------------------------------------------------------------------

YES = ["no", "yes"] * 30
THREE = ["a", "b", "c"] * 20
RANKS = [3, 4, 5, 6] * 15
MANY = list(range(60))
REALS = [i * 1.5 + 0.25 for i in range(60)]


@pytest.mark.parametrize("values, out, loss, head, words", [
    (YES, None, "auto", "Bernoulli(classes=['no', 'yes'])", "so Bernoulli: sigmoid, binary cross-entropy"),
    ([0, 1] * 30, None, "auto", "Bernoulli(classes=['0', '1'])", "the values 0 and 1"),
    ([0.0, 1.0] * 30, None, "auto", "Bernoulli(classes=['0', '1'])", "the values 0 and 1"),
    ([True, False] * 30, None, "auto", "Bernoulli(classes=['False', 'True'])", "False and True"),
    (THREE, None, "auto", "Categorical(classes=['a', 'b', 'c'])", "has 3 different texts, a, b, c: one of"),
    (RANKS, None, "auto", "Categorical(classes=['3', '4', '5', '6'])", "if they are ranks, --out ordinal"),
    (RANKS, "ordinal", "auto", "Ordinal(classes=['3', '4', '5', '6'])", "ordinal was asked for, so Ordinal"),
    ([10, 9] * 30, None, "auto", "Bernoulli(classes=['9', '10'])", "the values 10 and 9|the values 9 and 10"),
    (RANKS, "poisson", "auto", "Poisson()", "so Poisson: exponential output"),
    (MANY, None, "auto", "Gaussian(loc=29.5", "if they count events, --out poisson"),
    (REALS, None, "auto", "Gaussian(loc=44.5", "a number, so Gaussian: linear output, squared error"),
    (REALS, None, "mae", "Laplace(loc=44.5", "absolute error, which predicts the median"),
    (REALS, None, "huber", "Huber(loc=44.5", "Huber's error"),
    (MANY, None, "poisson", "Poisson()", "Poisson's likelihood")])
def test_the_question_follows_from_the_target(values, out, loss, head, words):
    found = asked(values, out, loss)
    assert repr(found.head(np.arange(N))).startswith(head)
    assert any(part in found.sentence for part in words.split("|")) and "\n" not in found.sentence
    assert len(found.y) == N and found.units == (len(found.classes) if found.out == "softmax" else 1)


def test_rows_without_an_answer_are_left_out():
    found = asked(["a", None, "b"] * 20)
    assert len(found.y) == 40 and found.rows[:3].tolist() == [0, 2, 3] and found.classes == ["a", "b"]
    found = asked([1.5, np.nan, 2.5, np.inf] * 15)
    assert len(found.y) == 30


def test_classes_in_their_order():
    found = asked(THREE, "ordinal", classes=["c", "a"])
    assert found.classes == ["c", "a"] and len(found.y) == 40
    assert asked(THREE, classes=["b", "c"]).out == "sigmoid"


def test_labels_and_several_numbers():
    labels = frame(a=[0, 1] * 30, b=[True, False] * 30)
    found = target.ask(labels, ["a", "b"])
    assert found.out == "sigmoid" and found.y.shape == (N, 2) and "labels" in found.sentence
    numbers = target.ask(frame(a=MANY, b=REALS), ["a", "b"])
    assert numbers.out == "linear" and numbers.head(np.arange(N)).loc == [29.5, 44.5]


@pytest.mark.parametrize("values, out, loss, message", [
    (REALS, "softmax", "auto", "--out: got softmax for 't', which has 60 different numbers such as .*linear"),
    (REALS, "ordinal", "auto", "--out: got ordinal for 't', which has 60 different numbers"),
    (MANY, "softmax", "auto", "--out: got softmax"), (THREE, "linear", "auto", "which has texts such as 'a'"),
    (THREE, "sigmoid", "auto", "which has 3 values, a, b, c, expected softmax"),
    (THREE, "ordinal", "auto", "whose order is not known, expected --classes"),
    ([-1, 0, 1] * 20, "poisson", "auto", "goes down to -1, expected linear"),
    (YES, "sigmoid", "mae", "--loss: got mae with --out sigmoid"),
    (YES, None, "mae", "--out: got linear for 't', which has texts")])
def test_questions_that_are_refused(values, out, loss, message):
    with pytest.raises(Refused, match=message) as caught:
        asked(values, out, loss)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values, message", [
    ([1] * N, r"got '1' in all 60 rows.*nothing to learn"), ([None] * N, "no row that has one"),
    ([np.nan] * N, "no row that has one"), ([f"n{i}" for i in range(N)], "60 different texts in 60 rows")])
def test_targets_that_ask_nothing(values, message):
    with pytest.raises(DataError, match=message):
        asked(values)


def test_several_targets_that_are_refused():
    with pytest.raises(Refused, match="'b' has text, expected labels"):
        target.ask(frame(a=MANY, b=YES), ["a", "b"])
    with pytest.raises(DataError, match="target 'b': got 1 in all 60 rows"):
        target.ask(frame(a=[0, 1] * 30, b=[1] * N), ["a", "b"])
    with pytest.raises(Refused, match="--out: got softmax for the 2 targets, expected linear"):
        target.ask(frame(a=MANY, b=REALS), ["a", "b"], "softmax")


def test_answers_in_another_file():
    head = asked(YES).head(np.arange(N))
    y, rows = target.truths(head, frame(t=["yes", None, "no"]), ["t"])
    assert y.tolist() == [1, 0] and rows.tolist() == [0, 2]
    with pytest.raises(DataError, match="column 't': got 'maybe', expected one of 'no', 'yes'"):
        target.truths(head, frame(t=["yes", "maybe"]), ["t"])
    whole = asked([0, 1] * 30).head(np.arange(N))
    assert target.truths(whole, frame(t=[1.0, np.nan, 0.0]), ["t"])[0].tolist() == [1, 0]


# ---- inputs ------------------------------------------------------------------------------------------------

TABLE = frame(age=[20.0, np.nan, 40.0, 60.0] * 15, size=rng.normal(100, 5, N),
              town=["Rome", "Oslo", None, "Rome"] * 15, member=[True, False, True, True] * 15,
              always=[7] * N, name=[f"n{i}" for i in range(N)], rowid=range(N), t=YES)


def learned(table=TABLE, rows=None):
    return nn.own_data.learn(table, ["t"], rows)


def test_inputs_are_as_scikit_learn_prepares_them():
    columns = learned(rows=np.arange(40))
    X = columns.transform(TABLE)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    theirs = ColumnTransformer([("n", numbers, ["age", "size"]), ("c", OneHotEncoder(), ["town"])])
    theirs = theirs.fit(TABLE[:40]).transform(TABLE)
    ours = X[:, [columns.names.index(name) for name in ("age", "size", "town is Oslo", "town is Rome",
                                                        "town is missing")]]
    np.testing.assert_allclose(ours, np.delete(np.asarray(theirs), 2, axis=1), atol=1e-12)
    assert (X[:, columns.names.index("age is missing")] == TABLE["age"].isna()).all()
    assert (X[:, columns.names.index("member")] == TABLE["member"]).all()
    assert columns.left_out == {"always": "it is 7 everywhere", "rowid": "it numbers the rows",
                                "name": "its 40 texts are nearly all different"}


def test_other_tables_become_the_same_numbers():
    columns = learned()
    X = columns.transform(TABLE, "float32")
    assert X.dtype == np.float32 and X.flags.c_contiguous
    other = TABLE[["t", "town", "member", "size", "age"]].iloc[::-1].assign(more=1)
    assert (columns.transform(other)[::-1] == columns.transform(TABLE)).all()
    as_text = frame(age=["20", None], size=["100", "99.5"], town=["Oslo", "Paris"], member=["true", "False"])
    found = columns.transform(as_text)
    as_numbers = frame(age=[20], size=[100], town=["Oslo"], member=[True])
    assert (found[0] == columns.transform(as_numbers)[0]).all()
    towns = [i for i, name in enumerate(columns.names) if name.startswith("town")]
    assert (found[1, towns] == 0).all(), "an unknown category"


@pytest.mark.parametrize("change, message", [
    ({"age": None}, "got no column 'age', expected 'age', 'size', 'town', 'member', as in training"),
    ({"age": ["old"]}, "column 'age': got 'old', expected a number as in training"),
    ({"member": ["perhaps"]}, "column 'member': got 'perhaps', expected true or false")])
def test_tables_that_are_refused(change, message):
    row = {"age": [20], "size": [100], "town": ["Oslo"], "member": [True], **change}
    with pytest.raises(DataError, match=message):
        learned().transform(frame(**{name: values for name, values in row.items() if values}))


def test_rare_categories_share_a_column():
    towns = [f"town {i % 3}" for i in range(300)] + [f"hamlet {i}" for i in range(40)] * 2
    columns = learned(frame(town=towns, t=["no", "yes"] * 190), np.arange(380))
    category, = columns.columns
    assert category.other and len(category.names) == prepare.CATEGORIES
    X = columns.transform(frame(town=["town 1", "hamlet 39", "never seen"]))
    assert (X.sum(axis=1) == 1).all() and X[2, -1] == 1


def test_what_is_left_of_no_inputs():
    with pytest.raises(DataError, match="no column to predict from beside 't'.*'always' is left out"):
        learned(TABLE[["always", "t"]])


def test_a_column_that_gives_the_answer_away_is_warned_of():
    y = asked(YES).y
    with pytest.warns(UserWarning, match="column 'alive' says what 't' says"):
        table = TABLE.assign(alive=np.where(TABLE["t"] == "yes", "alive", "dead"))
        prepare.learn(table, ["t"], np.arange(N), y)
    price = frame(cents=np.array(REALS) * 100, size=rng.normal(size=N), t=REALS)
    with pytest.warns(UserWarning, match="column 'cents' says"):
        prepare.learn(price, ["t"], np.arange(N), np.array(REALS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare.learn(TABLE, ["t"], np.arange(N), y)


def test_what_was_learned_lies_as_plain_values_in_the_models_file(tmp_path):
    columns = learned()
    X = columns.transform(TABLE)
    model = nn.Sequential([nn.Dense(1)], nn.Bernoulli(), "float64")
    model.preprocessing = columns
    model.fit(X, TABLE["t"], nn.Adam(), verbose=0)
    model.save(tmp_path / "model.npz")
    description, _ = checkpoint.read(tmp_path / "model.npz")
    assert description["preprocessing"]["columns"][0]["median"] == 40.0
    same = nn.load(tmp_path / "model.npz")
    assert same.preprocessing == columns
    assert (same.predict(same.preprocessing.transform(TABLE)) == model.predict(X)).all()


def test_plain_values_that_say_nothing():
    assert preprocessing.remade(None) is None
    with pytest.raises(ValueError, match="got 'code', expected one of columns, pictures"):
        preprocessing.remade({"kind": "code"})
    columns = Columns([Number("a", 0.5, 1.0, 2.0, True), Flag("b", True),
                       Category("c", ["x", None], True)], ["t"])
    assert preprocessing.remade(columns.plain()) == columns and len(columns.names) == 6


# ---- pictures ----------------------------------------------------------------------------------------------

def test_pictures_become_bytes():
    light = np.zeros((3, 8, 8, 1), np.uint8)
    light[:, 3:5, 3:5] = 200
    assert not is_dark_on_white(light) and is_dark_on_white(255 - light)
    assert not is_dark_on_white(np.full((2, 8, 8, 3), 255, np.uint8))
    before = Pictures([8, 8], 1, True, ["class"])
    assert (before.transform(255 - light) == light).all()
    assert preprocessing.remade(before.plain()) == before
    assert top_of(light) == 255 and top_of(light / 255) == 1 and top_of(np.array([0, 16.0])) == 16
    halves = Pictures([8, 8], 1, False, ["class"], top=16.0)
    assert halves.transform(np.full((1, 8, 8), 8))[0, 0, 0, 0] == 128
    for images, message in [(np.full((1, 8, 8), 17), "got pixels from 0 to 17, expected 0 to 16"),
                            (np.zeros((1, 9, 8)), r"got images of shape \(9, 8\), expected \(8, 8, 1\)")]:
        with pytest.raises(DataError, match=message):
            halves.transform(images)
    with pytest.raises(DataError, match="got pixels from -1 to 1, expected 0 to 1, or 0 to 255"):
        top_of(np.array([-1.0, 1.0]))


def test_pictures_in_the_columns_of_a_table():
    table = frame(**{f"p{i}": [i, 0] for i in range(6)})
    before = Pictures([2, 3], 1, False, ["t"], [f"p{i}" for i in range(6)], 5.0)
    assert before.transform(table[[f"p{i}" for i in (5, 4, 3, 2, 1, 0)]])[0].ravel().tolist() == [
        0, 51, 102, 153, 204, 255]
    with pytest.raises(DataError, match="got a table without 'p0', expected its column"):
        before.transform(table.drop(columns="p0"))


# ---- parts and comparison ----------------------------------------------------------------------------------

def test_parts_are_disjoint_and_stratified():
    strata = np.repeat([0, 1, 2], [70, 28, 2])
    parts = prepare.split(100, strata, seed=1)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(100))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 64, "validation": 16, "test": 20}
    for rows in parts["test"], parts["validation"]:
        assert abs((strata[rows] == 0).mean() - 0.7) < 0.06
    assert np.isin([98, 99], parts["train"]).all(), "of a class with few rows"
    again, other = prepare.split(100, strata, seed=1), prepare.split(100, strata, seed=2)
    assert all((again[name] == parts[name]).all() for name in parts)
    assert set(other["test"]) != set(parts["test"])
    assert len(prepare.split(60000, None, 0)["test"]) == 6000
    with pytest.raises(DataError, match="got 19 rows, expected at least 20"):
        prepare.split(19, None, 0)


def test_a_network_beside_simpler_models():
    X = rng.normal(size=(600, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)    # no line tells them apart
    parts = [(X[k:k + 200], y[k:k + 200]) for k in (0, 200, 400)]

    def new_head():
        return nn.Bernoulli(classes=["no", "yes"])

    settings = {"epochs": 60, "batch_size": 20, "patience": 60, "seed": 0}
    model = nn.Sequential([nn.Dense(16), nn.ReLU(), nn.Dense(1)], new_head(), "float64")
    model.fit(*parts[0], nn.Adam(0.02), 60, 20, verbose=0)
    found = compare.compare(model, *parts, new_head, settings)
    assert found.network > 0.9 and found.linear < 0.7 and "is worth it" in found.verdict
    assert found.results()["test_accuracy"] == found.network == model.evaluate(*parts[2])["accuracy"]
    assert str(found).splitlines()[0] == "accuracy of 200 test rows"
    linear = nn.Sequential([nn.Dense(1)], new_head(), "float64")
    linear.fit(*parts[0], nn.Adam(0.02), 5, 20, verbose=0)
    assert "not clearly better than always" in compare.compare(linear, *parts, new_head, settings).verdict


@pytest.mark.parametrize("head, y, words, value", [
    (nn.Gaussian(), np.array([1.0, 2.0, 6.0]), "the mean, 3", 3), (nn.Laplace(), np.array([1.0, 2.0, 6.0]),
                                                                   "the median, 2", 2),
    (nn.Categorical(classes=["a", "b"]), np.array([1, 1, 0]), "always b", 1),
    (nn.Ordinal(["a", "b", "c"]), np.array([0, 1, 2]), "always b", 1)])
def test_the_constant_with_the_least_loss(head, y, words, value):
    if isinstance(head, nn.Gaussian):
        head.build((1,))
    assert compare.constant_of(head, y) == (words, value)
