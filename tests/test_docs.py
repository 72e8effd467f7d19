"""The pages: every Python example runs, and everything that they refer to is there."""
import re
from pathlib import Path

import numpy as np
import pytest

from nnjit import datasets

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def examples(page):
    """Return the Python examples of a page as one program, in which every line has its number in the page."""
    program, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        program.append(line if inside else "")
    return "\n".join(program)


def noise(classes):
    """Return a Dataset of the shape of CIFAR-10's."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(64, 32, 32, 3), dtype=np.uint8), np.arange(64) % len(classes)
    return datasets.Dataset("noise", x, y, x, y, "made here", {}, classes)


@pytest.mark.compiled
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_examples_run(page, tmp_path, monkeypatch, capsys):
    """One after the other, in a folder of their own. Noise takes CIFAR-10's place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    monkeypatch.setattr(datasets.files, "default_folder", lambda name="mnist": tmp_path / name)
    monkeypatch.setattr(datasets, "load_cifar10", noise)
    exec(compile(examples(page), page, "exec"), {"__name__": "__main__"})
    if page.name == "README.md":
        check_output(capsys.readouterr().out.splitlines(), shown(page))


def shown(page):
    """Return the lines of the output that a page shows after its first example."""
    after = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```\n\n```\n")[2]
    return after.partition("```")[0].splitlines()


def check_output(found, expected):
    """Check that the lines are as shown; numbers that depend on the order of sums may differ a little."""
    assert len(found) == len(expected) > 5
    number = r"\d+\.\d*"
    for line, example in zip(found, expected):
        assert re.sub(number, "0.0", line).split() == re.sub(number, "0.0", example).split()
        np.testing.assert_allclose([float(x) for x in re.findall(number, line)],
                                   [float(x) for x in re.findall(number, example)], atol=0.03)


def test_the_examples_are_found():
    assert "model.fit(" in examples(ROOT / "README.md") and "make test" not in examples(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_refers_to_is_there(page):
    text = page.read_text(encoding="utf-8")
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
               for title in re.findall(r"^#+ (.*)", text, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("http"):
            assert (page.parent / target).exists(), target
