"""``nnjit train FILE``, ``nnjit predict`` and ``nnjit evaluate``, as a user calls them."""
import csv
import gzip
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pandas
import pytest
import tables
from PIL import Image
from sklearn.datasets import load_digits

import nnjit as nn
from nnjit import cli
from nnjit.callbacks import EarlyStopping
from nnjit.own_data import compare, prepare, training

pytestmark = pytest.mark.compiled    # trains; a table with every question and a few epochs

rng = np.random.default_rng(1)
UCI = load_digits()    # 8 × 8, 0 to 16
DIGITS, LABELS = (UCI.images * 255 / 16).astype(np.uint8), UCI.target
IS_38 = np.isin(LABELS, (3, 8))
QUICK = "--epochs 5 --no-report --no-pictures"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def passengers(here):
    """A table with everything in it: numbers and missing ones, text, booleans, names and row numbers."""
    N = 300
    sex = rng.choice(["female", "male"], N)
    age = np.where(rng.random(N) < 0.2, np.nan, rng.normal(30, 10, N).round())
    survived = np.where(rng.random(N) < np.where(sex == "female", 0.9, 0.1), "yes", "no")
    frame = pandas.DataFrame({
        "PassengerId": range(N), "name": [f"n{i}" for i in range(N)], "sex": sex, "age": age,
        "alone": rng.random(N) < 0.5, "class": rng.integers(1, 4, N),
        "fare": rng.lognormal(3, 1, N).round(2), "port": rng.choice(["S", "C", None], N),
        "survived": survived, "group": rng.choice(["a", "b", "c"], N)})
    frame.to_csv("titanic.csv", index=False)
    return frame


def run(line, capsys, status=0):
    """Run a command; return what it prints."""
    capsys.readouterr()
    assert cli.main(line.split()) == status
    return capsys.readouterr().out


def trained(line, capsys):
    """Train with the run in the folder run; return what that prints, and its run.json."""
    printed = run(f"train {line} --out-dir run --force", capsys)
    with open("run/run.json", encoding="utf-8") as file:
        return printed, json.load(file)


def predicted(file, capsys):
    """Return the rows that predict prints, as dicts."""
    return list(csv.DictReader(io.StringIO(run(f"predict run {file}", capsys))))


# ---- tables ------------------------------------------------------------------------------------------------

def test_a_yes_or_no_question(passengers, capsys):
    printed, told = trained("titanic.csv --target survived", capsys)
    assert "'survived' has the values no and yes: a yes-or-no question, so Bernoulli: sigmoid" in printed
    assert "'PassengerId' is left out: it numbers the rows" in printed and "'name' is left out" in printed
    assert "192 rows to train, 48 to validate, 60 to test" in printed and "always" in printed
    results, settings = told["results"], told["configuration"]
    assert results["test_accuracy"] > 0.75 > results["constant_test_accuracy"]
    assert {"linear_test_accuracy", "test_loss", "validation_loss"} <= results.keys()
    assert settings["target"] == ["survived"]
    assert (settings["out"], settings["loss"]) == ("sigmoid", "crossentropy")
    assert told["data"]["name"] == "titanic.csv" and len(told["data"]["sha256"]["titanic.csv"]) == 64
    with open("run/history.csv", encoding="utf-8") as file:
        assert file.readline().strip() == ("epoch,train_loss,train_accuracy,validation_loss,"
                                           "validation_accuracy,seconds")
    assert {"confusion.png", "report.html", "model.npz"} <= set(os.listdir("run"))
    rows = predicted("titanic.csv", capsys)
    assert list(rows[0]) == ["survived", "p(no)", "p(yes)"]
    assert {row["survived"] for row in rows} == {"no", "yes"}
    right = np.mean([row["survived"] == truth for row, truth in zip(rows, passengers["survived"])])
    assert right > 0.75
    assert all(abs(float(row["p(no)"]) + float(row["p(yes)"]) - 1) < 1e-5 for row in rows)
    told = run("evaluate run titanic.csv", capsys)
    assert f"accuracy  {right:.4f}" in told and "roc_auc" in told and "Which class (row)" in told


