"""What PyTorch writes is read as it meant it."""

from __future__ import annotations

import collections
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensor_files import as_numpy, assert_same, need_torch
from weight_files import SHARED_WEIGHTS, read

import zoo
from zoo.weights.readers import read_tensors

FORMATS = ["zip", "legacy"]


def saved(folder, value, form):
    torch = need_torch()
    path = folder / f"{form}.pth"
    torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    return path


DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMATS)
def test_numbers_of_every_kind_are_read(tmp_path, form, dtype):
    torch = need_torch()
    values = torch.tensor([[0, 1, 2], [100, 3, 127]])
    values = values.bool() if dtype == "bool" else values.to(getattr(torch, dtype)) / 1
    value = values.to(getattr(torch, dtype))
    tensors = read_tensors(saved(tmp_path, {"a": value, "scalar": value[1, 1]}, form))
    assert_same(tensors, {"a": value, "scalar": value[1, 1]})
    assert tensors["scalar"].shape == ()
    if dtype != "bool":
        assert tensors["a"].dtype == dtype


@pytest.mark.parametrize("form", FORMATS)
def test_numbers_that_are_none_are_read_bit_for_bit(tmp_path, form):
    torch = need_torch()
    odd = [float("nan"), float("inf"), -float("inf"), -0.0, 1e-45, 3.4e38]
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        value = torch.tensor(odd).to(dtype)
        read_again = read_tensors(saved(tmp_path, {"a": value}, form))["a"]
        assert read_again.tobytes() == as_numpy(value).tobytes()


@pytest.mark.parametrize("form", FORMATS)
def test_what_checkpoints_hold_beside_tensors_is_passed_over(tmp_path, form):
    torch = need_torch()
    value = torch.arange(6.0).reshape(2, 3)
    beside = {"best": np.float64(76.5), "seen": {1, 2}, "device": torch.device("cpu"), "accuracy": torch.tensor(0.5)}
    checkpoint = {**beside, "state_dict": {"a": value}}
    assert_same(read_tensors(saved(tmp_path, checkpoint, form)), {"a": value})


@pytest.mark.parametrize("form", FORMATS)
def test_tensors_of_every_layout_are_read(tmp_path, form):
    torch = need_torch()
    base = torch.arange(120, dtype=torch.float32).reshape(2, 3, 4, 5)
    state = {
        "whole": base,
        "transposed": base.transpose(0, 3),
        "permuted": base.permute(2, 3, 1, 0),
        "channels last": base.contiguous(memory_format=torch.channels_last),
        "row": base[1],
        "strided": base[:, ::2, 1:3, :: -1 % 5],
        "diagonal": torch.diagonal(torch.arange(9.0).reshape(3, 3)),
        "number": base[1, 2, 3, 4],
        "of one axis": base.reshape(1, 1, -1),
        "of one number": torch.ones(1, 1, 1, 1),
    }
    assert_same(read_tensors(saved(tmp_path, state, form)), state)


@pytest.mark.parametrize("form", FORMATS)
def test_empty_tensors_are_read(tmp_path, form):
    torch = need_torch()
    state = {"a": torch.zeros(0), "b": torch.zeros(3, 0, 2), "c": torch.ones(2), "d": torch.ones(4)[2:2]}
    assert_same(read_tensors(saved(tmp_path, state, form)), state)


@pytest.mark.parametrize("form", FORMATS)
def test_tensors_that_share_a_storage_are_read(tmp_path, form):
    torch = need_torch()
    base = torch.arange(12, dtype=torch.float32)
    state = {"base": base, "end": base[8:], "again": base, "square": base[:9].reshape(3, 3).T}
    tensors = read_tensors(saved(tmp_path, state, form))
    assert_same(tensors, state)
    if form == "legacy":  # one storage in the file, one in memory
        assert np.shares_memory(tensors["base"], tensors["end"])


