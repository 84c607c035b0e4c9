"""What is timed without training, and who takes part: tables that import no framework."""

from __future__ import annotations

from typing import NamedTuple

SECTIONS = ("softmax", "cnn", "resnet20")
SHAPES = {"softmax": (28, 28, 1), "cnn": (28, 28, 1), "resnet20": (32, 32, 3)}
BATCH = 256
SIZES = (1, BATCH)  # images a call


class Contestant(NamedTuple):
    """Who takes part.

    Attributes:
        title: what tables call it.
        module: the module of this folder that makes it, in a process of its own.
        needs: packages that may be missing.
        format: of `zoo.exporting.formats.FORMATS`, where it is one.
    """

    title: str
    module: str = "inference_keras"
    needs: tuple[str, ...] = ("tensorflow",)
    format: str = ""


CONTESTANTS = {
    "predict": Contestant("`model.predict`"),
    "call": Contestant("`model(x)`"),
    "function": Contestant("`tf.function`"),
    "keras": Contestant("exported .keras, `model(x)`", format="keras"),
    "saved_model": Contestant("exported SavedModel", format="saved_model"),
    "onnx": Contestant("exported ONNX, onnxruntime", needs=("tf2onnx", "onnx", "onnxruntime"), format="onnx"),
    "litert": Contestant("exported LiteRT", needs=("ai_edge_litert",), format="litert"),
    "litert_int8": Contestant("exported LiteRT, 8-bit", needs=("ai_edge_litert",), format="litert_int8"),
    "pytorch": Contestant("PyTorch, eager", "inference_torch", ("torch",)),
    "pytorch_traced": Contestant("PyTorch, traced and frozen", "inference_torch", ("torch",)),
}
FLOAT_FORMATS = ("saved_model", "onnx", "litert")  # what targets are about
