"""Files that were cut off, changed or put together at random: none does harm, and what is refused is refused by name."""

from __future__ import annotations

import io
import pickletools
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from weight_files import (
    FALSE,
    GOOD,
    KERNEL,
    NONE,
    ONLY,
    TRUE,
    WITH,
    array,
    begun_array,
    build,
    byte_string,
    call,
    dictionary,
    legacy_file,
    list_of,
    name,
    npy_header,
    number,
    numbers_dtype,
    object_array,
    read,
    real,
    storage,
    string,
    tensor,
    tuple_of,
)

import zoo


def refusal(folder, content):
    """The message of the error with which a file is refused; any other error goes through."""
    with pytest.raises(zoo.WeightsError) as error:
        read(folder, content)
    message = str(error.value)
    assert message.startswith(f"{folder / 'weights.bin'}: ")
    assert len(message.splitlines()) == 1
    return message


def attempt(folder, content):
    """`None` where a file is read or refused as it should be, else what went wrong."""
    try:
        tensors = read(folder, content)
        assert isinstance(tensors, dict)
        for array in tensors.values():
            assert array.nbytes <= 10 * len(content)
            array.tobytes()
    except zoo.WeightsError as error:
        message = str(error)
        if not message.startswith(f"{folder / 'weights.bin'}: ") or len(message.splitlines()) > 1:
            return f"message: {message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def files_of_others(kind):
    """A file that another program wrote: larger than those made by hand, and none of ours knows its bytes."""
    if kind == "npy":
        file = io.BytesIO()
        random = np.random.default_rng(0)
        np.save(file, {"conv1": [random.normal(size=(5, 4)), np.ones(4)], "fc": {"weights": KERNEL}}, allow_pickle=True)
        return file.getvalue()
    if kind == "safetensors":
        return safetensors.numpy.save({"a": KERNEL, "b": np.arange(5), "c": np.zeros((0, 2))})
    torch = pytest.importorskip("torch", reason="Torch, which writes the file of this test, is not installed")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(module.parameters(), momentum=0.9)
    checkpoint = {"epoch": 3, "state_dict": module.state_dict(), "optimizer": optimizer.state_dict()}
    file = io.BytesIO()
    torch.save(checkpoint, file, _use_new_zipfile_serialization=kind == "pth")
    return file.getvalue()


@pytest.mark.parametrize("kind", GOOD)
def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path, kind):
    for length in range(len(GOOD[kind])):
        refusal(tmp_path, GOOD[kind][:length])


@pytest.mark.parametrize("kind", GOOD)
def test_a_larger_file_that_is_cut_off_anywhere_is_refused(tmp_path_factory, kind):
    content = files_of_others(kind)
    folder = tmp_path_factory.mktemp("cut")
    assert len(read(folder, content)) >= 3

    @settings(deadline=None, derandomize=True, max_examples=200)
    @given(st.integers(0, len(content) - 1))
    def check(length):
        refusal(folder, content[:length])

    check()


@pytest.mark.parametrize("kind", GOOD)
def test_any_byte_may_be_another(tmp_path, kind):
    content = GOOD[kind]
    faults = set()
    for position, byte in enumerate(content):
        for other in {0, 10, 255, ord("."), ord("("), byte ^ 1, byte ^ 4, byte ^ 128} - {byte}:
            damaged = content[:position] + bytes([other]) + content[position + 1 :]
            fault = attempt(tmp_path, damaged)
            if fault:
                faults.add(f"byte {position} as {other}: {fault}")
    assert not sorted(faults)


@pytest.mark.parametrize("kind", GOOD)
def test_several_bytes_of_a_larger_file_may_be_others(tmp_path_factory, kind):
    content = files_of_others(kind)
    folder = tmp_path_factory.mktemp("flipped")
    change = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))

    @settings(deadline=None, derandomize=True, max_examples=400)
    @given(st.lists(change, min_size=1, max_size=4))
    def check(changes):
        damaged = bytearray(content)
        for position, value in changes:
            damaged[position] = value
        assert attempt(folder, bytes(damaged)) is None

    check()


@pytest.mark.parametrize("kind", GOOD)
def test_pieces_of_a_file_may_be_lost_doubled_or_moved(tmp_path_factory, kind):
    content = files_of_others(kind)
    folder = tmp_path_factory.mktemp("spliced")
    place = st.integers(0, len(content))

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(place, place, place)
    def check(start, stop, target):
        start, stop = sorted((start, stop))
        for damaged in (
            content[:start] + content[stop:],
            content[:target] + content[start:stop] + content[target:],
            content[:start] + bytes(stop - start) + content[stop:],
        ):
            assert attempt(folder, damaged) is None

    check()


