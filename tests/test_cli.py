"""The command: what it prints, saves and returns. Trainings run in new processes, as a user starts them."""
import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

import numba
import numpy as np
import pytest

import nnjit as nn
from nnjit import book, cli, datasets
from nnjit._numba import jit
from nnjit.cli import train as cli_train

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
MODULE = [sys.executable, "-m", "nnjit"]
COLUMNS = ["epoch", "train_loss", "train_{}", "test_loss", "test_{}", "seconds"]

trains = pytest.mark.skipif(bool(numba.config.DISABLE_JIT),
                            reason="trains on whole images: minutes, not compiled")
draws = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and terminals")


def environment(**variables):
    """Return the variables of a process in which warnings are errors."""
    return {**os.environ, "PYTHONWARNINGS": "error", **variables}


def call(*command, cwd, **variables):
    return subprocess.run([str(word) for word in command], cwd=cwd, env=environment(**variables),
                          capture_output=True, text=True, timeout=300)


def read_history(folder, metric="accuracy"):
    """Return the rows of ``history.csv`` as numbers: epoch, training loss and metric, test loss and metric.

    The order of the seconds is checked. What was not measured is None.
    """
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == [name.format(metric) for name in COLUMNS]
    seconds = [float(row[-1]) for row in rows]
    assert seconds == sorted(seconds)
    return [(int(row[0]), *(float(cell) if cell else None for cell in row[1:-1])) for row in rows]


def read_run(folder):
    def refuse(constant):
        pytest.fail(f"run.json holds {constant}, which is no JSON")

    return json.loads((folder / "run.json").read_text(encoding="utf-8"), parse_constant=refuse)


def accuracy_of(folder, dtype):
    model = nn.load(folder / "model.npz")
    _, (x, y) = datasets.load_digits().rows(dtype)
    assert model.dtype == dtype
    return np.mean(model.predict(x) == y)


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


# ---- train -------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """The folder and the process of ``nnjit train`` with the defaults, but for data, gradient and threads."""
    cwd = tmp_path_factory.mktemp("train")
    script = Path(sysconfig.get_path("scripts")) / "nnjit"
    if not script.exists():
        pytest.skip("nnjit is not installed here: there is no console script")
    done = call(script, *"train --data digits --gradient book --threads 1".split(), cwd=cwd)
    assert done.returncode == 0, done.stderr
    folder, = (cwd / "runs").iterdir()
    return folder, done


@trains
def test_the_defaults_are_the_books(first_run):
    history = read_history(first_run[0])
    assert [row[0] for row in history] == list(range(300))
    run = book.run("tanh", "book", data=datasets.load_digits(), iterations=30)
    expected = zip(run.iteration, run.train_loss, run.train_accuracy, run.test_accuracy)
    found = [(*row[:3], row[4]) for row in history[:30]]
    np.testing.assert_allclose(found, list(expected), rtol=1e-9)
    log = run.model.history.history
    np.testing.assert_allclose([row[3] for row in history[:30]], log["val_loss"], rtol=1e-9)


@trains
def test_run_json_tells_how_a_result_came_about(first_run):
    folder, _ = first_run
    content, history = read_run(folder), read_history(folder)
    assert content["configuration"] == {
        "act": "tanh", "out": "softmax", "loss": "crossentropy", "model": "mlp", "classes": None,
        "outliers": 0.0, "distributed": False, "hidden": [100], "dropout": 0.5, "optimizer": "sgd",
        "lr": 0.02, "epochs": 300,
        "batch_size": 100, "train_size": 1000, "gradient": "book", "eval_every": 1, "shuffle": False,
        "data": "digits", "data_dir": None, "dtype": "float64", "seed": 0, "threads": 1, "out_dir": None}
    assert content["versions"]["nnjit"] == nn.__version__
    assert content["versions"]["numpy"] == np.__version__
    assert content["threads"] == 1
    data = datasets.load_digits()
    assert content["data"] == {"name": data.name, "source": data.source, "sha256": data.checksums}
    results = content["results"]
    assert results["epochs"] == 300
    names = "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"
    assert tuple(results[name] for name in names) == history[-1]
    best = max(row[4] for row in history)
    assert results["best_test_accuracy"] == best == history[results["best_epoch"]][4]
    assert results["seconds"] > 0
    assert (content["threads_set"], content["threads_chosen"], content["threads_changed"]) == (1, 1, 0)


