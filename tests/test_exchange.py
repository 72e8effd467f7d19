"""Networks that leave for ONNX and safetensors, and come from PyTorch, Keras and ONNX."""
import json
import warnings
from pathlib import Path

import cases
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.backend.test.case.node import collect_testcases

import nnjit as nn
from nnjit import cli, exchange
from nnjit.exchange import onnx_heads, onnx_layers, onnx_reader
from nnjit.inputs.checks import DataError

DATA = Path(__file__).parent / "data"
rng = np.random.default_rng(2)


def squared_error(activation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.SquaredError(activation, **({} if activation == "linear" else {"classes": ["a", "b"]}))


# ---- ONNX: out ---------------------------------------------------------------------------------------------

def run_onnx(model, path, X, mask=None):
    """Write a model, and return what onnxruntime makes of it, {output: array}."""
    exchange.to_onnx(model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {"X": X.astype(np.float32)}
    if any(one.name == "mask" for one in session.get_inputs()):
        given["mask"] = np.ones(X.shape[:2], bool) if mask is None else mask
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, given)))


@pytest.mark.parametrize("name", cases.LAYERS)
def test_every_layer_answers_in_onnxruntime_as_here(tmp_path, name):
    model, shape = cases.network(cases.LAYERS[name], "float32"), cases.LAYERS[name].input_shape
    for array in (*model.parameters().values(), *model.state().values()):
        array += rng.uniform(0.05, 0.3, array.shape)
    X = rng.normal(size=(5, *shape)).astype(np.float32)
    found = run_onnx(model, tmp_path / "model.onnx", X)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    assert (found["decision"] == model.predict(X)).all() and found["decision"].dtype == np.int64
    one = run_onnx(model, tmp_path / "model.onnx", X[:1])    # the first dimension is free
    np.testing.assert_allclose(one["probabilities"], model.predict_proba(X[:1]), atol=1e-5)
    if len(shape) == 2 and all(layer.mask_use != "refuses" for layer in model.layers):
        mask = rng.random((5, shape[0])) < 0.7
        mask[:, 0] = True
        found = run_onnx(model, tmp_path / "model.onnx", X, mask)
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(X, mask=mask), atol=1e-5)


HEADS = {"Categorical": (lambda: nn.Categorical(temperature=2), 3),
         "Categorical of names": (lambda: nn.Categorical(classes=["x", "y", "z"]), 3),
         "Bernoulli": (lambda: nn.Bernoulli(0.3), 1), "Bernoulli of labels": (nn.Bernoulli, 3),
         "Bernoulli of names": (lambda: nn.Bernoulli(classes=["a", "b"]), 1),
         "Ordinal": (lambda: nn.Ordinal(4), 1),
         "Ordinal of names": (lambda: nn.Ordinal(["low", "mid", "high"]), 1), "Gaussian": (nn.Gaussian, 1),
         "Gaussian in its unit": (lambda: nn.Gaussian(loc=[1, 2], scale=[3, 4]), 2),
         "Laplace": (nn.Laplace, 2), "Huber": (nn.Huber, 1), "Poisson": (nn.Poisson, 2),
         "SquaredError": (lambda: squared_error("sigmoid"), 1),
         "SquaredError of numbers": (lambda: squared_error("linear"), 2)}


