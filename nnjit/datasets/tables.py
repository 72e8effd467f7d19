"""Tables of one's own: CSV, TSV and parquet files as data frames, by pandas.

What pandas would pass over in silence is refused here: short and long rows, columns of the same name, pages
and pointers that were saved in place of the data.
"""
import codecs
import contextlib
import csv
import difflib
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from .. import habits
from .._numba.warning import warn
from ..inputs.checks import DataError
from ..inputs.targets import in_short
from ..reading import PIECE, named, opened, room, size_of, too_large, unpacked
from ..training.progress import on_terminal

TABLES = ".csv", ".tsv", ".tab", ".txt", ".data", ".parquet", ".pq"
MISSING = "?", "."           # beside what pandas takes for a missing value
_DELIMITERS = ",", ";", "\t", "|"
_HEAD = 2**20                # bytes from which encoding, delimiter and header are read
_CELL = 16                   # bytes that a field takes in memory while pandas reads it
_FOOTER = 2**18              # bytes, and parts, of what a small parquet file says of its columns
_BAR = 2**24                 # bytes of a file from which on its reading is shown
_UNNAMED = "column {}"       # in a table without names


def read_table(path: str | Path, columns: list[str] | None = None, quiet: bool = True) -> Any:
    """Return a table as a pandas DataFrame with a name for every column.

    Parameters
    ----------
    path : path
        CSV with commas, semicolons, tabs or bars, in UTF-8, UTF-16 or else Windows-1252, which may be
        gzipped; or parquet. A first line of numbers only is no header: the columns are called "column 1" and
        so on then.
    columns : list of str, optional
        Those to read; by default all.
    quiet : bool
        Leave out the progress bar, which files of 16 MB and more get on a terminal.

    Returns
    -------
    DataFrame
        Numbers, text, and booleans, which pandas takes from "True" and "False". Missing are empty fields,
        "NA", "NaN", "null" and the like, "?" and ".". A column without a name that numbers the rows is left
        out.

    Warns
    -----
    UserWarning
        The text is not UTF-8, and read as Windows-1252.

    Raises
    ------
    DataError
        No such file, or something else in its place; no rows, rows of another number of fields than the
        header, two columns of one name; a column that is not there.
    ImportError
        There is no pandas, or for parquet no pyarrow.
    """
    pandas = import_extra("pandas")
    path = Path(path)
    if path.suffix.lower() in (".parquet", ".pq"):
        frame = _read_parquet(path, columns)
    else:
        frame = _read_text(pandas, path, columns, quiet)
    if not len(frame):
        raise DataError(f"{path}: got a header without rows, expected some")
    return frame


def import_extra(name: str):
    """Return a package of the extra ``table``; ImportError that says how to get it."""
    return habits.import_extra(name, "table", "the packages for tables and images")


# ---- parquet -----------------------------------------------------------------------------------------------

def _read_parquet(path, columns):
    import_extra("pyarrow")
    from pyarrow import parquet
    with opened(path, "no parquet file") as file:
        size = size_of(file)
        file.seek(max(size - 8, 0))
        footer = int.from_bytes(file.read(8)[:4], "little")    # bytes of what describes the columns
        if footer > _FOOTER + size // 10:
            raise ValueError(f"got a footer of {footer:,} bytes in a file of {size:,}")
        with parquet.ParquetFile(file, thrift_container_size_limit=_FOOTER) as table:
            names = [name for name in table.schema_arrow.names if not name.startswith("__index_level_")]
            _check_different(path, names)
            _check_columns(path, names, columns)
            names = [name for name in names if columns is None or name in columns]
            _check_room(path, file, table, names)
            read = table.read(names)
            return read.to_pandas(split_blocks=True, self_destruct=True, ignore_metadata=True)[names]


def _room(size):
    """Return how many bytes of memory a table in a file of so many bytes may take: a number has 8."""
    return 32 * size + room(0)


def _check_room(path, file, table, names):
    """Object to columns of a parquet file that are no numbers or text, or would take more than `_room`."""
    schema, texts, width, size = table.schema, [], 0, size_of(file)
    for i in range(len(schema)):
        column = schema.column(i)
        if column.path in names:
            width += max(8, column.length)
            texts += [column.path] * (column.physical_type == "BYTE_ARRAY")
        elif column.path.split(".")[0] in names:
            name = column.path.split(".")[0]
            raise DataError(f"{named(path)}: got lists or the like in the column {name[:80]!r}, expected "
                            "numbers or text; leave it out")
    rows = sum(table.metadata.row_group(k).num_rows for k in range(table.metadata.num_row_groups))
    total = rows * width
    if texts and total <= _room(size):
        total += _text_bytes(file, texts)
    if total > _room(size):
        raise DataError(f"{named(path)}: got {rows:,} rows that take {total:,} bytes from a file of "
                        f"{size:,}, expected at most {_room(size):,}; read fewer columns, or write it as CSV")


def _text_bytes(file, names):
    """Return how many bytes texts have in all rows: in the file a long one may stand once for many."""
    from pyarrow import compute, parquet
    total = 0
    with parquet.ParquetFile(file, read_dictionary=names, thrift_container_size_limit=_FOOTER) as table:
        for batch in table.iter_batches(2**16, columns=names):
            for column in batch.columns:
                lengths = compute.binary_length(column.dictionary)
                total += compute.sum(lengths.take(column.indices)).as_py() or 0
    return total


# ---- text --------------------------------------------------------------------------------------------------