@trains
def test_the_saved_model_is_the_trained_one(first_run):
    folder, _ = first_run
    assert accuracy_of(folder, "float64") == read_history(folder)[-1][4] > 0.85


@trains
@draws
def test_pictures_are_saved(first_run):
    folder, done = first_run
    assert all(is_png(path) for path in folder.glob("*.png"))
    files = ("answers.png, confusion.png, curves.png, details.json, history.csv, loss.png, mistakes.png, "
             "model.npz, report.html, run.json, weights.png")
    assert done.stdout.endswith(f"saved    {files} in {folder.relative_to(folder.parents[1])}\n")


@trains
def test_what_is_printed(first_run):
    folder, done = first_run
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["data", "asked", "network", "loss", "training", "result", "saved"]
    assert ("loss     cross-entropy, the negative log-likelihood of the multinoulli distribution that a "
            "softmax output assumes\n") in done.stdout
    assert f"epoch 299: test accuracy {read_history(folder)[-1][4]:.4f}" in done.stdout
    progress = done.stderr.splitlines()    # not a terminal: about ten plain lines
    if progress[0].startswith("compiling"):
        assert re.fullmatch(r"compiled \d+ kernels? in .* s", progress[1])
        progress = [line for line in progress if not line.startswith("compil")]
    assert [line.split()[1] for line in progress] == [f"{epoch}/300" for epoch in [*range(1, 300, 30), 300]]
    assert all(line.startswith("epoch ") for line in progress)
    assert "\r" not in done.stderr


@trains
def test_every_option_reaches_the_training(tmp_path):
    """The command does what the same calls of the library do."""
    options = ("--act sigmoid --out softmax --hidden 24,16 --dropout 0.2 --lr 0.01 --optimizer adam "
               "--epochs 6 --seed 3 --batch-size 64 --train-size 300 --data digits --dtype float32 "
               "--gradient exact --eval-every 4 --shuffle --quiet --out-dir deep/out")
    done = call(sys.executable, SCRIPTS / "train.py", *options.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["result", "saved"]
    train, test = datasets.load_digits().rows("float32", 300)
    model = book.network(book.SIGMOID, np.random.RandomState(3), partial(nn.Dropout, 0.2), (24, 16),
                         "float32")
    history = model.fit(*train, nn.Adam(0.01), 6, 64, validation_data=test, seed=3, verbose=0,
                        validate_every=4)
    log = history.history
    assert [len(array) for array in model.parameters().values()] == [784, 24, 16]
    tested = dict(zip((0, 4, 5), zip(log["val_loss"], log["val_accuracy"])))
    found = read_history(tmp_path / "deep/out")
    expected = [(i, log["loss"][i], log["accuracy"][i], *tested.get(i, (np.nan, np.nan))) for i in range(6)]
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-5)
    assert accuracy_of(tmp_path / "deep/out", "float32") == found[-1][4]
    content = read_run(tmp_path / "deep/out")
    assert (content["configuration"]["lr"], content["configuration"]["seed"]) == (0.01, 3)
    assert content["threads_set"] == "auto"
    assert 1 <= content["threads_chosen"] <= numba.config.NUMBA_NUM_THREADS
    assert content["threads"] == numba.config.NUMBA_NUM_THREADS


@trains
@pytest.mark.parametrize("line, settings", [
    ("--act relu --gradient book", {"epochs": 100, "lr": 0.2}),
    ("--act sigmoid", {"epochs": 300, "lr": 0.2}),
    ("--act relu --optimizer adam", {"epochs": 100, "lr": 0.001}),
    ("", {"act": "tanh", "out": "softmax", "loss": "crossentropy", "hidden": (100,), "dropout": 0.5,
          "optimizer": "sgd", "lr": 0.02, "epochs": 300, "batch_size": 100, "shuffle": False}),
    ("--data mnist --shuffle", {"optimizer": "sgd", "epochs": 300, "shuffle": True}),
    ("--data pairs",
     {"out": "sigmoid", "loss": "crossentropy", "optimizer": "adam", "epochs": 100, "shuffle": True}),
    ("--data iris",
     {"out": "linear", "loss": "mse", "act": "linear", "hidden": (32,), "dropout": 0, "optimizer": "adam",
      "lr": 0.001, "epochs": 50, "batch_size": 32}),
    ("--data iris --loss mae --lr 0.1 --no-shuffle", {"loss": "mae", "lr": 0.1, "shuffle": False}),
    ("--out ordinal --act relu", {"loss": "crossentropy", "optimizer": "adam", "epochs": 100, "lr": 0.001}),
    ("--out poisson --optimizer sgd", {"loss": "poisson", "lr": 0.02}),
    ("--data iris --optimizer sgd", {"lr": 0.001}),
    ("--out softmax --loss mse", {"optimizer": "adam"}),
])
def test_defaults_depend_on_other_options(line, settings):
    args = sys.modules["nnjit.cli.main"]._parser().parse_args(["train", *line.split()])
    cli_train.decide(args)
    assert {name: getattr(args, name) for name in settings} == settings