@pytest.mark.parametrize("name", HEADS)
def test_every_head_answers_in_onnxruntime_as_here(tmp_path, name):
    head, units = HEADS[name]
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(units)], head()).build(4, seed=3)
    X = rng.normal(size=(7, 4)).astype(np.float32)
    found = run_onnx(model, tmp_path / "model.onnx", X)
    if model.head.classifies:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
        assert found["decision"].tolist() == model.predict(X).tolist()
    else:
        assert list(found) == ["prediction"]
        np.testing.assert_allclose(found["prediction"], model.predict(X), rtol=1e-5, atol=1e-5)
    props = {one.key: one.value for one in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(props.get("classes", "null")) == model.head.names


def test_several_heads_and_outputs_at_every_step(tmp_path):
    head = nn.Heads(kind=nn.Categorical(classes=["a", "b", "c"]), sign=nn.Bernoulli(), size=nn.Gaussian(),
                    units={"kind": 3, "sign": 1, "size": 1})
    model = nn.Sequential([nn.GRU(6, return_sequences=True), nn.Dense(5)], head).build((4, 2), seed=1)
    X = rng.normal(size=(3, 6, 2)).astype(np.float32)    # also of other lengths
    found, own, p = run_onnx(model, tmp_path / "model.onnx", X), model.predict(X), model.predict_proba(X)
    assert list(found) == ["kind_decision", "kind_probabilities", "sign_decision", "sign_probabilities",
                           "size_prediction"]
    for name in "kind", "sign":
        assert found[f"{name}_decision"].tolist() == own[name].tolist()
        np.testing.assert_allclose(found[f"{name}_probabilities"], p[name], atol=1e-5)
    np.testing.assert_allclose(found["size_prediction"], own["size"], atol=1e-5)


def test_no_layer_and_no_head_is_missing():
    kinds = [kind for kind in vars(nn).values() if isinstance(kind, type)]
    layers = {kind for kind in kinds if issubclass(kind, nn.Layer)} - {nn.Layer, nn.Activation, nn.Input}
    heads = {kind for kind in kinds if issubclass(kind, nn.Head)} - {nn.Head, nn.Heads}
    assert layers - {nn.Input} == set(onnx_layers.LAYERS) and heads == set(onnx_heads.HEADS)


def test_what_has_no_operators_is_refused_by_name(tmp_path):
    class Double(nn.Layer):
        def forward(self, x, out, ctx):
            return np.multiply(x, 2, out=out)

    model = nn.Sequential([Double(), nn.Dense(2)], nn.Categorical()).build(3)
    with pytest.raises(ValueError, match=r"to_onnx: got Double\(\), for which there is no operator"):
        exchange.to_onnx(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    with pytest.raises(ValueError, match="not built yet"):
        exchange.to_onnx(nn.Sequential([nn.Dense(2)], nn.Categorical()), tmp_path / "model.onnx")


# ---- ONNX: in ----------------------------------------------------------------------------------------------

def backend_cases():
    """Return ONNX's own cases of a single operator that the reader knows."""
    found = {}
    for case in collect_testcases(None):
        if case.model is None or len(case.model.graph.node) != 1:
            continue
        if case.model.graph.node[0].op_type in onnx_reader._OPERATORS:
            found[case.name] = case
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning",
                            "ignore:Gaussian")
def test_onnx_own_cases_pass_or_are_refused_by_name(tmp_path):
    passed, refused = set(), set()
    for name, case in backend_cases().items():
        (first, *others), (expected, *_) = case.data_sets[0]
        made = onnx.ModelProto.FromString(case.model.SerializeToString())
        for one, array in zip(list(made.graph.input)[1:], others):
            made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), one.name))
        del made.graph.input[1:]
        path = tmp_path / "case.onnx"
        path.write_bytes(made.SerializeToString())
        try:
            model = exchange.from_onnx(path)
        except DataError as error:
            assert "got " in str(error) and ", expected " in str(error), (name, error)
            refused.add(name)
            continue
        X, expected = np.asarray(first, np.float32), np.asarray(expected)
        X = X.transpose(0, 2, 3, 1) if X.ndim == 4 else X
        found = model.predict_proba(X) if "softmax" in name else model.logits(X)
        if expected.ndim == 4:
            expected = expected.transpose(0, 2, 3, 1)
        # some are written with four digits
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-4, err_msg=name)
        passed.add(name)
    for name in ("basic_conv_with_padding", "conv_with_strides_and_asymmetric_padding", "globalmaxpool",
                 "relu", "maxpool_2d_same_lower", "averagepool_2d_pads_count_include_pad",
                 "gemm_default_vector_bias", "gemm_transposeB", "softmax_example"):
        assert f"test_{name}" in passed, refused
    assert len(passed) >= 50


def write(graph, path):
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(made.SerializeToString())


