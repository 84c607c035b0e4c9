"""Torch's files whose tensors and storages are not what they say, and those of before 1.6 that are damaged otherwise."""

from __future__ import annotations

from hostile_pickles import DEEP
from weight_files import (
    FALSE,
    GOOD,
    KERNEL,
    NONE,
    ONLY,
    WITH,
    byte_string,
    call,
    dictionary,
    doubled,
    legacy_file,
    list_of,
    name,
    number,
    real,
    storage,
    string,
    tensor,
    tuple_of,
    zip_file,
)


def of_torch(container):
    """Files of either container whose tensors are not what they say."""
    ours = storage(legacy=container == "th")

    def held(*arguments):
        return WITH[container](tensor(ours, *arguments))

    return of_sizes(held) | of_offsets_and_strides(held) | of_storages(container) | of_tensors(container)


def of_sizes(held):
    """Tensors whose sizes their storages do not fill, or that are none."""
    return {
        "no memory for strides of zero": held(0, (10**6, 10**6), (0, 0)),
        "no memory for one stride of zero": held(0, (10**9, 2), (0, 1)),
        "size of terabytes": held(0, (10**6, 10**6), (10**6, 1)),
        "size of more than can be counted": held(0, (2**62,) * 4, (0,) * 4),
        "size too large by one": held(0, (7,), (1,)),
        "size below zero": held(0, (-2, 3), (3, 1)),
        "sizes below zero": held(0, (-2, -3), (3, 1)),
        "size of no numbers and too many": held(0, (0, 2**70), (1, 1)),
        "size of no numbers and too many to multiply": held(0, (0, 2**40, 2**40), (1, 1, 1)),
        "size of no numbers and one below zero": held(0, (0, -1), (1, 1)),
        "size of many axes": held(0, (1,) * 70, (1,) * 70),
        "size of nothing": held(0, NONE, NONE),
        "size of a number": held(0, 6, 1),
        "size of a text": held(0, string("23"), string("31")),
        "size of millions of bytes": lambda: held(0, byte_string(bytes(40_000_000)) + b"q\x00", b"h\x00"),
        "size that is far larger than its file": held(0, doubled(60), doubled(60)),
    }  # fmt: skip


def of_offsets_and_strides(held):
    """Tensors of which a part lies outside of their storages."""
    return {
        "offset outside": held(6, (1,), (1,)),
        "offset outside by one": held(1),
        "offset below zero": held(-1, (1,), (1,)),
        "offset of more than can be counted": held(2**100, (1,), (1,)),
        "offset of a fraction": held(real(0)),
        "offset of nothing": held(NONE),
        "stride outside": held(0, (2, 2), (5, 1)),
        "stride outside by one": held(0, (2, 3), (4, 1)),
        "stride below zero": held(5, (2, 3), (-3, -1)),
        "stride of more than can be counted": held(0, (2,), (2**64,)),
        "stride that is not used, of more than can be counted": held(0, (1,), (2**70,)),
        "stride of no numbers, of more than can be counted": held(0, (0,), (2**70,)),
        "strides of fractions": held(0, (2, 3), tuple_of(real(3), real(1))),
        "strides that are too few": held(0, (2, 3), (1,)),
        "strides that are too many": held(0, (2,), (1, 1)),
    }  # fmt: skip


def of_storages(container):
    """Tensors of storages that are none, or not what they say."""
    legacy = container == "th"
    ours = storage(legacy=legacy)
    rest = [string("0"), string("cpu"), number(6), *([NONE] if legacy else [])]

    def held(piece):
        return WITH[container](piece)

    def with_storage(**parts):
        return ONLY[container](dictionary(string("a"), tensor(storage(**parts, legacy=legacy))))

    def identity(*parts):
        return held(tensor(tuple_of(*parts) + b"Q"))

    return {
        "storage of nothing": held(tensor(NONE)),
        "storage of a tensor": held(tensor(tensor(ours))),
        "storage of a list": held(tensor(list_of(ours))),
        "storage of a name": held(tensor(name("torch", "FloatStorage"))),
        "storage of terabytes": with_storage(count=2**42),
        "storage of more than can be counted": with_storage(count=2**100),
        "storage below zero": with_storage(count=-6),
        "storage larger by one": with_storage(count=7),
        "storage of a fraction": with_storage(count=real(6)),
        "storage of wider numbers": with_storage(kind="DoubleStorage"),
        "storage of a key that is a number": with_storage(key=number(0)),
        "storage of a key that is a list": with_storage(key=list_of()),
        "storage of a key that is far larger than its file": with_storage(key=doubled(60)),
        "storage of a key that is missing": with_storage(key="7"),
        "storage of a key of lines": with_storage(key="a\nb\rc\u2028d"),
        "storage of a kind that is unknown": with_storage(kind="ComplexFloatStorage"),
        "storage of a kind that is a list": with_storage(kind=list_of()),
        "storage of a kind that is a number": with_storage(kind=number(3)),
        "storage of a kind that is a text": with_storage(kind=string("os.system")),
        "storage of a kind that is a function": with_storage(kind=name("collections", "OrderedDict")),
        "storage of a kind that is far larger than its file": with_storage(kind=doubled(60)),
        "storage that is none": identity(string("module"), name("torch", "FloatStorage"), *rest),
        "storage that is far larger than its file": identity(doubled(60), name("torch", "FloatStorage"), *rest),
        "storage without a count": identity(string("storage"), name("torch", "FloatStorage"), string("0"), string("cpu")),
    }  # fmt: skip


