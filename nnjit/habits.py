"""Names of other libraries that people try here, and what stands for them, for the messages of errors; the
packages of the extras.
"""
import importlib
from collections.abc import Mapping
from typing import Any

# of the package
NAMES = {
    "load_model": "nnjit.load(path)", "models": "nnjit.Sequential and nnjit.load",
    "Model": "nnjit.Sequential([...], head)", "Module": "a subclass of nnjit.Layer",
    "to_categorical": "class numbers as they are, which Categorical() takes",
    "utils": "class numbers as they are, which Categorical() takes",
    "Linear": "nnjit.Dense(units)", "Softmax": "head=nnjit.Categorical()",
    "CrossEntropyLoss": "head=nnjit.Categorical()", "MSELoss": "head=nnjit.Gaussian()",
    "BCEWithLogitsLoss": "head=nnjit.Bernoulli()", "BatchNorm1d": "nnjit.BatchNormalization()",
    "BatchNorm2d": "nnjit.BatchNormalization()", "MaxPooling2D": "nnjit.MaxPool2D()",
    "AveragePooling2D": "nnjit.AveragePool2D()", "GlobalMaxPooling2D": "nnjit.GlobalMaxPool2D()",
    "GlobalAveragePooling2D": "nnjit.GlobalAveragePool2D()", "ZeroPad2d": "nnjit.ZeroPadding2D()",
    "DepthwiseConv2D": "nnjit.Conv2D(channels, kernel_size, groups=channels)",
    "Add": "nnjit.Residual(layers, shortcut)", "ConvTranspose2d": "nnjit.Conv2DTranspose()",
    "MLPClassifier": "from nnjit.estimators import MLPClassifier",
    "MLPRegressor": "from nnjit.estimators import MLPRegressor",
}
# of a model
MODEL = {
    "compile": "Sequential(layers, head=Categorical()) and fit(X, y, Adam()): the head is the loss",
    "add": "all layers at once, Sequential([...], head)",
    "save_weights": "save(path)", "load_weights": "nnjit.load(path)", "state_dict": "parameters()",
    "load_state_dict": "set_weights(arrays)", "weights": "parameters()",
    "trainable_variables": "parameters()", "trainable_weights": "parameters()",
    "count_params": "summary()", "get_config": "repr(model)", "predict_classes": "predict(X)",
    "coefs_": "parameters()", "score": "evaluate(X, y)",
    "partial_fit": "train_on_batch(X, y, optimizer)",
    "train": "fit(X, y, optimizer)", "eval": "predict(X), which drops nothing",
    "zero_grad": "fit, which begins every gradient anew", "get_layer": "layers[i]",
    "fit_generator": "fit(stream, optimizer=...)",
}
# arguments of layers and optimisers
ARGUMENTS = {
    "lr": "learning_rate", "decay": "weight_decay, or a schedule as learning_rate",
    "kernel_regularizer": "l1= or l2=", "kernel_initializer": "init", "use_bias": "bias",
    "dilation_rate": "dilation", "count_include_pad": "count_padding",
    "input_shape": "Input(shape) as the first layer", "input_dim": "Input(shape) as the first layer",
    "out_features": "units", "in_features": "units alone", "out_channels": "filters",
    "amsgrad": "Adam without it", "clipnorm": "clip_norm", "betas": "beta_1= and beta_2=", "eps": "epsilon",
}


def hint(table: Mapping[str, str], name: str) -> str:
    """Return what stands for a name, as the end of a message, or nothing."""
    return f"; use {table[name]}" if name in table else ""


def import_extra(name: str, extra: str, what: str = "the package") -> Any:
    """Return a package of an extra; ImportError that says how to get it, and ``what`` it is for."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"got {error}, expected {what}; pip install nnjit[{extra}]") from None