@pytest.mark.parametrize("case", ["dense", "images"])
def test_a_network_comes_back_as_pytorch_writes_it(tmp_path, case):
    """Channels first, with Flatten and Gemm behind; by hand, since PyTorch's exporter is not at hand."""
    arrays, state = torch_case(case)
    nodes, W = [], {name: array for name, array in state.items() if "num_batches" not in name}
    if case == "dense":
        nodes = [helper.make_node("Gemm", ["X", "0.weight", "0.bias"], ["a"], transB=1),
                 helper.make_node("Tanh", ["a"], ["b"]),
                 helper.make_node("Gemm", ["b", "2.weight", "2.bias"], ["c"], transB=1)]
    else:
        nodes = [helper.make_node("Conv", ["X", "0.weight", "0.bias"], ["a"], strides=[2, 2], pads=[1] * 4),
                 helper.make_node("BatchNormalization", ["a", "1.weight", "1.bias", "1.running_mean",
                                                         "1.running_var"], ["b"]),
                 helper.make_node("Relu", ["b"], ["c"]),
                 helper.make_node("Conv", ["c", "3.weight"], ["d"], group=2),
                 helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], pads=[1, 1, 1, 1]),
                 helper.make_node("Flatten", ["e"], ["f"]),
                 helper.make_node("Gemm", ["f", "6.weight", "6.bias"], ["c2"], transB=1)]
    last = nodes[-1].output[0]
    nodes.append(helper.make_node("Softmax", [last], ["p"], axis=1))
    x = arrays["x"].transpose(0, 3, 1, 2) if arrays["x"].ndim == 4 else arrays["x"]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("X", 1, ["N", *x.shape[1:]])],
        [helper.make_tensor_value_info("p", 1, ["N", "K"])],
        [onnx.numpy_helper.from_array(array, name) for name, array in W.items()])
    path = tmp_path / "model.onnx"
    write(graph, path)
    model = exchange.from_onnx(path)
    np.testing.assert_allclose(model.logits(arrays["x"]), arrays["y"], atol=1e-5)
    assert type(model.head) is nn.Categorical


@pytest.mark.parametrize("node, message", [
    (("Selu", ["X"]), "got the operator Selu, which the library lacks, expected Add, AveragePool"),
    (("Add", ["X", "X"]), "got Add, expected biases behind MatMul"),
    (("Flatten", ["X"]), "got images laid flat as the output")])
def test_what_the_library_lacks_is_named(tmp_path, node, message):
    shape = ["N", 2, 3, 3] if node[0] == "Flatten" else ["N", 3]
    graph = helper.make_graph([helper.make_node(*node, ["y"])], "g",
                              [helper.make_tensor_value_info("X", 1, shape)],
                              [helper.make_tensor_value_info("y", 1, ["N", "K"])])
    write(graph, tmp_path / "x.onnx")
    with pytest.raises(DataError) as caught:
        exchange.from_onnx(tmp_path / "x.onnx")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def tensor(name, shape=(3, 2), **changes):
    made = onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def external():
    made = tensor("W")
    made.ClearField("raw_data")
    made.data_location = onnx.TensorProto.EXTERNAL
    made.external_data.add(key="location", value="secret.bin")
    return made


