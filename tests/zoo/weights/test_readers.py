"""What other programs write is read as they meant it: by hand, NumPy's and safetensors' files."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from tensor_files import assert_same
from weight_files import BIAS, GOOD, KERNEL, ROOT, npy_header, read, write

import zoo
from zoo.weights.readers import read_tensors

SUFFIXES = [".npy", ".th", ".pth", ".safetensors", ".h5", ""]


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