@trains
@pytest.mark.parametrize("line, asked, loss, metric, files", [
    ("--data iris", "how wide is the sepal", "squared error, .* normal distribution .* the mean",
     "mean absolute error", ""),
    ("--data iris --loss mae --outliers 0.1", "how wide", "absolute error, .* Laplace .* the median",
     "mean absolute error", ""),
    ("--data iris --out softmax", "which species", "cross-entropy, .* multinoulli", "accuracy", ""),
    ("--data digits --out ordinal", "how large", "cross-entropy of every 'is it above k\\?'",
     "mean absolute error", "weights.png"),
    ("--data digits --out ordinal --train-size 2", "how large", "cross-entropy", "mean absolute error",
     "weights.png"),
    ("--data digits --out linear --loss huber", "how large", "Huber's, .* between mean and median",
     "mean absolute error", "weights.png"),
    ("--data digits --out poisson", "how large", "Poisson's, .* a rate", "mean absolute error",
     "weights.png"),
    ("--data digits --out sigmoid", "is it 0\\? is it 1\\? and so on, 10 times",
     "binary cross-entropy, .* Bernoulli", "accuracy", "weights.png"),
    ("--data digits --out sigmoid --classes 3,8", "is it 8, and not 3", "binary cross-entropy", "accuracy",
     "weights.png"),
    ("--data digits --out softmax --classes 3,8,5", "which of 3 classes", "cross-entropy", "accuracy",
     "weights.png"),
    ("--data pairs --train-size 200", "which digits are present", "binary cross-entropy", "accuracy",
     "weights.png"),
])
def test_every_question_is_trained_and_explained(line, asked, loss, metric, files, tmp_path, capsys,
                                                 monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda *given, **options: datasets.load_digits())
    assert cli.main(f"train {line} --epochs 2 --dtype float32 --out-dir {tmp_path}".split()) == 0
    out = capsys.readouterr().out
    assert re.search(f"^asked    .*{asked}", out, re.M) and re.search(f"^loss     {loss}", out, re.M)
    assert f": test {metric} " in out and f", train {metric} " in out
    name = "accuracy" if metric == "accuracy" else "mae"
    assert read_run(tmp_path)["results"][f"test_{name}"] == read_history(tmp_path, name)[-1][4]
    nn.load(tmp_path / "model.npz")
    if importlib.util.find_spec("matplotlib"):
        assert is_png(tmp_path / "curves.png") and (tmp_path / "weights.png").exists() == bool(files)


@trains
@pytest.mark.parametrize("out", ["softmax", "sigmoid"])
def test_squared_error_of_classes_warns_in_one_line(out, tmp_path, capsys):
    """Also where warnings are errors, as here."""
    line = f"train --data digits --out {out} --loss mse --epochs 1 --dtype float32 --quiet " \
           f"--out-dir {tmp_path}"
    assert cli.main(line.split()) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(f"nnjit: warning: SquaredError: the {out} saturates")


@trains
def test_absolute_error_holds_where_outliers_pull_the_mean_away(tmp_path, capsys):
    found = {}
    for loss in ("mse", "mae"):
        line = f"train --data iris --outliers 0.1 --loss {loss} --out-dir {tmp_path / loss}"
        assert cli.main(line.split()) == 0
        found[loss] = read_run(tmp_path / loss)["results"]["test_mae"]    # the targets of the test are right
    assert found["mae"] < 0.5 < 0.55 < found["mse"]