BEGINNINGS = {
    "none": b"",
    "npy": b"\x93NUMPY",
    "npy with a header": npy_header(),
    "npy with a pickle": npy_header() + b"\x80\x02",
    "legacy": GOOD["th"][:15],
    "legacy with headers": legacy_file(b"")[: legacy_file(b"").index(b"\x80\x02.")],
    "zip": b"PK\x03\x04",
    "safetensors": struct.pack("<Q", 30) + b"{",
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_random_bytes_are_refused(tmp_path_factory, beginning):
    folder = tmp_path_factory.mktemp("random")

    @settings(deadline=None, derandomize=True, max_examples=200)
    @given(st.binary(max_size=200))
    def check(rest):
        refusal(folder, BEGINNINGS[beginning] + rest)

    check()


STEPS = [
    *[opcode.code.encode("latin-1") for opcode in pickletools.opcodes if opcode.arg is None],
    *[b"q\x00", b"h\x00", b"K\x03", number(2), real(1.5), string("a"), string("storage"), byte_string(bytes(4)), b"U\x01<"],
    *[name("collections", "OrderedDict"), name("torch._utils", "_rebuild_tensor_v2"), name("torch", "FloatStorage")],
    *[name("torch", "Size"), name("torch._utils", "_rebuild_parameter"), name("numpy", "dtype"), name("numpy", "ndarray")],
    *[name("numpy.core.multiarray", "_reconstruct"), begun_array(), numbers_dtype(), array(), object_array()],
    *[tuple_of(), tuple_of(number(2), number(3)), list_of(), dictionary(), NONE, TRUE, FALSE],
    *[storage(legacy=False), storage(legacy=True), tensor(storage(legacy=False)), tensor(storage(legacy=True))],
]  # fmt: skip


@pytest.mark.parametrize("container", ONLY)
def test_random_opcodes_do_no_harm(tmp_path_factory, container):
    folder = tmp_path_factory.mktemp("opcodes")

    @settings(deadline=None, derandomize=True, max_examples=500)
    @given(st.lists(st.sampled_from(STEPS), max_size=30))
    def check(steps):
        assert attempt(folder, ONLY[container](b"".join(steps))) is None

    check()


@pytest.mark.parametrize("container", ONLY)
def test_random_states_and_arguments_do_no_harm(tmp_path_factory, container):
    """Calls of the allowed names and states of what they give, with arguments of any kind and number."""
    folder = tmp_path_factory.mktemp("arguments")
    legacy = container == "th"
    leaves = [NONE, TRUE, number(0), number(1), number(-1), number(2**70), real(1.5), string("a"), string("f4")]
    leaves += [byte_string(b""), byte_string(b"<"), name("torch", "Size"), tuple_of(), list_of(), dictionary()]
    leaves += [begun_array(), numbers_dtype(), array(), storage(legacy=legacy), tensor(storage(legacy=legacy))]
    values = st.recursive(
        st.sampled_from(leaves),
        lambda inner: (
            st.lists(inner, max_size=4).map(lambda parts: tuple_of(*parts))
            | st.lists(inner, max_size=4).map(lambda parts: list_of(*parts))
        ),
        max_leaves=8,
    )
    functions = [
        name("collections", "OrderedDict"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("torch._utils", "_rebuild_parameter"),
        name("torch", "Size"),
        name("numpy", "dtype"),
        name("numpy.core.multiarray", "_reconstruct"),
    ]
    calls = st.builds(lambda f, parts: call(f, *parts), st.sampled_from(functions), st.lists(values, max_size=6))
    built = [begun_array(), call(name("numpy", "dtype"), string("f4")), call(name("collections", "OrderedDict"))]
    builds = st.builds(lambda of, parts: build(of, *parts), st.sampled_from(built), st.lists(values, max_size=6))
    ids = st.lists(values, max_size=7).map(lambda parts: tuple_of(string("storage"), *parts) + b"Q")

    @settings(deadline=None, derandomize=True, max_examples=500)
    @given(calls | builds | ids)
    def check(piece):
        assert attempt(folder, WITH[container](piece)) is None

    check()
