"""Tensors of PyTorch and NumPy, compared bit for bit."""

from __future__ import annotations

import numpy as np
import pytest


def need_torch():
    return pytest.importorskip("torch", reason="Torch, which writes the files of this test, is not installed")


def assert_same(tensors, expected):
    assert list(tensors) == list(expected)
    for name, value in expected.items():
        wanted = value if isinstance(value, np.ndarray) else as_numpy(value)
        assert tensors[name].shape == wanted.shape, name
        np.testing.assert_array_equal(tensors[name], wanted, err_msg=name)


def as_numpy(tensor):
    torch = need_torch()
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view("bfloat16")
    return tensor.numpy()