def of_tensors(container):
    """Tensors that are made of the wrong parts, or that many names share."""
    legacy = container == "th"
    ours = storage(legacy=legacy)
    bf16 = storage(kind="BFloat16Storage", count=400_000, legacy=legacy)
    names = b"".join(string(f"a{i}") + b"h\x00" for i in range(1000))
    of_bf16 = b"}(" + string("a") + tensor(bf16, 0, (1,), (1,)) + b"q\x00" + names + b"u"
    zeros = bytes(800_000)
    many = legacy_file(of_bf16, {"0": (400_000, zeros)}) if legacy else zip_file(of_bf16, {"data/0": zeros})
    return {
        "tensor of functions": WITH[container](tensor(ours, name("torch", "Size"), name("torch", "Size"), name("torch", "Size"))),
        "tensor without strides": WITH[container](
            call(name("torch._utils", "_rebuild_tensor_v2"), ours, number(0), tuple_of(number(6)))
        ),
        "tensors that are none of the file's": ONLY[container](list_of(tensor(ours))),
        "bfloat16 under many names": many,
    }  # fmt: skip


def of_legacy_files():
    state = dictionary(string("a"), tensor(storage(legacy=True)))
    two = dictionary(string("a"), tensor(storage(legacy=True)), string("b"), tensor(storage("1", legacy=True)))
    content = KERNEL.tobytes()
    in_lists = list_of(b"]" * DEEP + b"a" * (DEEP - 1))
    return {
        "big-endian": legacy_file(state, little_endian=FALSE),
        "endianness of a text": legacy_file(state, little_endian=string("yes")),
        "machine that says nothing": legacy_file(state, machine=dictionary()),
        "machine of a list": legacy_file(state, machine=list_of()),
        "machine that is executed": legacy_file(state, machine=call(name("os", "system"), string("true"))),
        "protocol that is unknown": legacy_file(state, protocol=1002),
        "count of terabytes": legacy_file(state, {"0": (2**42, content)}),
        "count below zero": legacy_file(state, {"0": (-1, content)}),
        "count larger by one": legacy_file(state, {"0": (7, content)}),
        "count smaller by one": legacy_file(state, {"0": (5, content)}),
        "counts that agree on terabytes": legacy_file(
            dictionary(string("a"), tensor(storage(count=2**42, legacy=True))), {"0": (2**42, content)}
        ),
        "content that is missing": legacy_file(state, {"0": (6, b"")}),
        "storages that are missing": legacy_file(state, {}),
        "storages that are too many": legacy_file(state, {"0": (6, content), "1": (6, content)}),
        "storages that are there twice": legacy_file(state, keys=list_of(string("0"), string("0"))),
        "storages of which one is there twice": legacy_file(two, {"0": (6, content), "1": (6, content)}, list_of(string("0"), string("0"))),
        "keys that are numbers": legacy_file(state, keys=list_of(number(0))),
        "keys that are bytes": legacy_file(state, keys=list_of(byte_string(b"0"))),
        "keys that are nothing": legacy_file(
            dictionary(string("a"), tensor(storage("None", legacy=True))), {"None": (6, content)}, list_of(NONE)
        ),
        "keys that are lists": legacy_file(
            dictionary(string("a"), tensor(storage("[]", legacy=True))), {"[]": (6, content)}, list_of(list_of())
        ),
        "keys that are names": legacy_file(state, keys=list_of(name("os", "system"))),
        "keys that are a number": legacy_file(state, keys=number(0)),
        "keys that are a text": legacy_file(state, keys=string("0")),
        "keys that are a dictionary": legacy_file(state, keys=dictionary(string("0"), NONE)),
        "keys that contain themselves": legacy_file(state, keys=b"]q\x00h\x00a"),
        "keys that are deep": legacy_file(state, keys=in_lists),
        "keys that are far larger than their file": legacy_file(state, keys=list_of(doubled(60))),
        "keys that refer to storages": legacy_file(state, keys=list_of(storage(legacy=True))),
        "keys of lines": legacy_file(
            dictionary(string("a"), tensor(storage("a\nb\u2028c", legacy=True))), {"a\nb\u2028c": (9, content)}
        ),
        "magic alone": GOOD["th"][:15],
        "view of a storage": legacy_file(
            dictionary(
                string("a"),
                tensor(
                    tuple_of(
                        string("storage"), name("torch", "FloatStorage"), string("0"), string("cpu"), number(6),
                        tuple_of(string("0"), number(0), number(6)),
                    ) + b"Q"
                ),
            )
        ),
    }  # fmt: skip