def test_predictions_need_the_columns_only(passengers, capsys):
    trained(f"titanic.csv --target survived {QUICK}", capsys)
    whole = run("predict run titanic.csv", capsys)
    other = passengers.drop(columns=["survived", "name", "PassengerId"])
    other[other.columns[::-1]].assign(more=1).to_csv("other.csv", index=False)
    assert run("predict run other.csv", capsys) == run("predict run/model.npz other.csv", capsys) == whole
    other.to_parquet("other.parquet")
    assert run("predict run other.parquet", capsys) == whole
    other.assign(port="Hamburg").to_csv("unknown.csv", index=False)
    assert len(predicted("unknown.csv", capsys)) == 300
    other.drop(columns="age").to_csv("less.csv", index=False)
    assert cli.main(["predict", "run", "less.csv"]) == 1
    assert "less.csv: got no column 'age', expected one of" in capsys.readouterr().err
    assert cli.main(["evaluate", "run", "other.csv"]) == 1
    assert "other.csv: got no column 'survived'" in capsys.readouterr().err


@pytest.mark.parametrize("target, options, head, score", [
    ("group", "", "Categorical(classes=['a', 'b', 'c'])", "accuracy"),
    ("class", "--out ordinal", "Ordinal(classes=['1', '2', '3'])", "mae"),
    ("fare", "", "Gaussian(", "rmse"), ("fare", "--loss mae", "Laplace(", "mae"),
    ("fare", "--loss huber", "Huber(", "mae"), ("class", "--out poisson", "Poisson()", "rmse"),
    ("sex", "--loss mse --out sigmoid", "SquaredError(activation='sigmoid', classes=['female', 'male'])",
     "accuracy"),
    ("class,age", "", "Gaussian(loc=[", "rmse"),
    ("alone", "", "Bernoulli(classes=['False', 'True'])", "accuracy")])
@pytest.mark.filterwarnings("ignore:SquaredError")
def test_every_question(passengers, capsys, target, options, head, score):
    _, told = trained(f"titanic.csv --target {target} {options} {QUICK}", capsys)
    model = nn.load("run/model.npz")
    assert repr(model.head).startswith(head) and model.preprocessing.targets == target.split(",")
    assert f"test_{score}" in told["results"] and f"linear_test_{score}" in told["results"]
    rows = predicted("titanic.csv", capsys)
    assert len(rows) == 300 and list(rows[0])[:len(target.split(","))] == target.split(",")
    assert "loss" in run("evaluate run titanic.csv", capsys)


def test_labels(here, capsys):
    X = rng.normal(size=(200, 3))
    frame = pandas.DataFrame(X, columns=list("abc")).assign(tall=(X[:, 0] > 0).astype(int), wide=X[:, 1] > 0)
    frame.to_csv("things.csv", index=False)
    printed, _ = trained(f"things.csv --target tall --target wide {QUICK}", capsys)
    assert "tall and wide have only the values 0 and 1: labels" in printed
    assert list(predicted("things.csv", capsys)[0]) == ["tall", "wide", "p(tall)", "p(wide)"]
    assert "exact_match" in run("evaluate run things.csv", capsys)


def test_rows_to_test_with_can_be_given(passengers, capsys):
    passengers[:60].to_csv("test.csv", index=False)
    printed, told = trained(f"titanic.csv --target survived --test test.csv {QUICK}", capsys)
    assert "240 rows to train, 60 to validate, 60 to test" in printed
    assert set(told["data"]["sha256"]) == {"titanic.csv", "test.csv"}


def test_no_hidden_layer_and_other_settings(passengers, capsys):
    printed, told = trained(f"titanic.csv --target survived --hidden none --lr 0.01 --batch-size 16 "
                            f"--optimizer sgd --train-size 100 --dtype float32 --seed 3 {QUICK}", capsys)
    model = nn.load("run/model.npz")
    assert len(model.layers) == 1 and model.dtype == np.float32 and "100 rows to train" in printed
    assert "linear model may do" not in printed and told["configuration"]["batch_size"] == 16


def test_the_same_bits_with_the_same_seed(passengers, capsys):
    files = []
    for seed in 1, 1, 2:
        trained(f"titanic.csv --target survived --seed {seed} {QUICK}", capsys)
        files.append(nn.load("run/model.npz"))
    assert (files[0].vector == files[1].vector).all() and not (files[0].vector == files[2].vector).all()