@trains
def test_a_training_that_diverges_stops_is_saved_and_exits_1(tmp_path, capsys):
    status = cli.main(f"train --data digits --act relu --lr 1e200 --epochs 9 --out-dir {tmp_path}".split())
    assert status == 1
    out, err = capsys.readouterr()
    assert "diverged" in out and "best nan" not in out
    warned = [line for line in err.splitlines() if line.startswith("nnjit: warning: ")]
    assert len(warned) == 1 and "fit: got a loss that is not finite in epoch 0" in warned[0]
    assert read_run(tmp_path)["results"]["train_loss"] is None
    history = read_history(tmp_path)
    assert len(history) == 1 and np.isnan(history[0][1]) and np.isnan(history[0][2])
    assert (tmp_path / "model.npz").exists()


# ---- book --------------------------------------------------------------------------------------------------

def tables(text):
    """Return the tables that ``nnjit book`` prints: {name: (header, rows of numbers)}."""
    found = {}
    for paragraph in text.split("\n\n"):
        title, *lines = paragraph.strip().splitlines()
        if re.search(r" epochs?, accuracy$", title):
            found[title.split(":")[0]] = lines[0], np.array([line.split() for line in lines[1:]], float)
    return found


def check_book_folders(folder):
    """Return the histories of the four runs, {(name, gradient): rows}."""
    histories = {(name, gradient): read_history(folder / f"{name}-{gradient}")
                 for name in ("tanh", "relu") for gradient in ("book", "exact")}
    for (name, gradient), history in histories.items():
        assert [row[0] for row in history] == list(range(book.EXPERIMENTS[name].iterations))
        configuration = read_run(folder / f"{name}-{gradient}")["configuration"]
        assert (configuration["act"], configuration["gradient"]) == (name, gradient)
    return histories


def check_book_tables(found, histories):
    """Check the tables of both experiments beside the book's rows."""
    assert list(found) == ["tanh", "relu"]
    for name, (header, rows) in found.items():
        assert header == ("epoch  book test  our test, literal  our test, exact  book train  our train, "
                          "literal  our train, exact")
        printed = book.published()[book.EXPERIMENTS[name].key]["printed"]
        assert rows[:, [0, 1, 4]].tolist() == [[row["iteration"], row["test"], row["train"]]
                                               for row in printed]
        for gradient, columns in [("book", [0, 5, 2]), ("exact", [0, 6, 3])]:
            ours = [(row[0], row[2], row[4]) for row in histories[name, gradient][::10]]
            np.testing.assert_allclose(rows[:, columns], ours, atol=5.1e-5)


@trains
def test_book_without_mnist(tmp_path):
    """No folder has MNIST, downloads fail, and there is no matplotlib: the embedded images are the book's."""
    unreachable = "http://127.0.0.1:9"
    code = """if True:
        import pathlib, sys
        sys.modules["matplotlib"] = None
        from nnjit import cli, datasets
        datasets.files.default_folder = lambda name="mnist": pathlib.Path("data", name).absolute()
        sys.exit(cli.main(["book", "--dtype", "float32", "--threads", "1", "--out-dir", "out"]))"""
    done = call(sys.executable, "-c", code, cwd=tmp_path, NNJIT_DATA=str(tmp_path), no_proxy="", NO_PROXY="",
                **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"),
                                unreachable))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == (
        "data     MNIST, the book's 11,000 images, embedded: 1,000 images to train, 10,000 to test")
    check_book_tables(tables(done.stdout), check_book_folders(tmp_path / "out"))
    assert "\n  290     0.8692" in done.stdout
    assert book.DIFFERENCE in done.stdout
    assert "s to compile; float32" in done.stdout
    assert done.stdout.endswith(
        "relu-book, relu-exact, report.html, tanh-book, tanh-exact in out; no pictures without matplotlib\n")


@trains
@pytest.mark.skipif("NNJIT_DATA" not in os.environ,
                    reason="set NNJIT_DATA to the parent of MNIST's folder mnist")
