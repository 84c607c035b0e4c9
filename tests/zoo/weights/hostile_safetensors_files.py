"""Files of safetensors that are not what their header says."""

from __future__ import annotations

import struct

from weight_files import (
    KERNEL,
    safetensors_file,
)

# kinds that safetensors knows and NumPy does not, or hardly -> bits
RARE_KINDS = {"BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64}


def of_safetensors_files():
    one = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    content = KERNEL.tobytes()

    def changed(**parts):
        return safetensors_file({"a": {**one["a"], **parts}}, content)

    return {
        "header of terabytes": struct.pack("<Q", 2**42) + b"{}",
        "header of more than can be counted": b"\xff" * 8 + b"{}",
        "header that is no text": safetensors_file(b"{\xff\xfe", content),
        "header that is cut off": safetensors_file(b'{"a":', content),
        "header of lists": safetensors_file(b"{" + b"[" * 100_000, content),
        "header, deep": safetensors_file(b'{"a":' * 100_000, content),
        "header of nothing with content": safetensors_file({}, content),
        "shape of terabytes": changed(shape=[10**6, 10**6]),
        "shape of more than can be counted": changed(shape=[2**62, 2**62]),
        "shape below zero": changed(shape=[-2, -3]),
        "shape of fractions": changed(shape=[2.0, 3.0]),
        "shape of no numbers and too many": changed(shape=[0, 2**63]),
        "shape of text": changed(shape="23"),
        "offsets outside": changed(data_offsets=[0, 48]),
        "offsets of terabytes": changed(data_offsets=[0, 2**42], shape=[2**40]),
        "offsets turned round": changed(data_offsets=[24, 0]),
        "offsets below zero": changed(data_offsets=[-24, 0]),
        "kind that is unknown": changed(dtype="F33"),
        "kind of lines": changed(dtype="F\n33\u2028"),
        "content that is missing": safetensors_file(one, b""),
        "content that nobody names": safetensors_file(one, content + b"1"),
        "name twice": safetensors_file(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}', content),
        "tensors that overlap": safetensors_file({**one, "b": one["a"]}, content),
        "tensor of nothing": safetensors_file({"a": None}, content),
        **{f"kind {kind}": changed(dtype=kind, shape=[192 // bits]) for kind, bits in RARE_KINDS.items()},
    }  # fmt: skip