def test_a_table_goes_through_a_sweep(passengers, capsys):
    printed = run("sweep titanic.csv --target survived --hidden 4/8 --seeds 2 --epochs 3 --out-dir sweep "
                  "--no-report", capsys)
    assert printed.splitlines()[1].split()[:3] == ["hidden", "runs", "validation_accuracy"]
    assert "best     --hidden" in printed


@pytest.mark.parametrize("line, message", [
    ("titanic.csv", "argument --target: got none, expected a column of titanic.csv: 'PassengerId', 'name'"),
    ("titanic.csv --target Survived", "got no column 'Survived', expected .*; did you mean 'survived'?"),
    ("titanic.csv --target fare --out softmax", "argument --out: got softmax for 'fare', which has"),
    ("titanic.csv --target survived --data mnist", "argument --data: got mnist with the file titanic.csv"),
    ("titanic.csv --target survived --model cnn", "argument --model: got cnn for a table, expected mlp"),
    ("titanic.csv --target survived --model gru", "argument --model: got gru with a file"),
    ("titanic.csv --target survived --gradient book", "argument --gradient: got book with a file"),
    ("titanic.csv --target survived --outliers 0.1", "argument --outliers: got 0.1 with a file"),
    ("titanic.csv --target survived --image 28x28", "argument --image: got 28 × 28, 784 numbers, expected"),
    ("titanic.csv --target survived --image 28", "argument --image: got '28', expected HxW, such as 28x28"),
    ("titanic.csv --target survived --train-size 999", "argument --train-size: got 999, expected at most"),
    ("titanic.csv --target survived,sex", "argument --target: got 2 columns, of which 'survived' has text"),
    ("--target survived", "argument --target: got it without a FILE, expected one, such as"),
    ("--patience 3", "argument --patience: got it without a FILE")])
