"""Build the sdist and the wheel of the last commit into dist/, twice, and try the wheel.

Both files are reproducible: the same commit and the same versions of the tools give the same bytes, whenever
and wherever they are built.
"""
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRY = """
import importlib.metadata, pathlib
import nnjit as nn

assert pathlib.Path(nn.__file__).is_relative_to({prefix!r}), nn.__file__
files = {{str(path) for path in importlib.metadata.files("nnjit")}}
for name in ("nnjit/py.typed", "nnjit/datasets/mnist.npz", "nnjit/page/page.html",
             "nnjit/experiments/kernels.json"):
    assert name in files, name
assert {{path.rpartition("/")[2] for path in files if "/licenses/" in path}} == {{"LICENSE", "NOTICE"}}
(X, y), (X_test, y_test) = nn.datasets.load_digits().rows("float32")
model = nn.Sequential([nn.Dense(64, activation="relu"), nn.Dense(10)], nn.Categorical())
model.fit(X, y, nn.Adam(0.002), epochs=20, seed=1, verbose=0)
assert model.evaluate(X_test, y_test)["accuracy"] > 0.9
"""


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, **options)


def build(folder: Path, date: int) -> list[Path]:
    """Return the sdist and the wheel of the last commit, built in an empty folder."""
    source = folder / "source"
    source.mkdir(parents=True)
    archive = run("git", "archive", "HEAD", cwd=ROOT, capture_output=True).stdout
    run("tar", "x", cwd=source, input=archive)
    done = subprocess.run([sys.executable, "-m", "build", "--outdir", folder / "dist", source], check=False,
                          env={**os.environ, "SOURCE_DATE_EPOCH": str(date)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout}dist: error: the build failed")
    for path in (folder / "dist").glob("*.tar.gz"):
        repack(path, date)
    return sorted((folder / "dist").iterdir())


def repack(path: Path, date: int) -> None:
    """Write a tar.gz anew: sorted, and without the times, users and modes of the machine that built it."""
    with tarfile.open(path) as archive:
        members = [(member, archive.extractfile(member).read() if member.isfile() else None)
                   for member in sorted(archive.getmembers(), key=lambda member: member.name)]
    with gzip.GzipFile(path, "wb", mtime=date) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for member, content in members:
            made = tarfile.TarInfo(member.name)
            made.type, made.size, made.mtime = member.type, member.size, date
            made.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            archive.addfile(made, None if content is None else io.BytesIO(content))


def try_wheel(wheel: Path, folder: Path) -> None:
    """Install a wheel into an empty environment, and train a network with it."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(python, "-W", "error", "-c", TRY.format(prefix=str(folder)), cwd=folder)
    run(python, "-m", "nnjit", "--version", cwd=folder)


def main() -> None:
    os.umask(0o022)
    date = int(run("git", "log", "-1", "--format=%ct", cwd=ROOT, capture_output=True, text=True).stdout)
    with tempfile.TemporaryDirectory() as temporary:
        once, again = (build(Path(temporary) / name, date) for name in ("once", "again"))
        for path, other in zip(once, again):
            if path.read_bytes() != other.read_bytes():
                sys.exit(f"dist: error: {path.name} has other bytes when it is built again")
        try_wheel(once[1], Path(temporary) / "environment")
        (ROOT / "dist").mkdir(exist_ok=True)
        for path in once:
            shutil.copy(path, ROOT / "dist")
            print(f"saved    dist/{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
