"""The numbers of other processors: code compiled for them gives the same, within rounding."""
import functools

import numpy as np
import pytest
from llvmlite import binding

SOME_STEPS = """
import json
import numpy as np
import nnjit as nn

rng, found = np.random.default_rng(4), {}
images, rows, steps = rng.random((48, 10, 10, 3)), rng.normal(size=(48, 37)), rng.normal(size=(48, 7, 5))
y = rng.integers(3, size=48)
networks = {
    "dense": (rows, lambda: [nn.Dense(33, activation="relu"), nn.BatchNormalization(),
                             nn.Dense(19, activation="gelu"), nn.Dense(3)]),
    "images": (images, lambda: [nn.Conv2D(9, 3, activation="relu"), nn.MaxPool2D(2),
                                nn.Conv2D(6, 3, groups=3), nn.Tanh(), nn.Flatten(), nn.Dense(3)]),
    "sequences": (steps, lambda: [nn.GRU(11, return_sequences=True), nn.LSTM(6), nn.LayerNormalization(),
                                  nn.Dense(3)])}
for name, (X, layers) in networks.items():
    for dtype in "float32", "float64":
        model = nn.Sequential(layers(), nn.Categorical(), dtype).build(X.shape[1:], seed=2)
        model.fit(X.astype(dtype), y, nn.Adam(0.01), epochs=3, batch_size=16, seed=1, verbose=0)
        found[f"{name}, {dtype}"] = [*model.vector.astype(float), model.evaluate(X.astype(dtype), y)["loss"]]
print(json.dumps(found))
"""


# a processor, and what this one must have to run the code for it
PROCESSORS = {"generic": "sse2", "haswell": "avx2", "skylake-avx512": "avx512f"}


@pytest.fixture
def trained(run_python):
    return functools.partial(run_python, SOME_STEPS)


@pytest.mark.compiled
@pytest.mark.torture
@pytest.mark.parametrize("processor", PROCESSORS)
def test_code_for_other_processors(trained, processor, count):
    if not binding.get_host_cpu_features().get(PROCESSORS[processor]):
        pytest.skip(f"this processor has no {PROCESSORS[processor]}")
    own, theirs = trained(), trained(NUMBA_CPU_NAME=processor, NUMBA_CPU_FEATURES="")
    for name, numbers in own.items():
        atol = 1e-3 if "float32" in name else 1e-10
        np.testing.assert_allclose(theirs[name], numbers, atol=atol, err_msg=name)
        count("trainings with code for other processors")
