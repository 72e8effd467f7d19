"""What can happen to a file: to its bytes at random, and to what its format has in particular."""
import copy
import io
import json
import struct
import zipfile
import zlib

import numpy as np
import onnx
import pyarrow
from hypothesis import strategies as st
from pyarrow import parquet

NUMBERS = [0, 1, 2, 7, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1]
# in place of a value in JSON
VALUES = [None, True, False, 0, -1, 1, 2, 3, 0.5, 1e308, -1e308, float("nan"), float("inf"),
          2**31, 2**63, 2**64, 10**400, "", "x", "Dense", "\n", "\0", "é" * 500, [], {}, [1], ["a"], [[]],
          {"kind": "Dense"}, {"kind": "Dense", "config": {"units": 2}}, {"kind": "os", "config": {}}]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content with bits turned, cut off, or with a stretch of it replaced, moved, or put in."""
    content, kind = bytearray(content), int(rng.integers(8))
    a, b = (int(place) for place in np.sort(rng.integers(0, len(content) + 1, 2)))
    length = int(rng.integers(1, 17))
    if kind == 0:
        for place in rng.integers(0, len(content), rng.integers(1, 9)):
            content[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del content[a:]
    elif kind == 2:
        content[a:a + length] = rng.bytes(length)
    elif kind == 3:
        del content[a:a + length]
    elif kind == 4:
        content[a:a] = rng.bytes(length)
    elif kind == 5:    # two blocks change places
        content = content[:a] + content[b:] + content[a:b]
    elif kind == 6:
        content[a:b] = bytes(b - a)
    else:
        number = int(rng.choice(NUMBERS))
        content[a:a + 4] = struct.pack(rng.choice(["<I", ">I"]), number)
    return bytes(content)


# ---- JSON --------------------------------------------------------------------------------------------------

def _places(tree):
    """Return all (container, key) of a tree of JSON."""
    found = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [(tree, key) for key, _ in found] + [place for _, part in found for place in _places(part)]


@st.composite
def changed_json(draw, text: str) -> bytes:
    """Return a JSON text with a value or two replaced, removed, repeated, or nested deep."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):    # it has been changed before
        return text.encode()
    for _ in range(draw(st.integers(1, 2))):
        places = _places(tree)
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.sampled_from(["replace"] * 6 + ["remove", "repeat", "rename", "wrap"]))
        if how == "remove":
            del container[key]
        elif how == "repeat" and isinstance(container, list):
            container.insert(key, container[key])
        elif how == "rename" and isinstance(container, dict):
            name = draw(st.sampled_from(["", "kind", "name", "x" * 300]))
            container[name] = container.pop(key)
        elif how == "wrap":
            container[key] = [container[key]]
        else:
            container[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    text = json.dumps(tree).encode()
    if draw(st.integers(0, 30)) == 0:
        text = text.replace(b"null", 5000 * b"[" + 5000 * b"]").replace(b"1,", b"1" + 5000 * b"0" + b",")
    return text


# ---- archives of arrays ------------------------------------------------------------------------------------

DESCRIPTIONS = ["'<f8'", "'<f4'", "'>f8'", "'|O'", "'|b1'", "'<i8'", "'<U3'", "'|S8'", "'<c16'",
                "'<M8[ns]'", "'|V8'", "[('a', '<f8')]", "'<f8", "'<U0'", "__import__('os').getcwd()"]
SHAPES = ["()", "(3,)", "(2, 2)", "(1000000000000,)", "(0, 99999999999999999999)", "(-1,)", "(3", "(True,)",
          "[3]"]
NAMES = ["", "x", "../x.npy", "\n.npy", "description.npy", 300 * "n" + ".npy"]


def _members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [[name, archive.read(name), zipfile.ZIP_STORED] for name in archive.namelist()]


def npy(description, shape, order, data, version):
    header = f"{{'descr': {description}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


@st.composite
def changed_archive(draw, content: bytes, text: str | None = None) -> bytes:
    """Return an archive with members renamed, left out, of other types and shapes; and JSON in it changed."""
    members, member = _members(content), None
    for _ in range(draw(st.integers(1, 2))):
        k = draw(st.integers(0, len(members) - 1))
        member = members[k][1]
        how = draw(st.sampled_from(["header"] * 3 + ["name", "drop", "swap", "packed", "short", "text"]))
        if text is not None and draw(st.booleans()):
            how = "text"
        if how == "header":
            members[k][1] = npy(draw(st.sampled_from(DESCRIPTIONS)), draw(st.sampled_from(SHAPES)),
                                 draw(st.sampled_from(["False", "True", "0"])), member[128:],
                                 draw(st.sampled_from([1, 1, 1, 2, 3, 9])))
        elif how == "name":
            members[k][0] = draw(st.sampled_from(NAMES))
        elif how == "drop" and len(members) > 1:
            del members[k]
        elif how == "swap":
            members[k][1] = members[draw(st.integers(0, len(members) - 1))][1]
        elif how == "packed":
            members[k][2] = draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
        elif how == "short":
            members[k][1] = member[:draw(st.integers(0, len(member)))]
        elif text is not None:
            k = next((k for k, (name, *_) in enumerate(members) if name == text), 0)
            begin = members[k][1].find(b"{\"")
            if begin > 0:
                changed = draw(changed_json(members[k][1][begin:].decode()))
                members[k][1] = npy("'|u1'", f"({len(changed)},)", "False", changed, 1)
    return zipped(members)


def zipped(members) -> bytes:
    """Return an archive of (name, content, kind of compression), of which names may come twice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, member, kind in members:
            archive.NameToInfo.pop(name, None)    # which keeps it from warning
            archive.writestr(zipfile.ZipInfo(name), member, kind)
    return file.getvalue()


# ---- other formats -----------------------------------------------------------------------------------------

@st.composite
def changed_idx(draw, content: bytes) -> bytes:
    """Return an IDX file with another header."""
    kind = draw(st.sampled_from([8, 9, 11, 12, 13, 14, 10, 0]))
    sizes = draw(st.lists(st.sampled_from([*NUMBERS, 12, 28]), max_size=4))
    count = draw(st.sampled_from([len(sizes), len(sizes), 0, 1, 255]))
    data = content[16:][:draw(st.integers(0, 300))]
    head = bytes([0, draw(st.sampled_from([0, 0, 0, 1])), kind, count])
    return head + struct.pack(f">{len(sizes)}I", *sizes) + data


@st.composite
def changed_records(draw, content: bytes) -> bytes:
    """Return a CIFAR file with another label or of another size."""
    content, size = bytearray(content), len(content)
    content[3073 * draw(st.integers(0, size // 3073 - 1))] = draw(st.integers(0, 255))
    del content[draw(st.sampled_from([size, size, size - 1, 3073, 0])):]
    return bytes(content) + bytes(draw(st.sampled_from([0, 0, 1])))


@st.composite
def changed_safetensors(draw, content: bytes) -> bytes:
    """Return a safetensors file with another description of its arrays."""
    length = int.from_bytes(content[:8], "little")
    header = draw(changed_json(content[8:8 + length].decode()))
    declared = draw(st.sampled_from([len(header)] * 8 + [0, len(header) + 1, 2**31, 2**63]))
    return declared.to_bytes(8, "little") + header + content[8 + length:]


@st.composite
def changed_onnx(draw, content: bytes) -> bytes:
    """Return an ONNX file with other operators, attributes, sizes, types or places of its weights."""
    made = onnx.load_model_from_string(content)
    graph = made.graph
    for _ in range(draw(st.integers(1, 2))):
        node = draw(st.sampled_from(list(graph.node)))
        tensor = draw(st.sampled_from(list(graph.initializer)))
        how = draw(st.sampled_from(["operator", "attribute", "sizes", "type", "data", "external", "name",
                                    "input"]))
        if how == "operator":
            node.op_type = draw(st.sampled_from([
                "Gemm", "MatMul", "Conv", "MaxPool", "Relu", "Softmax", "Flatten", "Reshape", "Sigmoid",
                "Add", "BatchNormalization", "If", ""]))
        elif how == "attribute":
            del node.attribute[:]
            name = draw(st.sampled_from([
                "strides", "pads", "dilations", "kernel_shape", "group", "axis", "alpha", "transB",
                "auto_pad", "ceil_mode", "epsilon"]))
            number = draw(st.sampled_from([0, 1, -1, 2, 2**31, 2**62]))
            node.attribute.append(onnx.helper.make_attribute(name, draw(st.sampled_from(
                [number, [number] * 2, [number] * 4, "SAME_UPPER", float("nan"), 1e308]))))
        elif how == "sizes":
            tensor.dims[:] = draw(st.lists(st.sampled_from([*NUMBERS, 2**62, -1, 3, 4]), max_size=4))
        elif how == "type":
            tensor.data_type = draw(st.integers(0, 30))
        elif how == "data":
            tensor.raw_data = tensor.raw_data[:draw(st.integers(0, 40))]
        elif how == "external":
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = draw(st.sampled_from(["/etc/passwd", "x", "../x"]))
            tensor.external_data.add(key="location", value=place)
        elif how == "name":
            node.output[0] = draw(st.sampled_from(["", "X", "y", "\n"]))
        else:
            dims = graph.input[0].type.tensor_type.shape.dim
            draw(st.sampled_from(list(dims))).dim_value = draw(st.sampled_from([0, -1, 1, 2, 2**31, 2**62]))
    return made.SerializeToString()


@st.composite
def changed_csv(draw, content: bytes) -> bytes:
    """Return what may be a table."""
    parts = [",", ",", ";", "\t", "|", "\n", "\n", "\r\n", "\r", '"', "a", "b", "1", "-2.5", "1,5", "1e999",
             "NaN", "?", " ", "é", "\0", "\ufeff", "True", "2020-01-01", "0x1F", "9" * 400, "=1+1", "'"]
    text = "".join(draw(st.lists(st.sampled_from(parts), max_size=40)))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-16-le", "cp1252"]))
    return text.encode(encoding, "replace")


COLUMNS = [pyarrow.array(values, kind) for values, kind in [
    ([1, None], "int64"), ([1.5, float("nan")], "float32"), (["a", None], "string"), ([True, None], "bool"),
    ([None, None], "null"), ([[1], []], pyarrow.list_(pyarrow.int64())),
    ([{"a": 1}, None], pyarrow.struct({"a": "int8"})), ([b"\xff", b""], "binary"),
    ([0, 1], pyarrow.timestamp("ns")), ([0, 1], pyarrow.timestamp("us", "Europe/Paris")),
    ([0, 2**40], pyarrow.timestamp("s")), ([0, 1], "date32"), ([0, 1], pyarrow.duration("ns")),
    ([1, 2], "uint64"), ([b"abc", None], pyarrow.binary(3)),
    ([[(1, 2)], None], pyarrow.map_("int8", "int8"))]]
COLUMNS += [pyarrow.array(["a", "b"]).dictionary_encode(),
            pyarrow.array([1, 2]).cast(pyarrow.decimal128(30, 2))]
INDEX = '{"index_columns": ["q"], "columns": [], "column_indexes": [], "pandas_version": "9"}'


@st.composite
def changed_parquet(draw, content: bytes) -> bytes:
    """Return a parquet file of other columns, which says other things of itself."""
    columns = draw(st.lists(st.sampled_from(COLUMNS), max_size=3))
    name = st.sampled_from(["a", "b", "", "\n", "a.b", "x" * 300, "__index_level_0__"])
    names = [draw(name) for _ in columns]
    said = {"pandas": draw(st.sampled_from(["{}", "[]", "x", INDEX]))}
    table = pyarrow.Table.from_arrays(columns, names).slice(0, draw(st.integers(0, 2)))
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(said), file)
    return file.getvalue()


CHUNKS = [b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"zTXt", b"eXIf", b"acTL", b"fcTL"]


def _png(chunks):
    return b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
                    for name, data in chunks)


@st.composite
def changed_png(draw, content: bytes) -> bytes:
    """Return a PNG image whose chunks say something else, are left out or repeated, with right checksums."""
    chunks, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at:at + 4], "big")
        chunks.append([content[at + 4:at + 8], content[at + 8:at + 8 + length]])
        at += 12 + length
    how = draw(st.sampled_from(["head", "head", "drop", "repeat", "swap", "other"]))
    k = draw(st.integers(0, len(chunks) - 1))
    if how == "head":
        width, height = (draw(st.sampled_from([0, 1, 6, 8, 2**14, 2**31 - 1, 2**32 - 1])) for _ in range(2))
        depth, colours = draw(st.sampled_from([1, 2, 4, 8, 16, 3])), draw(st.sampled_from([0, 2, 3, 4, 6, 1]))
        others = [draw(st.integers(0, 1)) for _ in range(3)]
        chunks[0][1] = struct.pack(">IIBBBBB", width, height, depth, colours, *others)
    elif how == "drop":
        del chunks[k]
    elif how == "repeat":
        chunks.insert(k, chunks[k])
    elif how == "swap":
        chunks[0], chunks[k] = chunks[k], chunks[0]
    else:
        chunks.insert(1, [draw(st.sampled_from(CHUNKS)), draw(st.binary(max_size=30))])
    return content[:8] + _png(chunks)
