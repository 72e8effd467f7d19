"""Tables and images of one's own, read from files: what they become, and what is refused in one line."""
import gzip
import warnings

import numpy as np
import pandas
import pytest
from PIL import Image

from nnjit import datasets
from nnjit.datasets import image_files
from nnjit.inputs.checks import DataError


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def check_refused(message, function, *arguments):
    """One line that begins with the file, and says what was got and what was expected."""
    with pytest.raises(DataError, match=message) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(arguments[0]))


# ---- tables ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, content, expected", [
    ("commas.csv", "a,b\n1,x\n2.5,y\n", {"a": [1, 2.5], "b": ["x", "y"]}),
    ("tabs.tsv", "a\tb\n1\t2\n", {"a": [1], "b": [2]}), ("bars.txt", "a|b\n1|2\n", {"a": [1], "b": [2]}),
    ("semicolons.csv", 'a;b\n1,5;"x, y"\n3;z\n', {"a": [1.5, 3], "b": ["x, y", "z"]}),
    ("numbers.csv", "1,2\n3,4\n", {"column 1": [1, 3], "column 2": [2, 4]}),
    ("quotes.csv", 'a,"b, c"\n"x\ny",2\n', {"a": ["x\ny"], "b, c": [2]}),
    ("flags.csv", "a,b\nTrue,1\nFalse,0\n", {"a": [True, False], "b": [1, 0]}),
    ("returns.csv", "a,b\r\n1,2\r\n", {"a": [1], "b": [2]}),
    ("mac.csv", "a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
    ("blank.csv", "\n\na,b\n\n1,2\n", {"a": [1], "b": [2]}),
    ("row-numbers.csv", ",a\n0,5\n1,6\n2,8\n", {"a": [5, 6, 8]}),
    ("utf-8.csv", "name\ncafé\n", {"name": ["café"]}),
    ("mark.csv", "name\ncafé\n".encode("utf-8-sig"), {"name": ["café"]}),
    ("utf-16.csv", "name\ncafé\n".encode("utf-16"), {"name": ["café"]}),
    ("packed.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0), {"a": [1], "b": [2]})])
def test_what_a_file_becomes(tmp_path, name, content, expected):
    frame = datasets.read_table(written(tmp_path, name, content))
    assert frame.to_dict("list") == expected


def test_what_is_missing(tmp_path):
    frame = datasets.read_table(written(tmp_path, "x.csv", "a,b,c\n?,x,1\n3,NA,2\n.,null,NaN\n"))
    assert frame.isna().to_numpy().tolist() == [[True, False, False], [False, True, False],
                                                [True, True, True]]
    assert frame["a"].dtype == float


def test_another_encoding_is_read_with_a_warning(tmp_path):
    path = written(tmp_path, "x.csv", "name,b\ncafé,2\n".encode("latin-1"))
    with pytest.warns(UserWarning, match="not UTF-8, and is read as Windows-1252"):
        frame = datasets.read_table(path)
    assert frame["name"].tolist() == ["café"]


def test_numbers_here_and_text_there_are_text(tmp_path):
    rows = [str(i) for i in range(300000)] + ["x"]
    frame = datasets.read_table(written(tmp_path, "x.csv", "a,b\n" + "\n".join(f"{row},1" for row in rows)))
    assert set(map(type, frame["a"])) == {str}


@pytest.mark.parametrize("name, content, message", [
    ("x.csv", "", "got an empty file"), ("x.csv", "\n \n", "got an empty file"),
    ("x.csv", "a,b\n", "got a header without rows"), ("x.csv", "a,b,a\n1,2,3\n", "got 2 columns called 'a'"),
    ("x.csv", "a,b\n1,2\n3,4,5\n6,7\n", "got 3 fields in line 3, expected 2"),
    ("x.csv", "a,b\n1,2,9\n3,4,5\n", "got 3 fields in line 2, expected 2"),
    ("x.csv", "a,b,c\n1,2,3\n3,4\n", "got 2 fields in line 3, expected 3"),
    ("x.csv", " <!DOCTYPE html><html>", r"got a web page \(HTML\)"),
    ("x.csv", "<html lang=en>", "got a web page"),
    ("x.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:4d", "Git LFS pointer.*git lfs pull"),
    ("x.csv", b"PK\x03\x04\0\0", "zip archive, or an Excel file"),
    ("x.csv", b"\x89\0\1\2", "bytes that are no text"),
    ("x.csv.gz", gzip.compress(gzip.compress(b"a,b\n1,2\n", mtime=0), mtime=0), "gzip within gzip.*gunzip"),
    ("x.csv.gz", gzip.compress(b"a,b\n1,2\n" * 9999, mtime=0)[:90], "ended before"),
    ("x.parquet", b"PAR1 and more", "no parquet file, or damaged"),
    ("x.parquet", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer")])
def test_files_that_are_refused(tmp_path, name, content, message):
    check_refused(message, datasets.read_table, written(tmp_path, name, content))


def test_what_is_no_file(tmp_path):
    check_refused("cannot be read: No such file", datasets.read_table, tmp_path / "none.csv")
    check_refused("Is a folder, a device or a pipe, expected a file", datasets.read_table, tmp_path)


def test_some_columns(tmp_path):
    path = written(tmp_path, "x.csv", "size,price,b\n1,2,3\n4,5,6\n")
    frame = datasets.read_table(path, ["price", "size"])
    assert frame[["price", "size"]].to_numpy().tolist() == [[2, 1], [5, 4]]
    check_refused("got no column 'Size', expected one of .*; did you mean 'size'?", datasets.read_table, path,
                  ["Size"])
    short = written(tmp_path, "y.csv", "a,b,c\n1,2,3\n3,4\n")    # also where the last column is not asked for
    check_refused("got 2 fields in line 3", datasets.read_table, short, ["a"])


def test_parquet(tmp_path):
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": [True, False]})
    frame.to_parquet(tmp_path / "x.parquet")
    found = datasets.read_table(tmp_path / "x.parquet")
    assert found["a"].tolist() == [1, 2] and found["b"].isna().tolist() == [False, True]
    assert list(datasets.read_table(tmp_path / "x.parquet", ["c"])) == ["c"]
    check_refused("got no column 'd'", datasets.read_table, tmp_path / "x.parquet", ["d"])


# ---- images ------------------------------------------------------------------------------------------------

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def saved(path, pixels, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)


def test_a_folder_of_folders(tmp_path):
    for i, name in enumerate(["cat", "cat", "dog"]):
        saved(tmp_path / name / f"{i}.png", GREY + i)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    found = datasets.read_images(tmp_path)
    assert found.x.shape == (3, 6, 8, 1) and found.x.dtype == np.uint8
    assert (found.x[2, :, :, 0] == GREY + 2).all()
    assert found.y.tolist() == ["cat", "cat", "dog"] and found.files[2].replace("\\", "/") == "dog/2.png"
    assert repr(found) == "Images(3 of 6 × 8, grey, 2 classes)"


def test_colours_sizes_and_modes(tmp_path):
    saved(tmp_path / "a.png", GREY)
    saved(tmp_path / "b.png", COLOUR)
    found = datasets.read_images(tmp_path)
    assert found.x.shape == (2, 6, 8, 3) and (found.x[1] == COLOUR).all() and found.y is None
    assert (found.x[0] == GREY[..., None]).all()
    assert datasets.read_images(tmp_path, channels=1).x.shape == (2, 6, 8, 1)
    saved(tmp_path / "c.jpg", np.zeros((50, 40, 3), np.uint8))
    assert datasets.read_images(tmp_path).x.shape == (3, 32, 32, 3)
    assert datasets.read_images(tmp_path, (4, 5)).x.shape == (3, 4, 5, 3)
    assert datasets.read_images(tmp_path).sizes == {(6, 8): 2, (50, 40): 1}


def test_grey_in_three_channels_transparency_and_16_bits(tmp_path):
    saved(tmp_path / "rgb.png", np.repeat(GREY[..., None], 3, axis=2))
    assert (datasets.read_images(tmp_path / "rgb.png").x[0, :, :, 0] == GREY).all()
    saved(tmp_path / "alpha.png", np.dstack([COLOUR, np.zeros((6, 8), np.uint8)]))
    assert (datasets.read_images(tmp_path / "alpha.png").x == 255).all()
    saved(tmp_path / "deep.png", GREY.astype(np.uint16) * 257)
    assert (datasets.read_images(tmp_path / "deep.png").x[0, :, :, 0] == GREY).all()


def test_images_that_are_refused(tmp_path):
    check_refused("got no images, expected a folder of them for each class", datasets.read_images, tmp_path)
    check_refused("got nothing there", datasets.read_images, tmp_path / "none")
    for content, message in [(b"<html>", "got a web page"), (b"noise", "no image, or damaged"),
                             (b"version https://git-lfs.github.com", "Git LFS")]:
        check_refused(message, datasets.read_images, written(tmp_path, "x.png", content))


def test_large_images_that_are_all_alike_are_made_small(tmp_path):
    saved(tmp_path / "a.png", np.zeros((image_files.LARGEST + 1, 20), np.uint8))
    assert datasets.read_images(tmp_path).x.shape == (1, 32, 32, 1)


def test_nothing_is_said_where_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.read_table(written(tmp_path, "x.csv.gz", gzip.compress(b"a,b\n1,2\n")))