@pytest.mark.parametrize("nodes, constants, shape, message", [
    ([("MatMul", ["X", "W"])], [external()], [3], "weights in other files"),
    ([("MatMul", ["X", "W"])], [tensor("W", (4, 2))], [3], r"got weights of shape \(4, 2\) for rows of 3"),
    ([("MatMul", ["X", "W"])], [tensor("W", (3, 2))], [10**12], r"for rows of 1000000000000 numbers"),
    ([("Conv", ["X", "W"])], [tensor("W", (2, 2, 1, 1))], [10**9, 4, 4], "images of 1000000000 channels"),
    ([("BatchNormalization", ["X", *"WWWW"])], [tensor("W", (2,))], [10**12], r"arrays of shape \(2,\)"),
    ([("MatMul", ["X", "W"])], [tensor("W", raw_data=b"1234")], [3], "damaged|fit together")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_networks_that_lie_are_refused_early(tmp_path, monkeypatch, nodes, constants, shape, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    graph = helper.make_graph([helper.make_node(*node, ["y"]) for node in nodes], "g",
                              [helper.make_tensor_value_info("X", 1, ["N", *shape])],
                              [helper.make_tensor_value_info("y", 1, ["N", "K"])], constants)
    write(graph, tmp_path / "x.onnx")
    with pytest.raises(DataError, match=message):
        exchange.from_onnx(tmp_path / "x.onnx")


# ---- PyTorch, Keras ----------------------------------------------------------------------------------------

def torch_case(name, file="torch"):
    """Return {"x", "y"}, and the state, of a network that PyTorch or Keras has made."""
    with np.load(DATA / f"{file}.npz") as archive:
        own = {key.removeprefix(f"{name}/"): archive[key] for key in archive.files
               if key.startswith(f"{name}/")}
    state = {key.partition("/")[2]: array for key, array in own.items() if "/" in key}
    return own, state


TORCH = {
    "dense": lambda: [nn.Dense(5), nn.Tanh(), nn.Dense(3)],
    "images": lambda: [nn.Conv2D(4, 3, 2, padding=1), nn.BatchNormalization(epsilon=1e-5), nn.ReLU(),
                       nn.Conv2D(4, (2, 1), padding="valid", groups=2, bias=False),
                       nn.MaxPool2D(2, 1, padding=1), nn.Flatten(), nn.Dense(3)],
    "transposed": lambda: [nn.Conv2DTranspose(2, 3, 2, padding=1, output_padding=1), nn.Tanh(), nn.Flatten(),
                           nn.Dense(2)],
    "gru": lambda: [nn.GRU(4), nn.Dense(2)], "lstm": lambda: [nn.LSTM(4), nn.Dense(2)],
    "steps": lambda: [nn.Conv1D(4, 3, padding="valid", dilation=2), nn.LayerNormalization(1e-5), nn.Flatten(),
                      nn.Dense(2)]}
KERAS = {
    "dense": TORCH["dense"],
    "images": lambda: [nn.Conv2D(4, (3, 2), 2), nn.BatchNormalization(), nn.ReLU(),
                       nn.Conv2DTranspose(3, 3, 2), nn.MaxPool2D(3, 2, "same"),
                       nn.AveragePool2D(2, 1, "same"), nn.Flatten(), nn.Dense(2)],
    "gru": lambda: [nn.GRU(4, return_sequences=True), nn.LayerNormalization(), nn.Flatten(), nn.Dense(2)],
    "lstm": lambda: [nn.LSTM(4), nn.Dense(2)],
    "steps": lambda: [nn.Conv1D(4, 3, padding="causal", dilation=2), nn.Flatten(), nn.Dense(2)]}


def built(layers, x):
    return nn.Sequential(layers, nn.Categorical()).build(x.shape[1:], seed=5)


@pytest.mark.parametrize("name", TORCH)
def test_weights_of_pytorch(name):
    arrays, state = torch_case(name)
    model = exchange.from_torch(built(TORCH[name](), arrays["x"]), state)
    np.testing.assert_allclose(model.logits(arrays["x"]), arrays["y"], atol=1e-5)
    back = exchange.to_torch_state(model)
    again = exchange.from_torch(built(TORCH[name](), arrays["x"]), back)
    assert (again.vector == model.vector).all()
    assert (again.logits(arrays["x"]) == model.logits(arrays["x"])).all()
    if name != "lstm":    # whose two biases are one here
        given = [array for key, array in state.items() if "num_batches" not in key]
        assert all((one == other).all() for one, other in zip(back.values(), given))


@pytest.mark.parametrize("name", KERAS)
def test_weights_of_keras(name):
    arrays, state = torch_case(name, "keras")
    weights = [state[str(i)] for i in range(len(state))]
    model = exchange.from_keras(built(KERAS[name](), arrays["x"]), weights)
    np.testing.assert_allclose(model.logits(arrays["x"]), arrays["y"], atol=1e-5)


def test_weights_of_two_ways():
    def network():
        two_ways = nn.Residual([nn.Conv2D(3, 3), nn.Tanh()], [nn.Conv2D(3, 1)])
        return built([two_ways, nn.Flatten(), nn.Dense(2)], np.ones((1, 4, 4, 2)))

    model, other = network(), network()
    model.vector[:] = rng.normal(size=model.vector.shape)
    state = exchange.to_torch_state(model)
    assert list(state) == ["0.0.weight", "0.0.bias", "0.shortcut.0.weight", "0.shortcut.0.bias", "2.weight",
                           "2.bias"]
    X = rng.normal(size=(2, 4, 4, 2))
    assert (exchange.from_torch(other, state).logits(X) == model.logits(X)).all()


@pytest.mark.parametrize("change, message", [
    (lambda state: state.pop("2.bias"), r"state: got 3 arrays, expected one of shape \(3,\) for 2.bias"),
    (lambda state: state.update(more=np.ones(3)), "state: got more of shape .* for which there is no"),
    (lambda state: state.update({"0.weight": np.ones((4, 5))}),
     r"got 0.weight of shape \(4, 5\), expected \(5, 4\)")])
def test_weights_that_do_not_fit(change, message):
    arrays, state = torch_case("dense")
    model, before = built(TORCH["dense"](), arrays["x"]), None
    before = model.vector.copy()
    change(state)
    with pytest.raises(ValueError, match=message):
        exchange.from_torch(model, state)
    assert (model.vector == before).all()
    with pytest.raises(ValueError, match="GRU.*expected reset_after=True"):
        exchange.from_torch(built([nn.GRU(4, reset_after=False), nn.Dense(2)], np.ones((1, 5, 3))), {})


# ---- safetensors -------------------------------------------------------------------------------------------

def small(seed=0, dtype="float32"):
    layers = [nn.Dense(4), nn.BatchNormalization(), nn.ReLU(), nn.Dense(2)]
    return nn.Sequential(layers, nn.Categorical(), dtype).build(3, seed)


def test_safetensors_there_and_back(tmp_path):
    model, path = small(), tmp_path / "model.safetensors"
    model.state()["1.moving_mean"][:] = 0.5
    exchange.to_safetensors(model, path)
    from safetensors.numpy import load_file
    assert set(load_file(path)) == {*model.parameters(), *model.state()}
    same = exchange.from_safetensors(small(1), path)
    X = rng.normal(size=(4, 3))
    assert (same.logits(X) == model.logits(X)).all()


def test_safetensors_that_do_not_fit(tmp_path):
    path = tmp_path / "model.safetensors"
    exchange.to_safetensors(small(), path)
    other = nn.Sequential([nn.Dense(4), nn.Dense(2)], nn.Categorical()).build(3)
    for model, message in [(small(dtype="float64"), r"got 0.W of F32 \(3, 4\), expected float64 \(3, 4\)"),
                           (other, "lacks 1.W, 1.b"),
                           (small().build(5), r"got 0.W of F32 \(3, 4\), expected float32 \(5, 4\)")]:
        before = model.vector.copy()
        with pytest.raises(DataError, match=message):
            exchange.from_safetensors(model, path)
        assert (model.vector == before).all()
    with pytest.raises(DataError, match="cannot be read|no safetensors"):
        exchange.from_safetensors(small(), tmp_path / "none")


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 0.999), bit=st.integers(0, 7), cut=st.booleans())
def test_damaged_files_are_found(tmp_path_factory, place, bit, cut):
    """A flipped bit or a cut, anywhere, in both kinds of files: DataError, or the same network."""
    folder, model = tmp_path_factory.mktemp("damaged"), small()
    X = np.ones((2, 3))
    for write, read, name in [
            (exchange.to_safetensors, lambda path: exchange.from_safetensors(small(1), path),
             "x.safetensors"),
            (exchange.to_onnx, exchange.from_onnx, "x.onnx")]:
        write(model, folder / name)
        content = bytearray((folder / name).read_bytes())
        at = int(place * len(content))
        if cut:
            del content[at:]
        else:
            content[at] ^= 1 << bit
        (folder / name).write_bytes(content)
        try:
            found = read(folder / name)
        except DataError as error:
            assert "\n" not in str(error)
            continue
        if name.endswith("safetensors"):
            assert (found.logits(X) == model.logits(X)).all()


# ---- the command -------------------------------------------------------------------------------------------

def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small().save("model.npz")
    assert cli.main("export model.npz --to onnx".split()) == 0
    assert cli.main("export . --to safetensors --out weights.safetensors".split()) == 0
    assert "saved    model.onnx" in capsys.readouterr().out
    assert (tmp_path / "weights.safetensors").exists() and (tmp_path / "model.onnx").exists()
    assert cli.main("export nowhere --to onnx".split()) == 1
    assert "nnjit: error: nowhere: got no such file" in capsys.readouterr().err
