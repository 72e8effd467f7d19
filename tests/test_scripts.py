"""The scripts: they find the checkout's environment, or say what to run. And that the types are shipped."""
import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
NAMES = ["train", "book", "bench"]

# A Python without any package: neither those that are installed nor the user's own.
BARE = [sys.executable, "-I", "-S"]


def call(script, *words):
    code = (f"import runpy, sys; sys.path.insert(0, {str(script.parent)!r}); "
            f"sys.argv = {[str(script), *words]!r}; runpy.run_path({str(script)!r}, run_name='__main__')")
    return subprocess.run([*BARE, "-c", code], check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path):
    """A checkout that holds the scripts only."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_without_an_environment_one_line_says_what_to_run(checkout, name):
    done = call(checkout / "scripts" / f"{name}.py", "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"nnjit: error: {sys.executable} lacks the package nnjit; run `make mnist`, which "
                           f"sets up .venv, or `pip install -e {checkout}`\n")


@pytest.mark.skipif(os.name != "posix", reason="the other Python is a shell script")
@pytest.mark.parametrize("name", NAMES)
def test_the_environment_of_the_checkout_is_used(checkout, name):
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    python.chmod(0o755)
    done = call(checkout / "scripts" / f"{name}.py", "--seed", "3")
    assert (done.returncode, done.stdout, done.stderr) == (7, f"-m nnjit {name} --seed 3\n", "")


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "nnjit" / "py.typed").is_file()
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    assert settings["options.package_data"]["nnjit"] == "py.typed"
