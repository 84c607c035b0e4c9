"""What other programs write is read as they meant it."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from weight_files import BIAS, GOOD, KERNEL, ROOT, SHARED_WEIGHTS, npy_header, read, write

import zoo
from zoo.weights.readers import read_tensors

FORMATS = ["zip", "legacy"]
SUFFIXES = [".npy", ".th", ".pth", ".safetensors", ".h5", ""]


def need_torch():
    return pytest.importorskip("torch", reason="Torch, which writes the files of this test, is not installed")


def saved(folder, value, form):
    torch = need_torch()
    path = folder / f"{form}.pth"
    torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    return path


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


# Files made by hand


@pytest.mark.parametrize("kind", GOOD)
def test_a_file_made_by_hand_is_read(tmp_path, kind):
    names = ("conv1/weights", "conv1/biases") if kind == "npy" else ("a", "b")
    tensors = read(tmp_path, GOOD[kind])
    assert isinstance(tensors, dict)
    second = BIAS if kind in ("npy", "safetensors") else KERNEL.ravel()[1::2]
    assert_same(tensors, dict(zip(names, (KERNEL, second), strict=True)))


@pytest.mark.parametrize("suffix", SUFFIXES, ids=lambda suffix: suffix or "none")
@pytest.mark.parametrize("kind", GOOD)
def test_the_content_decides_the_kind_and_not_the_suffix(tmp_path, kind, suffix):
    assert len(read(tmp_path, GOOD[kind], f"weights{suffix}")) == 2


@pytest.mark.parametrize("kind", ["npy", "th", "pth"])
def test_arrays_cannot_be_written_to_and_outlive_the_dictionary(tmp_path, kind):
    arrays = list(read(tmp_path, GOOD[kind]).values())
    (tmp_path / "weights.bin").unlink()
    np.testing.assert_array_equal(arrays[0], KERNEL)
    with pytest.raises(ValueError, match="read-only"):
        arrays[0][0, 0] = 1


def test_arrays_are_the_same_after_their_pages_are_forgotten(tmp_path):
    tensors = read(tmp_path, GOOD["th"])
    tensors.forget_pages()
    np.testing.assert_array_equal(tensors["a"], KERNEL)


def test_reading_imports_neither_tensorflow_nor_torch(tmp_path):
    write(tmp_path / "weights.pth", GOOD["pth"])
    script = (
        "import sys, pathlib; from zoo.weights.readers import read_tensors;"
        f"print(len(read_tensors(pathlib.Path({str(tmp_path / 'weights.pth')!r}))),"
        "[m for m in ('tensorflow', 'keras', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "[]"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"hello, I am text\n" * 20, b"\x89HDF\r\n\x1a\n" + bytes(100)],
    ids=["empty", "byte", "text", "hdf"],
)
def test_a_file_of_no_known_kind_is_refused(tmp_path, content):
    with pytest.raises(zoo.WeightsError, match=r"weights\.bin: .*(empty|no weight file of a known kind)"):
        read(tmp_path, content)


def test_what_is_no_file_is_refused_with_its_name(tmp_path):
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(zoo.WeightsError) as refusal:
            read_tensors(path)
        assert str(refusal.value).startswith(f"{path}: ")


# Torch


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


# NumPy


def npy(dictionary):
    file = io.BytesIO()
    np.save(file, dictionary, allow_pickle=True)
    return file.getvalue()


def with_protocol(dictionary, protocol):
    """As NumPy of other versions writes it: the header, and the pickle of the array."""
    return npy_header() + pickle.dumps(np.array(dictionary, dtype=object), protocol=protocol)


def layers(order="C", dtype=np.float32):
    random = np.random.default_rng(0)
    kernels = {"conv1": (3, 3, 2, 4), "fc8": (5, 2)}
    made = {name: [random.normal(size=s).astype(dtype), np.ones(s[-1], dtype)] for name, s in kernels.items()}
    return {name: [np.asarray(part, order=order) for part in parts] for name, parts in made.items()}


def flat(dictionary):
    return {
        f"{name}/{p}": a
        for name, parts in dictionary.items()
        for p, a in zip(("weights", "biases"), parts, strict=True)
    }


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2", ">f4", ">f8", ">i4", "<i8", "|u1", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_dictionary_of_lists_is_read(tmp_path, order, dtype):
    dictionary = layers(order, dtype)
    tensors = read(tmp_path, npy(dictionary))
    assert_same(tensors, flat(dictionary))
    assert {array.dtype.newbyteorder("=") for array in tensors.values()} == {np.dtype(dtype).newbyteorder("=")}


def test_a_dictionary_of_tuples_and_one_of_dictionaries_are_read(tmp_path):
    expected = flat(layers())
    named = {name: {"biases": parts[1], "weights": parts[0]} for name, parts in layers().items()}
    assert_same(read(tmp_path, npy({name: tuple(parts) for name, parts in layers().items()})), expected)
    tensors = read(tmp_path, npy(named))
    assert_same({name: tensors[name] for name in expected}, expected)
    assert len(tensors) == len(expected)


def test_layers_without_biases_and_with_parts_of_other_names_are_read(tmp_path):
    dictionary = {"conv1": [KERNEL], "bn1": {"mean": BIAS, "scale": BIAS}}
    assert_same(read(tmp_path, npy(dictionary)), {"conv1/weights": KERNEL, "bn1/mean": BIAS, "bn1/scale": BIAS})


@pytest.mark.parametrize("protocol", [3, 4])
def test_dictionaries_in_pickles_of_every_protocol_are_read(tmp_path, protocol):
    assert_same(read(tmp_path, with_protocol(layers(), protocol)), flat(layers()))


def test_slices_and_empty_and_single_numbers_are_read(tmp_path):
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    dictionary = {
        "a": [base[:, ::2, ::-1], base[0, 0]],
        "b": [np.zeros((0, 3), np.float32), np.array(2, np.float32)],
    }
    assert_same(read(tmp_path, npy(dictionary)), flat(dictionary))


def test_a_dictionary_that_is_the_only_element_of_a_list_is_read(tmp_path):
    assert_same(read(tmp_path, npy(np.array([layers()]))), flat(layers()))


@pytest.mark.parametrize("value", ["numbers", "two", "text", "nested", "three", "objects"])
def test_what_is_no_dictionary_of_arrays_is_refused(tmp_path, value):
    values = {
        "numbers": KERNEL,
        "two": np.array([{}, {}]),
        "text": {"conv1": ["weights", "biases"]},
        "nested": {"block1": {"conv1": [KERNEL, BIAS]}},
        "three": {"conv1": [KERNEL, BIAS, BIAS]},
        "objects": {"conv1": [np.array([None, {}], dtype=object), BIAS]},
    }
    with pytest.raises(zoo.WeightsError, match=r"weights\.bin: it"):
        read(tmp_path, npy(values[value]))


def py2_string(content):
    return b"U" + bytes([len(content)]) + content


def py2_array(array, data, memo):
    """What Python 2 writes at protocol 2; long data is a BINSTRING, and `memo` numbers what is used again."""
    dtype = array.dtype
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq" + bytes([memo])
        + b"cnumpy\nndarray\nq" + bytes([memo + 1])
        + b"K\x00\x85" + py2_string(b"b") + b"\x87R"
        + b"(K\x01" + b"".join(b"K" + bytes([n]) for n in array.shape) + {1: b"\x85", 2: b"\x86"}[array.ndim]
        + b"cnumpy\ndtype\n" + py2_string(f"{dtype.kind}{dtype.itemsize}".encode()) + b"K\x00K\x01\x87R"
        + b"(K\x03" + py2_string(dtype.str[:1].encode())
        + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        + b"\x89" + b"T" + struct.pack("<i", len(data)) + data
        + b"tb"
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_what_python_2_wrote_is_read(tmp_path, dtype):
    kernel, bias = KERNEL.astype(dtype), BIAS.astype(dtype)
    lists = b"}q\x01(" + py2_string(b"conv1") + b"]q\x02("
    lists += py2_array(kernel, kernel.tobytes(), 10) + py2_array(bias, bias.tobytes(), 20) + b"eu"
    outer = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + py2_string(b"b") + b"\x87R"
    outer += b"(K\x01)cnumpy\ndtype\n" + py2_string(b"O8") + b"K\x00K\x01\x87R(K\x03" + py2_string(b"|")
    outer += b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K?tb\x89]" + lists + b"atb"
    body = b"\x80\x02" + outer + b"."
    content = npy_header() + body
    expected = pickle.loads(body, encoding="latin1").item()  # the bytes are what they are meant to be
    assert list(expected) == ["conv1"]
    np.testing.assert_array_equal(expected["conv1"][0], KERNEL)
    assert_same(read(tmp_path, content), {"conv1/weights": KERNEL, "conv1/biases": BIAS})


# safetensors


def test_a_safetensors_file_is_read(tmp_path):
    import safetensors.numpy

    expected = {
        "a": KERNEL,
        "b": KERNEL.astype(np.float16),
        "c": np.arange(4),
        "d": np.array([True, False]),
        "e": np.array(2.5),
        "f": np.zeros((0, 3), np.float32),
    }
    content = safetensors.numpy.save(expected, metadata={"format": "np"})
    tensors = read(tmp_path, content)
    assert_same({name: tensors[name] for name in expected}, expected)
    assert {name: a.dtype for name, a in tensors.items()} == {name: a.dtype for name, a in expected.items()}
