"""The pages: every Python example runs, and everything that they refer to is there."""
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

import nnjit as nn
from nnjit import cli, datasets

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def examples(page):
    """Return the Python examples of a page as one program, in which every line has its number in the page."""
    program, inside, indent = [], False, 0
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.lstrip()
        if fence.startswith("```"):    # in what is folded away it is indented
            inside, indent, line = fence == "```python", len(line) - len(fence), ""
        program.append(line[indent:] if inside else "")
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
    if page.name in ("README.md", "index.md"):
        check_output(capsys.readouterr().out.splitlines(), shown(page))


def shown(page):
    """Return the lines of the output that a page shows after its first example."""
    after = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```\n\n```\n")[2]
    return after.partition("```")[0].splitlines()


def check_output(found, expected):
    """Check that the lines are as shown; numbers that depend on the order of sums may differ a little."""
    assert len(found) == len(expected) > 1
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


@pytest.fixture
def run_commands(tmp_path, monkeypatch, capsys):
    """A function that runs a page's first example and then its commands, one after the other, in a folder of
    their own, and returns {command: what it prints}.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNJIT_DATA", raising=False)

    def run(page):
        text, printed = page.read_text(encoding="utf-8"), {}
        first = text.split("```python\n")[1].partition("```")[0]
        exec(compile(first, page, "exec"), {"__name__": "__main__"})
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                words, _, file = line.partition("#")[0].partition(">")
                assert cli.main(words.split()[1:]) == 0, line
                printed[words.strip()] = capsys.readouterr().out
                if file:
                    Path(file.strip()).write_text(printed[words.strip()])
        return printed
    return run


@pytest.mark.compiled
def test_the_commands_of_exchange_run(run_commands):
    assert [line[:5] for line in run_commands(ROOT / "docs" / "exchange.md").values()] == ["saved", "saved"]


@pytest.mark.compiled
def test_the_commands_of_own_data_run(run_commands):
    page = ROOT / "docs" / "own-data.md"
    printed = run_commands(page)
    assert len(printed) == 9
    shown = page.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0].splitlines()
    told = printed["nnjit train people.csv --target sex --out-dir sex"].splitlines()
    assert shown[:4] == told[:4]
    assert printed["nnjit predict sex new.csv"].startswith("sex,p(female),p(male)\n")
    assert Path("sevens.csv").read_text().startswith("file,class,p(0),p(1),p(2)")


# ---- the reference, the commands, the notebook -------------------------------------------------------------

def test_the_reference_has_every_public_name():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: nnjit\.(?:sweep\.)?(\S+)$", text, re.MULTILINE))
    public = {name for name, value in vars(nn).items() if not name.startswith("_")
              and (callable(value) or name in {"book", "callbacks", "datasets", "losses", "metrics",
                                               "schedules"})}
    assert public <= named, public - named
    for name in named:
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(f"nnjit.{module}") if module else nn, last)


def test_the_commands_have_every_option():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    commands = next(action for action in cli.main.__globals__["_parser"]()._actions if action.choices).choices
    for name, parser in commands.items():
        page = text.partition(f"## nnjit {name}\n")[2].partition("\n## ")[0]
        options = {option for action in parser._actions for option in action.option_strings}
        assert options <= set(re.findall(r"--?[a-z][a-z-]*", page)), name


@pytest.mark.compiled
def test_the_notebook_runs(monkeypatch):
    pytest.importorskip("matplotlib", reason="the notebook draws")
    notebook = json.loads((ROOT / "docs" / "first-steps.ipynb").read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            *lines, last = "".join(cell["source"]).split("\n")
            exec("\n".join(lines), names)
            shown = eval(last, names) if "=" not in last.partition("(")[0] else exec(last, names)
            assert shown is not None
