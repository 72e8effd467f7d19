"""The networks for images: what they are, and that the command trains them and draws what they do."""
import json
from dataclasses import replace

import numpy as np
import pytest

import nnjit as nn
from nnjit import cli, report, summary
from nnjit.datasets import cifar10, files
from nnjit.experiments import presets


@pytest.fixture
def small_cifar10(tmp_path, monkeypatch):
    """CIFAR-10's files with sixty images each, whose class is their brightness, below the data folder."""
    monkeypatch.setattr(cifar10, "CIFAR10_RECORDS", 60)
    monkeypatch.setenv("NNJIT_DATA", str(tmp_path))
    monkeypatch.setattr(files, "default_folder", lambda name="mnist": tmp_path / "default" / name)
    folder, rng = tmp_path / "cifar10" / cifar10.CIFAR10_FOLDER, np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in cifar10.CIFAR10_BATCHES:
        labels = np.repeat(np.arange(10), 6)
        pixels = (labels[:, None] * 25 + rng.integers(0, 20, (60, 3072))).astype(np.uint8)
        np.column_stack([labels.astype(np.uint8), pixels]).tofile(folder / name)
    return tmp_path


def test_the_network_of_the_explanation():
    model = presets.PRESETS["cifar10", "cnn"].network(10).build((32, 32, 3))
    assert [(str(shape), layer.multiply_adds)
            for layer, shape in zip(model.layers, model.graph.shapes) if layer.shapes] == [
        ("(32, 32, 8)", 32 * 32 * 27 * 8), ("(16, 16, 8)", 16 * 16 * 72 * 8),
        ("(32,)", 512 * 32), ("(10,)", 320)]
    lines = [line.split() for line in model.summary().splitlines()]
    assert [" ".join(line[-3:]) for line in lines[1:9]] == [
        "3 × 3", "3 × 3", "4 × 4", "8 × 8", "8 × 8", "10 × 10", "10 × 10", "16,416 16,384 all"]
    assert isinstance(presets.PRESETS["cifar10", "mlp"].network(2).head, nn.Bernoulli)


def test_what_windows_see():
    layers = [nn.Conv2D(2, 3, strides=2), nn.Conv2DTranspose(2, 3, strides=2), nn.Conv2D(1, 1),
              nn.GlobalAveragePool2D()]
    model = nn.Sequential(layers, nn.Gaussian()).build((9, 12, 1))
    assert summary._receptive_fields(model.graph) == ["3 × 3", "5 × 5", "5 × 5", "all"]


def run(*words):
    return cli.main(["train", "--dtype", "float64", *words])


PICTURES = {"curves.png", "confusion.png", "filters.png", "features.png"}


@pytest.mark.compiled
def test_the_command_trains_and_draws(small_cifar10, capsys):
    pytest.importorskip("matplotlib")
    out = small_cifar10 / "out"
    assert run("--data", "cifar10", "--classes", "bird,airplane", "--model", "cnn", "--epochs", "2",
               "--out-dir", str(out)) == 0
    assert "10 × 10" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} >= {*PICTURES, "model.npz", "run.json", "history.csv"}
    settings = json.loads((out / "run.json").read_text())["configuration"]
    assert settings["classes"] == ["bird", "airplane"] and settings["batch_size"] == 32
    assert settings["train_size"] == 60
    assert nn.load(out / "model.npz").input_shape == (32, 32, 3)


@pytest.mark.parametrize("words, message", [
    (["--data", "cifar10", "--classes", "bird,plane"], "argument --classes: classes: got plane, expected"),
    (["--data", "digits", "--classes", "bird,airplane"],
     "argument --classes: got 'bird', expected a whole number"),
    (["--data", "cifar10", "--act", "relu"], "argument --act: got relu, expected none with --model cnn"),
    (["--data", "cifar10", "--loss", "mse"], "argument --loss: got mse, expected none with --model cnn"),
    (["--data", "cifar10", "--out", "sigmoid"],
     "argument --out: got sigmoid, expected softmax for 10 classes of images"),
    (["--data", "digits", "--model", "cnn", "--classes", "bird,airplane"],
     "argument --classes: got bird,airplane, expected"),
    (["--data", "cifar10", "--train-size", "301"], "argument --train-size: got 301, expected at most 300"),
])
def test_wrong_options(small_cifar10, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_no_files_and_no_network_is_a_clear_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NNJIT_DATA", str(tmp_path))
    monkeypatch.setattr(files, "default_folder", lambda name="mnist": tmp_path / "default" / name)
    monkeypatch.setattr(cifar10, "CIFAR10", replace(cifar10.CIFAR10, sources=()))
    assert run("--data", "cifar10") == 1
    assert "CIFAR-10 was not found in any of these places" in capsys.readouterr().err


def test_pictures_of_what_is_wrong_and_most_certain(tmp_path, monkeypatch):
    plots = pytest.importorskip("nnjit.report.image_plots")
    drawn = {}
    for name in ("answers", "confusion", "mistakes", "filters", "feature_maps"):
        monkeypatch.setattr(plots, name, lambda path, *what, name=name: drawn.update({name: what}))
    model = nn.Sequential([nn.Flatten(), nn.Dense(1)], nn.Bernoulli(), "float64").build((1, 2, 1))
    model.parameters()["1.W"][:], model.parameters()["1.b"][:] = [[1], [0]], 0
    x = np.array([-3.0, -1, 2, 4, 5]).reshape(-1, 1, 1, 1).repeat(2, axis=2)
    report.draw_classifier(tmp_path, model, report.Tested(x, x, np.array([0, 1, 0, 1, 0]), ("a", "b")),
                           "title")
    assert drawn["confusion"][0].tolist() == [[1, 2], [1, 1]]
    images, truths, answers, _ = drawn["mistakes"]
    assert images[:, 0, 0, 0].tolist() == [5, 2, -1] and truths == ["a", "a", "b"]
    assert [answer[0][0] for answer in answers] == ["b", "b", "a"]
    assert answers[0][0][1] == pytest.approx(1 / (1 + np.exp(-5)))
    assert drawn["answers"][1:3] == (list("ababa"), list("aabbb"))
    assert "filters" not in drawn    # no convolution


def test_pictures_refuse(tmp_path):
    plots = pytest.importorskip("nnjit.report.image_plots")
    for call, message in [(lambda: plots.filters(tmp_path / "a.png", np.ones((3, 3)), ""), "W: got shape"),
                          (lambda: plots.filters(tmp_path / "a.gif", np.ones((3, 3, 1, 2)), ""), "path: got"),
                          (lambda: plots.feature_maps(tmp_path / "a.png", np.ones((3, 3, 1)), [], ""),
                           "stages: got none"),
                          (lambda: plots.confusion(tmp_path / "a.png", np.ones((3, 3)), "ab", ""),
                           "counts: got shape"),
                          (lambda: plots.mistakes(tmp_path / "a.png", [], [], [], ""), "images: got none"),
                          (lambda: plots.answers(tmp_path / "a.png", [], [], [], ""), "images: got none")]:
        with pytest.raises(ValueError, match=message):
            call()
    grey = np.random.default_rng(0).random((4, 4, 1))
    assert plots.mistakes(tmp_path / "a.png", [grey], ["a"], [[("b", 0.9), ("a", 0.1)]], "t").exists()
    assert plots.filters(tmp_path / "b.png", np.ones((3, 3, 1, 2)), "t").exists()
