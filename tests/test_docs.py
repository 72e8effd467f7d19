"""The pages: every Python example runs, and everything that they refer to is there."""
import re
from pathlib import Path

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


@pytest.mark.compiled
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_examples_run(page, tmp_path, monkeypatch, capsys):
    """One after the other, in a folder of their own. The embedded digits take MNIST's place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load", lambda *given, **options: datasets.load_digits())
    exec(compile(examples(page), page, "exec"), {"__name__": "__main__"})


def test_the_examples_are_found():
    assert "model.fit(" in examples(ROOT / "README.md") and "make test" not in examples(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_refers_to_is_there(page):
    text = page.read_text(encoding="utf-8")
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)", text, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("http"):
            assert (page.parent / target).exists(), target