def test_book_on_mnist(tmp_path):
    done = call(sys.executable, SCRIPTS / "book.py", "--quiet", "--dtype", "float32", "--out-dir", "out",
                cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    check_book_tables(tables(done.stdout), check_book_folders(tmp_path / "out"))
    if importlib.util.find_spec("matplotlib"):
        assert is_png(tmp_path / "out" / "comparison.png")
        pictures = {path.name for path in (tmp_path / "out" / "tanh-book").glob("*.png") if is_png(path)}
        assert pictures == {f"{name}.png"
                            for name in ("answers", "confusion", "curves", "loss", "mistakes", "weights")}


@trains
def test_book_on_other_data_prints_our_columns_only(tmp_path, capsys):
    assert cli.main(f"book --data digits --dtype float32 --quiet --out-dir {tmp_path}".split()) == 0
    histories, found = check_book_folders(tmp_path), tables(capsys.readouterr().out)
    assert list(found) == ["tanh", "relu"]
    for name, (header, rows) in found.items():
        assert header == "epoch  our test, literal  our test, exact  our train, literal  our train, exact"
        assert rows[:, 0].tolist() == list(range(0, book.EXPERIMENTS[name].iterations, 10))
        for gradient, columns in [("book", [0, 3, 1]), ("exact", [0, 4, 2])]:
            ours = [(row[0], row[2], row[4]) for row in histories[name, gradient][::10]]
            np.testing.assert_allclose(rows[:, columns], ours, atol=5.1e-5)


# ---- doctor, help ------------------------------------------------------------------------------------------

def test_doctor(capsys, monkeypatch):
    monkeypatch.setenv("NNJIT_DATA", "/some/data")
    assert cli.main(["doctor"]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    rows = {name: value.strip() for name, value in lines.items()}
    assert rows["nnjit"] == nn.__version__
    assert (rows["numba"], rows["numpy"]) == (numba.__version__, np.__version__)
    assert rows["cores"] == str(os.cpu_count())
    assert rows["threads"] == str(nn.get_threads())
    assert rows["threading layer"] in ("omp", "tbb", "workqueue")
    assert "openblas" in rows["BLAS"] or rows["BLAS"]
    assert rows["data folder"] == str(datasets.default_folder().parent)
    assert rows["NNJIT_DATA"] == "/some/data"
    assert all(rows[name] for name in ("python", "llvmlite", "scipy", "processor", "kernel cache"))
    assert rows["compiler"] == jit.describe_compiler()


@pytest.mark.parametrize("line, words", [
    ("--help", "train predict evaluate export book compile bench figures doctor --version"),
    ("train --help", "--act {tanh,relu,sigmoid,linear} --out {softmax,sigmoid,linear,ordinal,poisson} "
     "--loss {auto,crossentropy,mse,mae,huber,poisson} --model {mlp,cnn,gru,resnet} --classes --outliers "
     "--hidden --dropout --optimizer {sgd,adam} --lr --epochs --batch-size --train-size "
     "--data {auto,mnist,digits,pairs,iris,rows,cifar10,fashion} --data-dir --dtype {float32,float64} "
     "--gradient {exact,book} --seed --threads --eval-every --shuffle --out-dir --force --quiet --resume "
     "FILE --target --test --image --patience"),
    ("figures --help", "--out-dir"),
    ("compile --help", "NAME book mnist-cnn cifar10 --dtype --processes"),
    ("book --help", "--epochs --force --data --data-dir --dtype --seed --threads --out-dir --quiet"),
])
def test_help(line, words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(line.split())
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in words.split())


# ---- bad usage ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, expected", [
    ("train --epochs 0", "argument --epochs: got '0', expected a whole number of at least 1"),
    ("train --epochs 1.5", "argument --epochs: got '1.5', expected a whole number of at least 1"),
    ("train --batch-size 0", "argument --batch-size: got '0', expected a whole number of at least 1"),
    ("train --eval-every 0", "argument --eval-every: got '0', expected a whole number of at least 1"),
    ("train --lr -1", "argument --lr: got '-1', expected a number above 0"),
    ("train --lr 0", "argument --lr: got '0', expected a number above 0"),
    ("train --lr nan", "argument --lr: got 'nan', expected a number above 0"),
    ("train --lr fast", "argument --lr: got 'fast', expected a number above 0"),
    ("train --dropout 1", "argument --dropout: got '1', expected a number from 0 to below 1"),
    ("train --dropout -0.1", "argument --dropout: got '-0.1', expected a number from 0 to below 1"),
    ("train --hidden 0", "argument --hidden: got '0', expected a whole number of at least 1"),
    ("train --hidden 10,,5", "argument --hidden: got '', expected a whole number of at least 1"),
    ("train --threads 0", "argument --threads: got '0', expected a whole number from 1 to"),
    ("train --threads 100000", "argument --threads: got '100000', expected a whole number from 1 to"),
    ("train --seed -1", "argument --seed: got '-1', expected a whole number from 0 to 4294967295"),
    ("book --seed 4294967296",
     "argument --seed: got '4294967296', expected a whole number from 0 to 4294967295"),
    ("train --train-size 1001 --data digits", "argument --train-size: got 1001, expected at most 1000"),
    ("train --gradient book --dropout 0.2", "argument --dropout: got 0.2, expected 0.5 with --gradient book"),
    ("train --data digits --data-dir here",
     "argument --data-dir: got 'here', expected none with --data digits"),
    ("train --act gelu", "argument --act: invalid choice: 'gelu' (choose from"),
    ("train --out tanh", "argument --out: invalid choice: 'tanh' (choose from"),
    ("train --loss hinge", "argument --loss: invalid choice: 'hinge' (choose from"),
    ("train --loss mae",
     "argument --loss: got mae with --out softmax, expected crossentropy or mse; mae is for numbers: "
     "--out linear"),
    ("train --out sigmoid --loss poisson",
     "argument --loss: got poisson with --out sigmoid, expected crossentropy or mse; "
     "poisson is for counts: --out poisson"),
    ("train --out linear --loss crossentropy",
     "argument --loss: got crossentropy with --out linear, expected mse, mae or "
     "huber; crossentropy is for classes: --out softmax, sigmoid or ordinal"),
    ("train --out ordinal --loss mse",
     "argument --loss: got mse with --out ordinal, expected crossentropy; mse is for"),
    ("train --data pairs --out softmax",
     "argument --out: got softmax with --data pairs, expected sigmoid, a yes or no"),
    ("train --data iris --out poisson",
     "argument --out: got poisson with --data iris, expected linear (how wide is the "),
    ("train --data iris --train-size 121",
     "argument --train-size: got 121, expected at most 120, as many as iris has"),
    ("train --data iris --gradient book",
     "argument --gradient: got book, expected exact for another network than the"),
    ("train --out sigmoid --gradient book", "argument --gradient: got book, expected exact"),
    ("train --outliers 0.1", "argument --outliers: got 0.1, expected --data iris --out linear with it"),
    ("train --data iris --out softmax --outliers 0.1",
     "argument --outliers: got 0.1, expected --data iris --out linear"),
    ("train --outliers 1", "argument --outliers: got '1', expected a number from 0 to below 1"),
    ("train --data digits --classes 3",
     "argument --classes: got 3, expected at least 2 different ones of 0, 1, 2"),
    ("train --data digits --classes 3,12",
     "argument --classes: got 3, 12, expected at least 2 different ones of 0, 1"),
    ("train --classes 3,x", "argument --classes: got 'x', expected a whole number of at least 0"),
    ("train --out ordinal --classes 3,8", "argument --classes: got 3,8, expected none"),
    ("train --data iris --classes 0,1", "argument --classes: got 0,1, expected none"),
    ("train --data digits --out sigmoid --classes 3,8 --train-size 500",
     "argument --train-size: got 500, expected at most"),
    ("train --data iris --data-dir here", "argument --data-dir: got 'here', expected none with --data iris"),
    ("train --optimizer lion", "argument --optimizer: invalid choice: 'lion' (choose from"),
    ("train --data tulips", "argument --data: invalid choice: 'tulips' (choose from"),
    ("train --dtype float16", "argument --dtype: invalid choice: 'float16' (choose from"),
    ("train --gradient true", "argument --gradient: invalid choice: 'true' (choose from"),
    ("train --momentum 0.9", "unrecognized arguments: --momentum"),
    ("train --lr", "argument --lr: expected one argument"),
    ("learn", "argument COMMAND: invalid choice: 'learn' (choose from"),
    ("train --data pairs --model cnn", "argument --model: got cnn with --data pairs, expected mlp"),
    ("train --data iris --model cnn", "argument --model: got cnn with --data iris, expected mlp"),
    ("train --data rows", "argument --model: got mlp with --data rows, expected gru"),
    ("train --data pairs --model gru", "argument --model: got gru with --data pairs, expected mlp or cnn"),
    ("train --data rows --model gru --act relu", "argument --act: got relu, expected none with --model cnn"),
    ("train --threads many", "argument --threads: got 'many', expected a whole number from 1 to"),
    ("book --epochs 0", "argument --epochs: got '0', expected a whole number of at least 1"),
    ("compile books", "argument NAME: got 'books', expected some of book, "),
])
def test_bad_usage(line, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(line.split())
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("nnjit") and message.count("\n") == 1    # no page of usage before it
    assert f"error: {expected}" in message and "--help lists the options" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [[*MODULE, "learn"],
                                     [sys.executable, SCRIPTS / "train.py", "--epochs", "0"]])