def test_bad_usage(passengers, capsys, line, message):
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", *line.split()])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and re.search(message.replace("(", r"\("), printed)


@pytest.mark.parametrize("content, message", [
    ("a,t\n" + "1,2\n" * 40, "target 't': got '2' in all 40 rows, expected at least two different values"),
    ("a,t\n" + "1,\n" * 40, "target 't': got no row that has one"),
    ("t\n" + "1\n0\n" * 40, "got no column to predict from beside 't'"),
    ("a,t\n" + "1,0\n2,1\n" * 4, "got 8 rows, expected at least 20"), ("", "got an empty file"),
    ("<!DOCTYPE html>", "got a web page")])
def test_files_that_are_refused(here, capsys, content, message):
    with open("bad.csv", "w") as file:
        file.write(content)
    assert cli.main("train bad.csv --target t".split()) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("nnjit: error: bad.csv: ") and message in printed and printed.count("\n") == 1
    assert not os.path.exists("runs"), "nothing is left of what never began"


def test_runs_that_can_not_predict(here, capsys):
    assert cli.main("predict none titanic.csv".split()) == 1
    assert "got no such file, expected the folder of a run" in capsys.readouterr().err
    run("train --data iris --epochs 1 --out-dir iris --no-report --no-pictures", capsys)
    assert cli.main("predict iris titanic.csv".split()) == 1
    assert "a network that was not trained on a file" in capsys.readouterr().err


def test_interrupted_it_goes_on_to_the_bit(passengers):
    def start(*options):
        return subprocess.Popen([sys.executable, "-m", "nnjit", "train", *options, "--quiet"],
                                stdout=subprocess.PIPE, text=True)

    line = ("titanic.csv --target survived --epochs 1500 --patience 1500 --batch-size 4 --no-report "
            "--no-pictures --out-dir").split()
    with start(*line, "whole") as whole, start(*line, "part") as part:
        while not os.path.isdir("part"):
            assert part.poll() is None
        try:
            part.wait(timeout=3)
        except subprocess.TimeoutExpired:
            part.send_signal(signal.SIGINT)
        said, _ = part.communicate(timeout=100)
        if part.returncode == 130 and "go on" in said:
            with start("--resume", "part") as rest:
                rest.communicate(timeout=200)
        whole.communicate(timeout=200)
    assert (nn.load("whole/model.npz").vector == nn.load("part/model.npz").vector).all()


# ---- images and arrays -------------------------------------------------------------------------------------

def save_images(folder, images, labels):
    for i, (pixels, label) in enumerate(zip(images, labels)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / str(label) / f"{i:03}.png")


def test_a_folder_of_images(here, capsys):
    images, names = DIGITS[IS_38], np.where(LABELS[IS_38] == 3, "three", "eight")
    save_images(here / "digits", 255 - images[:80], names[:80])
    printed, told = trained("digits --epochs 8", capsys)
    assert "80 images, grey, 8 × 8" in printed and "dark on white; they are inverted" in printed
    assert "has the values eight and three: a yes-or-no question" in printed and "Conv2D(8, 3" in printed
    assert told["configuration"]["model"] == "cnn" and told["configuration"]["dtype"] == "float32"
    assert {"answers.png", "confusion.png", "filters.png"} <= set(os.listdir("run"))
    save_images(here / "new", 255 - images[80:83], [""] * 3)
    rows = predicted("new", capsys)
    assert [row["file"] for row in rows] == ["000.png", "001.png", "002.png"]
    assert list(rows[0]) == ["file", "class", "p(eight)", "p(three)"]
    assert predicted("new/001.png", capsys)[0]["class"] == rows[1]["class"]
    assert "accuracy" in run("evaluate run digits", capsys)


def test_parts_in_folders_and_a_network_of_dense_layers(here, capsys):
    for part, some in ("train", slice(0, 60)), ("test", slice(60, 90)):
        save_images(here / "digits" / part, DIGITS[IS_38][some], LABELS[IS_38][some])
    printed, _ = trained(f"digits --model mlp {QUICK}", capsys)
    assert "48 rows to train, 12 to validate, 30 to test" in printed
    assert type(nn.load("run/model.npz").layers[0]) is nn.Flatten


def test_images_in_the_rows_of_a_table(here, capsys):
    frame = pandas.DataFrame(UCI.data[:200], columns=[f"p{i}" for i in range(64)])
    frame.insert(0, "label", LABELS[:200])
    frame.to_csv("digits.csv", index=False)
    printed, _ = trained(f"digits.csv --target label --image 8x8 {QUICK}", capsys)
    assert "200 images of 8 × 8 in 64 columns" in printed and "ordinal" not in printed
    assert len(predicted("digits.csv", capsys)) == 200


@pytest.mark.parametrize("arrays, said", [
    ({"x_train": DIGITS[:80], "y_train": LABELS[:80], "x_test": DIGITS[80:110], "y_test": LABELS[80:110]},
     "64 rows to train, 16 to validate, 30 to test"),
    ({"X": DIGITS[:80] / 255, "y": np.eye(10)[LABELS[:80]]}, "80 images of 8 × 8"),
    ({"data": rng.normal(size=(60, 4)), "target": np.array(["a", "b"] * 30)}, "60 rows of 4 numbers"),
    ({"train_images": rng.normal(size=(60, 4)), "train_labels": rng.normal(size=(60, 2))}, "y0 and y1 are")])
def test_arrays(here, capsys, arrays, said):
    np.savez("data.npz", **arrays)
    printed, _ = trained(f"data.npz {QUICK}", capsys)
    assert said in printed
    assert len(predicted("data.npz", capsys)) == len(next(iter(arrays.values())))
    assert "loss" in run("evaluate run data.npz", capsys)


def test_arrays_that_are_refused(here, capsys):
    for arrays, message in [({"X": np.array([{}], object)}, "got Python objects"),
                            ({"foo": np.ones(3)}, "got the arrays 'foo', expected X and y"),
                            ({"X": np.ones((30, 2)), "y": np.ones(29)}, "got answers of shape (29,)"),
                            ({"X": np.array(["a"] * 30), "y": np.ones(30)}, "expected numbers")]:
        np.savez("data.npz", **arrays)
        assert cli.main(["train", "data.npz"]) == 1
        assert message in capsys.readouterr().err


def write_idx(path, array):
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("prefix, dash, suffix",
                         [("", "-", ".gz"), ("", ".", ""), ("emnist-letters-", "-", ".gz")])
def test_idx_files(here, capsys, prefix, dash, suffix):
    for part, some in ("train", slice(0, 100)), ("t10k" if not prefix else "test", slice(100, 150)):
        images = DIGITS[some]
        images = images.swapaxes(1, 2) if prefix else images
        write_idx(here / f"{prefix}{part}-images{dash}idx3-ubyte{suffix}", np.ascontiguousarray(images))
        write_idx(here / f"{prefix}{part}-labels{dash}idx1-ubyte{suffix}",
                  (LABELS[some] + (1 if prefix else 0)).astype(np.uint8))
    printed, _ = trained(f". {QUICK}", capsys)
    assert "100 images of 8 × 8" in printed and "50 to test" in printed
    assert ("turned upright" in printed) == bool(prefix)
    os.remove(f"{prefix}train-labels{dash}idx1-ubyte{suffix}")
    assert cli.main(["train", "."]) == 1
    assert "got no labels of the train part" in capsys.readouterr().err


# ---- real tables -------------------------------------------------------------------------------------------

def losses_of(name, folder):
    """Return the head, and the losses of the rows of the test part: the network's and the others'."""
    path, answer = tables.write_table(name, folder), tables.TARGETS[name]
    data = training.load(path, [answer], None, None, None, 0, True, out=None, loss="auto", classes=None)
    args = Namespace(**training.settings(data), model="mlp", dtype=data.dtype)
    model = training.new_network(data, args, data.new_head())
    train, validation, (X, y) = (data.parts[part] for part in ("train", "validation", "test"))
    model.fit(*train, nn.Adam(args.lr), args.epochs, args.batch_size, validation_data=validation, verbose=0,
              callbacks=[EarlyStopping(patience=args.patience, restore_best_weights=True)])
    _, constant = compare.constant_of(model.head, train[1])
    found = {"network": compare.answers_of(model, X), "constant": np.broadcast_to(constant, y.shape)}
    frame = nn.datasets.read_table(path)
    kept, rows = frame.iloc[data.target.rows], prepare.split(len(data.target.y), data.target.strata, 0)
    known = np.concatenate([rows["train"], rows["validation"]])
    for kind, pipeline in tables.others(frame, answer, data.target.classes).items():
        found[kind] = pipeline.fit(kept.iloc[known], data.target.y[known]).predict(kept.iloc[rows["test"]])
    return {kind: compare.losses_of(model.head, y, given) for kind, given in found.items()}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_eight_real_tables(tmp_path):
    """The network is better than the constant, and on most tables as good as the better of scikit-learn's."""
    as_good = []
    for name in tables.TARGETS:
        losses = losses_of(name, tmp_path)
        assert losses["network"].mean() < losses["constant"].mean(), name
        better = min(losses["boosting"], losses["linear"], key=np.mean)
        difference = losses["network"] - better
        as_good.append(difference.mean() <= 2 * difference.std() / len(difference)**0.5)
    assert sum(as_good) >= 6, dict(zip(tables.TARGETS, as_good))


def test_memory_of_many_rows(run_python, tmp_path):
    """A million rows of 20 numbers take at most three times their memory, from the file to the parts."""
    found = run_python("""
import json, resource, numpy as np, pandas, sklearn.model_selection, sklearn.preprocessing
from pathlib import Path
from nnjit.own_data import training
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
import pyarrow, pyarrow.csv, subprocess, sys
subprocess.run([sys.executable, "-c", '''
import numpy as np, pyarrow, pyarrow.csv
rng = np.random.default_rng(0)
columns = {f"x{i}": rng.integers(-9999, 9999, 10**6) / 1000 for i in range(20)}
pyarrow.csv.write_csv(pyarrow.table({**columns, "y": rng.integers(2, size=10**6)}), "big.csv")
'''], check=True)
Path("small.csv").write_text("a,y\\\\n" + "1,0\\\\n2,1\\\\n1,1\\\\n" * 30)
how = dict(out=None, loss="auto", classes=None)
training.load(Path("small.csv"), ["y"], None, None, None, 0, True, **how)
before = peak()
data = training.load(Path("big.csv"), ["y"], None, None, None, 0, True, **how)
print(json.dumps([peak() - before, 21 * 8 * 10**6, len(data.parts["train"][0])]))
""".replace("\\\\n", "\\n"))
    used, numbers, rows = found
    assert rows == 810000 and used < 3 * numbers