@pytest.mark.parametrize("form", FORMATS)
def test_the_state_of_a_module_is_read(tmp_path, form):
    torch = need_torch()
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())
    tensors = read_tensors(saved(tmp_path, module.state_dict(), form))
    assert_same(tensors, module.state_dict())
    assert tensors["1.num_batches_tracked"] == 0


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
@pytest.mark.parametrize("form", FORMATS)
def test_parameters_are_read(tmp_path, form, kind):
    torch = need_torch()
    state = kind(a=torch.nn.Parameter(torch.rand(2, 3).T), b=torch.nn.Parameter(torch.ones(2), requires_grad=False))
    assert_same(read_tensors(saved(tmp_path, state, form)), state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_newer_protocols_are_read(tmp_path, protocol):
    torch = need_torch()
    state = {f"layer.{i}": torch.full((2, i), float(i)) for i in range(1, 300)}
    torch.save(state, tmp_path / "a.pth", pickle_protocol=protocol)
    assert_same(read_tensors(tmp_path / "a.pth"), state)


@pytest.mark.parametrize("form", FORMATS)
def test_a_checkpoint_gives_its_state_dict(tmp_path, form):
    torch = need_torch()
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 90,
        "arch": "linear",
        "best": 76.5,
        "big": 2**80,
        "nothing": None,
        "flags": [True, False, (1, 2.5)],
        "shape": torch.Size([2, 3]),
        "optimizer": optimizer.state_dict(),
        "state_dict": module.state_dict(),
    }
    assert_same(read_tensors(saved(tmp_path, checkpoint, form)), module.state_dict())


@pytest.mark.parametrize("form", FORMATS)
def test_a_tensor_beside_the_state_dict_does_not_hide_it(tmp_path, form):
    torch = need_torch()
    state = {"a": torch.ones(2), "b": torch.zeros(3)}
    checkpoint = {"epoch": 90, "best_acc1": torch.tensor(76.5), "state_dict": state}
    assert_same(read_tensors(saved(tmp_path, checkpoint, form)), state)


@pytest.mark.parametrize("form", FORMATS)
def test_a_state_under_another_name_is_found(tmp_path, form):
    torch = need_torch()
    state = {"a": torch.ones(2), "b": torch.zeros(3)}
    assert_same(read_tensors(saved(tmp_path, {"epoch": 3, "model": state}, form)), state)


@pytest.mark.parametrize("value", ["tensor", "list", "numbers", "empty"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_without_named_tensors_is_refused(tmp_path, form, value):
    torch = need_torch()
    values = {"tensor": torch.ones(2), "list": [torch.ones(2)], "numbers": {"a": 1}, "empty": {}}
    path = saved(tmp_path, values[value], form)
    with pytest.raises(zoo.WeightsError, match="no dictionary of named tensors"):
        read_tensors(path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_module_is_refused_because_it_is_code(tmp_path, form):
    torch = need_torch()
    with pytest.raises(zoo.WeightsError, match="nothing was executed"):
        read_tensors(saved(tmp_path, torch.nn.Linear(3, 2), form))


@pytest.mark.parametrize("form", FORMATS)
def test_views_drawn_at_random_are_read(tmp_path_factory, form):
    torch = need_torch()
    folder = tmp_path_factory.mktemp("views")

    @settings(deadline=None, derandomize=True, max_examples=40)
    @given(
        shape=arrays.array_shapes(min_dims=1, max_dims=4, max_side=5),
        data=st.data(),
    )
    def check(shape, data):
        base = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)
        order = data.draw(st.permutations(range(len(shape))))
        view = base.permute(*order)
        for axis, length in enumerate(view.shape):
            start = data.draw(st.integers(0, length - 1))
            step = data.draw(st.integers(1, 3))
            view = view.narrow(axis, start, length - start)
            view = view[(slice(None),) * axis + (slice(None, None, step),)]
        state = {"base": base, "view": view}
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=form == "zip")
        assert_same(read(folder, file.getvalue()), state)

    check()


@pytest.mark.parametrize("file", ["resnet20-12fca82f.th", "resnet56-4bfd9763.th"])
def test_published_files_are_read_as_torch_reads_them(file):
    torch = need_torch()
    path = SHARED_WEIGHTS / file
    if not path.is_file():
        pytest.skip(f"{file} is not among the shared files")
    expected = torch.load(path, weights_only=False, map_location="cpu")["state_dict"]
    assert_same(read_tensors(path), expected)