def test_bad_usage_exits_2(command, tmp_path):
    done = call(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "nnjit" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# ---- failures ----------------------------------------------------------------------------------------------

@pytest.fixture
def damaged(tmp_path):
    """A folder with MNIST's four files, each cut off in its header."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for name in datasets.mnist.MNIST.files:
        (folder / name).write_bytes(b"\0\0\x08\x03\0")
    return folder


def check_failure(line, expected, capsys):
    assert cli.main(line.split()) == 1
    out, err = capsys.readouterr()
    assert err.startswith("nnjit: error: ")
    assert expected in err
    assert "training" not in out
    return err


@pytest.mark.parametrize("command", ["train", "book"])
def test_missing_data(command, capsys, tmp_path):
    err = check_failure(f"{command} --data-dir {tmp_path}/none", "MNIST was not found in any of these places",
                        capsys)
    assert f"{tmp_path}/none" in err
    assert "NNJIT_DATA" in err


@pytest.mark.parametrize("data", ["auto", "mnist"])
def test_damaged_data(data, damaged, capsys):
    err = check_failure(f"train --data {data} --data-dir {damaged}", "train-images-idx3-ubyte: truncated",
                        capsys)
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "book"])
@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_an_out_dir_that_cannot_be_written(command, inside, capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    line = f"{command} --data digits --out-dir {tmp_path}/file{inside}"
    assert check_failure(line, f"{tmp_path}/file{inside}: got ", capsys).count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="the superuser may write anywhere")
def test_an_out_dir_without_permission(capsys, tmp_path):
    tmp_path.chmod(0o500)
    try:
        check_failure(f"train --data digits --out-dir {tmp_path}", "Permission denied", capsys)
    finally:
        tmp_path.chmod(0o700)


# ---- signals, pipes and terminals --------------------------------------------------------------------------

@pytest.fixture
def heeds_ctrl_c():
    """A new process heeds it: where a shell's background job ignores it, so do all that it starts."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@trains
@posix
def test_ctrl_c_leaves_what_was_done(tmp_path, heeds_ctrl_c):
    options = "--data digits --epochs 1000000 --threads 1 --out-dir out"
    with subprocess.Popen([*MODULE, "train", *options.split()], cwd=tmp_path, env=environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stderr.readline().startswith("epoch 1/1000000")
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err == "interrupted\n"
    assert "saved" in out.splitlines()[-1]
    history = read_history(tmp_path / "out")
    assert [row[0] for row in history] == list(range(len(history)))
    assert read_run(tmp_path / "out")["results"]["test_accuracy"] == history[-1][4]
    assert abs(accuracy_of(tmp_path / "out", "float64") - history[-1][4]) < 0.2    # some batches later


@trains
@posix
@pytest.mark.parametrize("options", [
    [],              # nobody reads the first line
    ["--quiet"],     # nobody reads the results
])
def test_a_reader_that_has_gone(options, tmp_path):
    """The run is made, saved, and ends without a word."""
    read, write = os.pipe()
    os.close(read)
    options = ["--data", "digits", "--epochs", "1", "--threads", "1", "--out-dir", "out", *options]
    done = subprocess.run([*MODULE, "train", *options], cwd=tmp_path, env=environment(), stdout=write,
                          stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert done.returncode == 0
    assert all(line.startswith(("epoch", "compil")) for line in done.stderr.splitlines())
    assert {"history.csv", "model.npz", "run.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


@posix
def test_head(tmp_path):
    done = call("/bin/sh", "-c", f"'{sys.executable}' -m nnjit doctor | head -1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


@trains
@posix
def test_a_terminal_shows_a_bar(on_terminal):
    shown = on_terminal("train --data digits --epochs 3 --out-dir out --threads 1", 120)
    assert b"\r" in shown
    assert b"3/3" in shown
    assert b"val_accuracy=" in shown
    assert b"epoch 1/3" not in shown