def _read_text(pandas, path, columns, quiet):
    start = _start_of(path)
    encoding = _encoding(path, start)
    lines = re.split(r"\r\n|\r|\n", start.decode(encoding, errors="replace").lstrip())
    if not any(lines):
        raise DataError(f"{path}: got an empty file, expected a header and rows")
    delimiter = _delimiter(lines)
    names, has_header = _header(path, lines, delimiter)
    _check_columns(path, names, columns)
    how = {"sep": delimiter, "encoding": encoding, "na_values": list(MISSING), "index_col": False,
           "header": 0 if has_header else None, "names": names, "usecols": columns or None,
           "skip_blank_lines": True, "decimal": _decimal(lines[1:], delimiter)}
    try:
        frame = _parsed(pandas, path, how, quiet)
    except DataError as error:
        cause = error.__cause__
        if isinstance(cause, UnicodeDecodeError) and encoding == "utf-8-sig":
            warn(f"{path}: the text is not UTF-8, and is read as Windows-1252; save it as UTF-8 where "
                 "letters look wrong")
            frame = _parsed(pandas, path, {**how, "encoding": "cp1252", "encoding_errors": "replace"}, quiet)
        elif isinstance(cause, (pandas.errors.ParserError, pandas.errors.ParserWarning)):    # as of long rows
            _check_fields(path, encoding, delimiter, len(names))
            raise
        else:
            raise
    if names[-1] not in frame or frame[names[-1]].isna().any():    # as where a row is too short
        _check_fields(path, encoding, delimiter, len(names))
    return _without_row_numbers(frame)


def _parsed(pandas, path, how, quiet):
    with _opened(path, quiet) as file, warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        warnings.simplefilter("ignore", pandas.errors.DtypeWarning)
        frame = pandas.read_csv(file, **how)
    for name in frame:
        if frame[name].dtype == object:    # numbers in one part of the file, text in another
            frame[name] = frame[name].map(str, na_action="ignore")
    return frame


def _start_of(path):
    """Return the first bytes of the content of a file; DataError where it is no text, or too much of it."""
    with unpacked(path, "no table") as (content, most, packed):
        start = content.read(_HEAD)
        rest, cells = start, 0
        while packed and rest:    # before pandas makes numbers of it
            cells += sum(map(rest.count, (b",", b";", b"\t", b"|", b"\n")))
            if _CELL * cells > _room(path.stat().st_size):
                raise too_large(path, most)
            rest = content.read(PIECE)
    return start


def _encoding(path, start):
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start:
        raise DataError(f"{path}: got bytes that are no text, expected CSV, TSV or parquet (whose name ends "
                        "in .parquet)")
    return "utf-8-sig"


def _delimiter(lines):
    """Return what stands between the fields of the first line, outside quotes."""
    unquoted = "".join(lines[0].split('"')[::2])
    return max(_DELIMITERS, key=unquoted.count)


def _header(path, lines, delimiter):
    """Return the names of the columns, and whether the first line has them."""
    first = next(csv.reader(lines, delimiter=delimiter))
    if all(map(_is_number, first)):
        return [_UNNAMED.format(i + 1) for i in range(len(first))], False
    names = [name.strip() or _UNNAMED.format(i + 1) for i, name in enumerate(first)]
    _check_different(path, names)
    return names, True


def _check_different(path, names):
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DataError(f"{named(path)}: got {count} columns called {name[:80]!r}, expected a name for each; "
                        "rename one")


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _decimal(lines, delimiter):
    """Return "," where semicolons stand between numbers such as 1,5."""
    fields = [field for line in lines[:20] for field in line.split(";")] if delimiter == ";" else []
    return "," if any("," in field and _is_number(field.replace(",", ".", 1)) for field in fields) else "."


def _check_columns(path, names, columns):
    for name in columns or ():
        if name not in names:
            raise DataError(missing_column(path, name, names))


def missing_column(where, name: str, names: list[str]) -> str:
    """Return the message that a table has no column of this name; it names one that is alike."""
    alike = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {alike[0]!r}?" if alike else ""
    return f"{where}: got no column {name!r}, expected one of {in_short(names, 20)}{hint}"


@contextlib.contextmanager
def _opened(path, quiet):
    """The context of a file, unpacked, whose reading is shown where it is large."""
    size = path.stat().st_size
    with tqdm(total=size, desc=path.name, unit="B", unit_scale=True, leave=False,
              disable=quiet or size < _BAR or not on_terminal()) as bar, \
            unpacked(path, "no table",
                     lambda file: CallbackIOWrapper(bar.update, file, "read")) as (content, _, _):
        yield content


# ---- rows --------------------------------------------------------------------------------------------------

def _check_fields(path, encoding, delimiter, expected):
    """Object to a row of another number of fields than the header has, by its line."""
    for line, row in _rows(path, encoding, delimiter):
        if row and len(row) != expected:
            raise DataError(f"{path}: got {len(row)} fields in line {line}, expected {expected} as in the "
                            f"header; is a {delimiter!r} missing, or within a text without quotes?")


def _rows(path, encoding, delimiter) -> Iterator[tuple[int, list[str]]]:
    with _opened(path, quiet=True) as file:
        text = codecs.getreader(encoding)(file, "replace")
        reader = csv.reader(text, delimiter=delimiter)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num}: {error}") from error


def _without_row_numbers(frame):
    """Return the frame without a first column, without a name, that numbers the rows: `to_csv` writes it."""
    first = frame.columns[0]
    if first != _UNNAMED.format(1) or len(frame.columns) == 1:
        return frame
    numbers = frame[first]
    if numbers.dtype.kind == "i" and (numbers.diff().dropna() == 1).all() and numbers.iloc[0] in (0, 1):
        return frame.drop(columns=first)
    return frame
