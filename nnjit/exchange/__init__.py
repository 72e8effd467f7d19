"""Trained networks leave for other libraries, and come from them.

In reading order: `tensors`, safetensors files; `libraries`, the weights of PyTorch and Keras; `onnx_writer`,
a network as an ONNX file, from `onnx_layers` and `onnx_heads`; `onnx_reader`, the way back.
"""
from .libraries import from_keras, from_torch, to_torch_state
from .onnx_reader import from_onnx
from .onnx_writer import to_onnx
from .tensors import from_safetensors, to_safetensors

__all__ = ["from_keras", "from_onnx", "from_safetensors", "from_torch", "to_onnx", "to_safetensors",
           "to_torch_state"]
