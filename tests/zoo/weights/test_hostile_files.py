"""Files that were made to harm, or were harmed: each is refused by name, and nothing in it is executed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import pickletools
import select
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import psutil
import pytest
import safetensors.numpy
import weight_files
from hypothesis import given, settings
from hypothesis import strategies as st
from weight_files import (
    FALSE,
    GOOD,
    KERNEL,
    NONE,
    ONLY,
    ROOT,
    TRUE,
    WITH,
    array,
    begun_array,
    build,
    byte_string,
    call,
    dictionary,
    doubled,
    legacy_file,
    list_of,
    name,
    npy_file,
    npy_header,
    number,
    numbers_dtype,
    object_array,
    pickled,
    read,
    real,
    safetensors_file,
    storage,
    string,
    tensor,
    tuple_of,
    write,
    zip_file,
)

import zoo

PATIENCE = 5  # seconds of computing for one file; the slowest that is refused as it should be takes well below one
WAITING = 200  # seconds for one file on a machine that computes other things
CONTAINERS = ("npy", "th", "pth")
TORCH = ("th", "pth")


class Payload:
    """What a pickle of the usual kind executes."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


# name -> what the opcodes are, given the file that they make when they are executed. All but those of `DUDS` do make it
# when Python reads them.
EXECUTED = {
    "reduce os.system": lambda marker: call(name("os", "system"), string(f"touch {marker}")),
    "reduce posix.system": lambda marker: call(name("posix", "system"), string(f"touch {marker}")),
    "reduce subprocess": lambda marker: call(name("subprocess", "call"), list_of(string("touch"), string(str(marker)))),
    "reduce eval": lambda marker: call(name("builtins", "eval"), string(f"open({str(marker)!r}, 'w').close()")),
    "reduce exec of Python 2": lambda marker: call(name("__builtin__", "eval"), string(f"open({str(marker)!r}, 'w')")),
    "reduce getattr": lambda marker: call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), string("os")), string("system")),
        string(f"touch {marker}"),
    ),
    "reduce runpy": lambda marker: call(
        name("runpy", "_run_code"), string(f"open({str(marker)!r}, 'w').close()"), dictionary()
    ),
    "reduce pickle.loads": lambda marker: call(
        name("pickle", "loads"), byte_string(pickle.dumps(Payload(marker), protocol=3))
    ),
    "reduce map": lambda marker: call(
        name("builtins", "list"),
        call(name("builtins", "map"), name("os", "system"), list_of(string(f"touch {marker}"))),
    ),
    "reduce numpy.load": lambda marker: (
        call(
            name("numpy._core.multiarray", "_reconstruct"),
            name("numpy", "ndarray"),
            tuple_of(number(0)),
            byte_string(b"b"),
        )
        + call(name("os", "system"), string(f"touch {marker}"))
        + b"b"
    ),
    "stack global": lambda marker: (
        string("os") + string("system") + b"\x93" + tuple_of(string(f"touch {marker}")) + b"R"
    ),
    "stack global with dots": lambda marker: (
        b"\x80\x04" + string("zoo.storage") + string("os.system") + b"\x93" + tuple_of(string(f"touch {marker}")) + b"R"
    ),
    "object": lambda marker: b"(" + name("os", "system") + string(f"touch {marker}") + b"o",
    "instance": lambda marker: b"(" + string(f"touch {marker}") + b"ios\nsystem\n",
    "object of a process": lambda marker: (
        b"(" + name("subprocess", "check_call") + list_of(string("touch"), string(str(marker))) + b"o"
    ),
    "memo": lambda marker: name("os", "system") + b"q\x07h\x07" + tuple_of(string(f"touch {marker}")) + b"R\x86",
    "new object": lambda marker: name("os", "system") + tuple_of(string(f"touch {marker}")) + b"\x81",
    "new object with names": lambda marker: (
        name("os", "system") + tuple_of(string(f"touch {marker}")) + dictionary() + b"\x92"
    ),
    "state of a name": lambda marker: (
        name("os", "system") + dictionary(string("command"), string(f"touch {marker}")) + b"b"
    ),
    "name within an allowed name": lambda marker: call(
        name("torch._utils", "_rebuild_tensor_v2.__globals__.get"), string(f"touch {marker}")
    ),
    "name of an allowed name": lambda marker: call(name("numpy", "dtype.__class__"), string(f"touch {marker}")),
    "marked name as a function": lambda marker: call(name("numpy", "ndarray"), string(f"touch {marker}")),
    "extension registry": lambda marker: b"\x82\x01" + tuple_of(string(f"touch {marker}")) + b"R",
}
DUDS = {
    "new object",
    "new object with names",
    "state of a name",
    "name within an allowed name",
    "name of an allowed name",
    "marked name as a function",
    "extension registry",
}
EXECUTED |= {
    f"protocol {protocol}": lambda marker, protocol=protocol: pickle.dumps(Payload(marker), protocol=protocol)[:-1]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
}

DEEP = 60_000
# name -> opcodes that no machine should stumble over, whatever the container
ODD = {
    "nothing": b"",
    "stop at a mark": b"(",
    "stop without a value": b"(t" + b"\x85" + b"a",
    "call a mark": b"((tR",
    "call with a mark": name("torch", "Size") + b"(R",
    "call a list": list_of() + b"(tR",
    "call a text": string("os.system") + b"(tR",
    "call a number": number(1) + b"(tR",
    "call what a call gave": call(name("torch", "Size"), tuple_of()) + b"(tR",
    "call a kind of storage": call(name("torch", "FloatStorage"), number(3)),
    "call with a list": name("collections", "OrderedDict") + list_of() + b"R",
    "call with nothing on the stack": b"R",
    "call with too many": call(name("collections", "OrderedDict"), list_of(), list_of()),
    "call with too few": call(name("torch._utils", "_rebuild_tensor_v2")),
    "parameter of nothing": call(name("torch._utils", "_rebuild_parameter")),
    "kind of numbers without a kind": call(name("numpy", "dtype")),
    "kind of numbers of a list": call(name("numpy", "dtype"), list_of()),
    "size of a number": call(name("torch", "Size"), number(3)),
    "size of sizes": call(name("torch", "Size"), tuple_of(), tuple_of()),
    "dictionary of a number": call(name("collections", "OrderedDict"), number(3)),
    "dictionary of numbers": call(name("collections", "OrderedDict"), list_of(number(3))),
    "dictionary of texts": call(name("collections", "OrderedDict"), list_of(string("abc"))),
    "dictionary of triples": call(name("collections", "OrderedDict"), list_of(tuple_of(NONE, NONE, NONE))),
    "dictionary of a dictionary": call(name("collections", "OrderedDict"), dictionary(string("ab"), NONE)),
    "dictionary of itself": list_of() + b"q\x00h\x00a" + b"q\x00" + call(name("collections", "OrderedDict"), b"h\x00"),
    "tuple of a mark": b"(\x85",
    "tuples of a mark in the memo": b"(q\x00h\x00h\x00\x87",
    "memo of nothing": b"q\x00",
    "memo that is missing": b"h\x07",
    "memo that is missing, far": b"j\xff\xff\xff\xff",
    "memo far away": b"}r\xff\xff\xff\xff0",
    "list in itself": b"]q\x00h\x00a",
    "lists in themselves": b"]q\x00(" + b"h\x00" * 1000 + b"e",
    "dictionary in itself": b"}q\x00" + string("a") + b"h\x00s",
    "tuple in itself": b"]q\x00h\x00\x85q\x01ah\x01\x86",
    "lists, deep": b"]" * DEEP + b"a" * (DEEP - 1),
    "tuples, deep": b")" + b"\x85" * DEEP,
    "dictionaries, deep": b"}" * 50_000 + (b"N" + b"}") * 10 + b"s" * 10,
    "tuple that is far larger than its file": doubled(60),
    "list of what is far larger than its file": list_of(doubled(60)),
    "key of a list": b"}" + list_of() + b"Ns",
    "key of a tuple that is far larger than its file": b"}" + doubled(60) + b"Ns",
    "key of nothing": b"}NNs",
    "key of a fraction": b"}" + real(1.5) + b"Ns",
    "key of a mark": b"}(q\x00Ns",
    "key of many bytes": b"}" + byte_string(bytes(1000)) + b"Ns",
    "key without a value": b"}(" + string("a") + b"u",
    "items of a list": list_of() + b"(" + string("a") + b"Nu",
    "member of a tuple": tuple_of() + b"Na",
    "members of a text": string("a") + b"(Ne",
    "members without a mark": list_of() + b"Ne",
    "state of a list": list_of() + NONE + b"b",
    "state of a name": name("torch", "Size") + NONE + b"b",
    "state of a kind": call(name("numpy", "dtype"), string("f4")) + NONE + b"b",
    "state of a kind, empty": call(name("numpy", "dtype"), string("f4")) + tuple_of() + b"b",
    "state of a kind, of texts": call(name("numpy", "dtype"), string("f4")) + tuple_of(*[string("<")] * 9) + b"b",
    "state of a kind, of numbers": call(name("numpy", "dtype"), string("f4")) + tuple_of(*[number(3)] * 9) + b"b",
    "state of a kind, of bytes": call(name("numpy", "dtype"), string("f4")) + byte_string(b"abcdefghi") + b"b",
    "kind in a kind": call(name("numpy", "dtype"), numbers_dtype()),
    "global stack, empty": b"\x93",
    "global stack of one": string("a") + b"\x93",
    "global stack of numbers": number(1) + number(2) + b"\x93",
    "global stack of nothing": NONE + NONE + b"\x93",
    "global stack of lists": list_of() + list_of() + b"\x93",
    "global stack of tuples": doubled(60) + doubled(60) + b"\x93",
    "global stack of names": name("torch", "Size") + name("torch", "Size") + b"\x93",
    "global stack of a mark": string("a") + b"(\x93",
    "global stack of many bytes": byte_string(bytes(10_000)) * 2 + b"\x93",
    "global stack of lines": string("os\nsystem\r\n") + string("\x85\u2028a\nb") + b"\x93",
    "name of lines": b"ca\rb\x0bc\x0c\nd\xc2\x85e\xe2\x80\xa8f\n",
    "name that is no text": b"c\xff\xfe\nsystem\n",
    "name that does not end": b"c" + b"a" * 200_000,
    "name that is long": b"c" + b"a" * 60_000 + b"\nb\n",
    "text that is none": b"X\x02\x00\x00\x00\xff\xfe",
    "surrogates": b"X\x03\x00\x00\x00\xed\xa0\x80",
    "persistent id of nothing": NONE + b"Q",
    "persistent id of a text": string("0") + b"Q",
    "persistent id of a number": number(0) + b"Q",
    "persistent id of a list": list_of(string("storage")) + b"Q",
    "persistent id, empty": tuple_of() + b"Q",
    "persistent id of a line": b"P0\n",
    "persistent id of a mark": b"(Q",
    "persistent id of a tensor": tuple_of(*[string("storage")] * 9) + b"Q",
    "terabytes of bytes": b"\x8e" + struct.pack("<Q", 2**42),
    "most bytes": b"\x8e" + b"\xff" * 8,
    "gigabytes of bytes": b"B\xff\xff\xff\xff",
    "gigabytes of text": b"X\xff\xff\xff\xff",
    "terabytes of text": b"\x8d" + struct.pack("<Q", 2**42),
    "terabytes of an array of bytes": b"\x96" + struct.pack("<Q", 2**42),
    "bytes before the beginning": b"T" + struct.pack("<i", -5),
    "gigabytes of a string": b"T" + struct.pack("<i", 2**31 - 1),
    "short text that is long": b"\x8c\xff",
    "number of many bytes": b"\x8a\xff" + bytes(255),
    "number that is cut off": b"\x8a\x10",
    "number of gigabytes": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "number before the beginning": b"\x8b" + struct.pack("<i", -1),
    "number in letters": b"I" + b"9" * 100_000 + b"\n",
    "long in letters": b"L" + b"9" * 100_000 + b"L\n",
    "frame of terabytes": b"\x95" + struct.pack("<Q", 2**42),
    "flood of values": NONE * 250_001,
    "flood of marks": b"(" * 300_000,
    "flood of memos": b"N" + b"\x94" * 300_000,
    "flood of tuples": b")" + b"\x85" * 300_000,
    "flood of names": name("torch", "Size") * 260_000,
    "flood of sizes of a text": string("a" * 65_000) + b"q\x00]" + (name("torch", "Size") + b"h\x00\x85Ra") * 4000,
    "flood of sizes of bytes": byte_string(bytes(200_000))
    + b"q\x00]"
    + (name("torch", "Size") + b"h\x00\x85Ra") * 4000,
    "flood of sizes of a list": list_of(NONE * 60_000) + b"q\x00]" + (name("torch", "Size") + b"h\x00\x85Ra") * 4000,
    "flood of dictionaries": list_of(tuple_of(string("a"), NONE) * 30_000)
    + b"q\x00]"
    + (name("collections", "OrderedDict") + b"h\x00\x85Ra") * 4000,
    "opcode that is none": b"\xff",
    "protocol that is none": b"\x80\xff\x80\x7f}\x00",
    "set": b"\x8f",
    "buffer out of the file": b"\x97",
    "pop": b"}N0",
    "protocol 0": b"(dp0\nVa\np1\nI1\ns",
}


def of_numpy():
    """Files whose arrays are not what they say; the names of `npy_file` are in the way of nothing."""
    wide = byte_string(b"\xff" * 2_000_000)

    def held(*parts):
        return npy_file(object_array(dictionary(string("conv1"), list_of(*parts))))

    def header(text, version=(1, 0)):
        return npy_header(text, version) + pickled(object_array(dictionary()))

    def with_state(*state):
        return held(build(begun_array(), *state))

    as_it_is = GOOD["npy"][len(npy_header()) :]
    return {
        "shape of terabytes": held(array((10**6, 10**6))),
        "shape of more than can be counted": held(array((2**62, 2**62, 2**62))),
        "shape of 16 bytes": held(array((2**126, 2**126))),
        "shape too large by one": held(array((7,))),
        "shape too small by one": held(array((5,))),
        "shape below zero": held(array((-2, -3))),
        "shape of no numbers and too many": held(array((0, 2**70), byte_string(b""))),
        "shape of no numbers and too many to multiply": held(array((0, 2**40, 2**40), byte_string(b""))),
        "shape of many axes": held(array((1,) * 100 + (6,))),
        "shape of fractions": held(array(tuple_of(real(2), real(3)))),
        "shape of texts": held(array(tuple_of(string("2"), string("3")))),
        "shape of nothing": held(array(NONE)),
        "shape of a number": held(array(number(6))),
        "shape of a dictionary": held(array(dictionary(number(2), NONE, number(3), NONE))),
        "shape of millions of bytes": held(array(wide)),
        "shape of an object of millions of bytes": held(array(wide, list_of(), numbers_dtype("O8", "|"))),
        "shape of an object of many numbers": held(
            array(tuple_of(*[number(2**126)] * 100_000), list_of(), numbers_dtype("O8", "|"))
        ),
        "shape of all": npy_file(array(wide, list_of(), numbers_dtype("O8", "|"))),
        "kind of millions of bytes": lambda: held(
            array(dtype=call(name("numpy", "dtype"), string("f4")) + byte_string(bytes(70_000_000)) + b"b")
        ),
        "content of text": held(array((2,), string("12345678"))),
        "content of a list": held(array((2,), list_of(NONE * 8))),
        "content of nothing": held(array((2,), NONE)),
        "content of an array": held(array((2,), array())),
        "content of a tuple": held(array((2,), tuple_of(NONE * 8))),
        "content of a dictionary": held(array((0,), dictionary())),
        "content of terabytes": held(array((2**40,), b"\x8e" + struct.pack("<Q", 2**42))),
        "kind of nothing": held(array(dtype=NONE)),
        "kind that is a name": held(array(dtype=name("numpy", "dtype"))),
        "kind that was not completed": held(array(dtype=call(name("numpy", "dtype"), string("f8")))),
        **{
            f"kind {code.strip()[:9] or 'of nothing'}": held(array((1,), byte_string(bytes(24)), numbers_dtype(code)))
            for code in ("V24", "S24", "U6", "M8", "m8", "c16", "f16", "f3", "", "f4,f4", "O", "f8\n", "x" * 60_000)
        },
        "order that is none": held(array(dtype=numbers_dtype("f4", "!"))),
        "order of lines": held(array(dtype=numbers_dtype("f4", "<\n"))),
        "records": held(
            array(
                dtype=build(
                    call(name("numpy", "dtype"), string("f4")),
                    number(3),
                    string("<"),
                    NONE,
                    tuple_of(string("a")),
                    dictionary(),
                    number(4),
                    number(4),
                    number(0),
                )
            )
        ),
        "state of nothing": with_state(),
        "state of one": with_state(number(1)),
        "state of four": with_state(number(1), tuple_of(number(6)), numbers_dtype(), FALSE),
        "state of six": with_state(number(1), tuple_of(number(6)), numbers_dtype(), FALSE, NONE, NONE),
        "state of a number": held(begun_array() + number(1) + b"b"),
        "state of bytes": held(begun_array() + byte_string(b"12345") + b"b"),
        "state of millions of bytes": held(begun_array() + wide + b"b"),
        "state that never comes": held(begun_array()),
        "array of objects in the dictionary": held(object_array(NONE)),
        "array in itself": held(begun_array() + b"q\x00" + tuple_of(number(1), tuple_of(), numbers_dtype("O8"), FALSE, b"]h\x00a") + b"b"),
        "layer of numbers": npy_file(object_array(dictionary(string("conv1"), number(1)))),
        "layer of text": npy_file(object_array(dictionary(string("conv1"), string("ab")))),
        "layer of bytes": npy_file(object_array(dictionary(string("conv1"), byte_string(b"ab")))),
        "layer of an array": npy_file(object_array(dictionary(string("conv1"), array()))),
        "layer of three": held(array(), array(), array()),
        "layer of a dictionary in itself": npy_file(
            object_array(dictionary(string("conv1"), b"}q\x00" + string("a") + b"h\x00s"))
        ),
        "layer of lines": npy_file(object_array(dictionary(string("a\nb\rc\u2028d"), list_of(NONE)))),
        "layer of lines without parts": npy_file(object_array(dictionary(string("a\nb\rc\u2028d"), NONE))),
        "part of lines": npy_file(object_array(dictionary(string("a"), dictionary(string("b\nc\x85d"), NONE)))),
        "layer that is far larger than its file": npy_file(object_array(dictionary(string("a"), doubled(60)))),
        "two dictionaries": npy_file(object_array(dictionary(), dictionary(), shape=(2,))),
        "dictionary without an array": npy_file(dictionary(string("conv1"), list_of(array()))),
        "numbers without a dictionary": npy_file(array()),
        "nothing": npy_file(NONE),
        "name": npy_file(name("numpy", "ndarray")),
        "header of numbers": header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"),
        "header of records": header("{'descr': [('a\\nb', '<f4')], 'fortran_order': False, 'shape': (1,), }"),
        "header of a large shape": header("{'descr': '|O', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
        "header of a shape below zero": header("{'descr': '|O', 'fortran_order': False, 'shape': (-1,), }"),
        "header of a shape of truth": header("{'descr': '|O', 'fortran_order': False, 'shape': 1, }"),
        "header of a large number": header("{'descr': '|O', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }"),
        "header of nothing": header(""),
        "header of a list": header("[]"),
        "header of a key that is none": header("{[]: 1, 'descr': '|O', 'fortran_order': False, 'shape': ()}"),
        "header of a kind that is none": header("{'descr': '\\n', 'fortran_order': False, 'shape': ()}"),
        "header of a kind in itself": header("{'descr': " + "(" * 50 + "'O'" + ",)" * 50 + ", 'fortran_order': False, 'shape': ()}"),
        "header of brackets": header("(" * 5000),
        "header of minus signs": header("-" * 5000 + "1"),
        "header that does not close": header("{'descr': '|O', 'fortran_order': False, 'shape': ("),
        "header of an indent": header("    a\n  b"),
        "header of a quotation": header("'''"),
        "header of zeros": header("\0" * 100),
        "header of a call": header("__import__('os').system('true')"),
        "header that is long": header(" " * 60_000),
        "header of gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}" + as_it_is,
        "header that is cut off": b"\x93NUMPY\x01\x00\xff\xff{}",
        "header without a length": b"\x93NUMPY\x01\x00",
        "header of another version": b"\x93NUMPY\x09\x00" + GOOD["npy"][8:],
        "header without a version": b"\x93NUMPY",
        "flood of arrays of bytes": npy_file(
            byte_string(bytes(100_000)) + b"q\x00]" + (begun_array() + b"h\x00ba") * 20_000
        ),
    }  # fmt: skip


def of_torch(container):
    """Files whose tensors are not what they say."""
    legacy = container == "th"
    ours = storage(legacy=legacy)

    def held(piece):
        return WITH[container](piece)

    def with_storage(**parts):
        return ONLY[container](dictionary(string("a"), tensor(storage(**parts, legacy=legacy))))

    def identity(*parts):
        return held(tensor(tuple_of(*parts) + b"Q"))

    rest = [string("0"), string("cpu"), number(6), *([NONE] if legacy else [])]
    bf16 = storage(kind="BFloat16Storage", count=400_000, legacy=legacy)
    names = b"".join(string(f"a{i}") + b"h\x00" for i in range(1000))
    of_bf16 = b"}(" + string("a") + tensor(bf16, 0, (1,), (1,)) + b"q\x00" + names + b"u"
    zeros = bytes(800_000)
    many = legacy_file(of_bf16, {"0": (400_000, zeros)}) if legacy else zip_file(of_bf16, {"data/0": zeros})
    return {
        "no memory for strides of zero": held(tensor(ours, 0, (10**6, 10**6), (0, 0))),
        "no memory for one stride of zero": held(tensor(ours, 0, (10**9, 2), (0, 1))),
        "size of terabytes": held(tensor(ours, 0, (10**6, 10**6), (10**6, 1))),
        "size of more than can be counted": held(tensor(ours, 0, (2**62,) * 4, (0,) * 4)),
        "size too large by one": held(tensor(ours, 0, (7,), (1,))),
        "size below zero": held(tensor(ours, 0, (-2, 3), (3, 1))),
        "sizes below zero": held(tensor(ours, 0, (-2, -3), (3, 1))),
        "size of no numbers and too many": held(tensor(ours, 0, (0, 2**70), (1, 1))),
        "size of no numbers and too many to multiply": held(tensor(ours, 0, (0, 2**40, 2**40), (1, 1, 1))),
        "size of no numbers and one below zero": held(tensor(ours, 0, (0, -1), (1, 1))),
        "offset outside": held(tensor(ours, 6, (1,), (1,))),
        "offset outside by one": held(tensor(ours, 1)),
        "offset below zero": held(tensor(ours, -1, (1,), (1,))),
        "offset of more than can be counted": held(tensor(ours, 2**100, (1,), (1,))),
        "offset of a fraction": held(tensor(ours, real(0))),
        "offset of nothing": held(tensor(ours, NONE)),
        "stride outside": held(tensor(ours, 0, (2, 2), (5, 1))),
        "stride outside by one": held(tensor(ours, 0, (2, 3), (4, 1))),
        "stride below zero": held(tensor(ours, 5, (2, 3), (-3, -1))),
        "stride of more than can be counted": held(tensor(ours, 0, (2,), (2**64,))),
        "stride that is not used, of more than can be counted": held(tensor(ours, 0, (1,), (2**70,))),
        "stride of no numbers, of more than can be counted": held(tensor(ours, 0, (0,), (2**70,))),
        "strides of fractions": held(tensor(ours, 0, (2, 3), tuple_of(real(3), real(1)))),
        "strides that are too few": held(tensor(ours, 0, (2, 3), (1,))),
        "strides that are too many": held(tensor(ours, 0, (2,), (1, 1))),
        "size of many axes": held(tensor(ours, 0, (1,) * 70, (1,) * 70)),
        "size of nothing": held(tensor(ours, 0, NONE, NONE)),
        "size of a number": held(tensor(ours, 0, 6, 1)),
        "size of a text": held(tensor(ours, 0, string("23"), string("31"))),
        "size of millions of bytes": lambda: held(tensor(ours, 0, byte_string(bytes(40_000_000)) + b"q\x00", b"h\x00")),
        "size that is far larger than its file": held(tensor(ours, 0, doubled(60), doubled(60))),
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
        "tensor of functions": held(tensor(ours, name("torch", "Size"), name("torch", "Size"), name("torch", "Size"))),
        "tensor without strides": held(
            call(name("torch._utils", "_rebuild_tensor_v2"), ours, number(0), tuple_of(number(6)))
        ),
        "tensors that are none of the file's": zip_file(list_of(tensor(ours)))
        if container == "pth"
        else legacy_file(list_of(tensor(ours))),
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


def patched(content, position, form, value):
    return content[:position] + struct.pack(form, value) + content[position + struct.calcsize(form) :]


def of_zip_files():
    state = dictionary(string("a"), tensor(storage(legacy=False)))
    good = zip_file(state)
    end = good.rindex(b"PK\x05\x06")
    entries = [i for i in range(len(good)) if good[i : i + 4] == b"PK\x01\x02"]
    last = entries[-1]  # of data/0
    first = entries[0]  # of data.pkl
    huge = zip_file(state, {"data/0": bytes(2_000_000)}, compression=zipfile.ZIP_DEFLATED)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(NONE * 20_000_000), zipfile.ZIP_DEFLATED)
    larger = patched(patched(good, last + 24, "<I", 2**31), last + 20, "<I", 2**31)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(state))
        archive.writestr("archive/data/0", KERNEL.tobytes()[:20])
        archive.writestr("other/data/0", KERNEL.tobytes()[:12])
    lines = dictionary(string("a\nb\u2028c"), tensor(storage("7", legacy=False)))
    named = zip_file(state, {"data/0": KERNEL.tobytes()}, folder="a\nb\r/")
    return {
        "no pickle": zip_file(None),
        "no pickle in a folder": zip_file(state, folder=""),
        "no members": b"PK\x05\x06" + bytes(18),
        "no end": good[:end],
        "no folder of members": good[: entries[0]],
        "another file behind its first bytes": b"PK\x03\x04" + b"hello" * 1000,
        "big-endian": zip_file(state, byteorder=b"big"),
        "byte order of nothing": zip_file(state, byteorder=b""),
        "member that is missing": zip_file(state, {}),
        "member that is missing for a name of lines": zip_file(lines),
        "member that is smaller": zip_file(state, {"data/0": bytes(23)}),
        "member that is larger": zip_file(state, {"data/0": bytes(25)}),
        "members in two folders": twice.getvalue(),
        "compressed storage": huge,
        "compressed pickle": bomb.getvalue(),
        "compressed storage in a folder of lines": zip_file(state, compression=zipfile.ZIP_DEFLATED, folder="a\nb\r/"),
        "size that is false": patched(good, last + 24, "<I", 2**31),
        "packed size that is false": patched(good, last + 20, "<I", 2**31),
        "sizes that are false": larger,
        "sizes of gigabytes": patched(patched(good, last + 24, "<I", 2**32 - 2), last + 20, "<I", 2**32 - 2),
        "sizes of gigabytes of the pickle": patched(
            patched(good, first + 24, "<I", 2**32 - 2), first + 20, "<I", 2**32 - 2
        ),
        "sizes in a part that is missing": patched(patched(good, last + 24, "<I", 2**32 - 1), last + 20, "<I", 2**32 - 1),
        "position outside": patched(good, last + 42, "<I", 2**31),
        "position in a part that is missing": patched(good, last + 42, "<I", 2**32 - 1),
        "position of no member": patched(good, last + 42, "<I", 3),
        "position before the beginning": patched(good, end + 16, "<I", entries[0] + 100),
        "name of terabytes": patched(good, good.index(b"archive/data/0") - 4, "<H", 2**16 - 1),
        "method that is unknown": patched(good, last + 10, "<H", 99),
        "version that is unknown": patched(good, last + 6, "<H", 999),
        "folder of members of gigabytes": patched(good, end + 12, "<I", 2**32 - 2),
        "folder of members below zero": patched(good, end + 16, "<I", 2**32 - 2),
        "name in a folder that is no text": good.replace(b"archive/data.pkl", b"\xff\xfe\xff\xfe\xff\xfe\xff/data.pkl").replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x08"
        ),
        "false size in a folder of lines": patched(named, [i for i in range(len(named)) if named[i : i + 4] == b"PK\x01\x02"][-1] + 42, "<I", 3),
        "pickle larger than any": lambda: zip_file(NONE * (2**26 + 1)),
        "pickle that is no pickle": zip_file(None, {"data.pkl": b"hello"}),
        "pickle that is empty": zip_file(None, {"data.pkl": b""}),
        "pickle of a legacy file": zip_file(None, {"data.pkl": GOOD["th"]}),
        "code": zip_file(None, {"code/__torch__.py": b"import os", "data.pkl": pickled(name("__torch__", "Model"))}),
    }  # fmt: skip


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


def hostile_files():
    """Every case: its name -> a function that makes the file, given the one that it is to make when it is executed."""
    cases = {}
    for container in CONTAINERS:
        for case, opcodes in EXECUTED.items():
            cases[f"{container}: executed: {case}"] = lambda marker, c=container, o=opcodes: WITH[c](o(marker))
            cases[f"{container}: executed alone: {case}"] = lambda marker, c=container, o=opcodes: ONLY[c](o(marker))
        for case, opcodes in ODD.items():
            cases[f"{container}: odd: {case}"] = lambda marker, c=container, o=opcodes: ONLY[c](o)
    groups = {
        "npy": of_numpy(),
        "th": of_torch("th") | of_legacy_files(),
        "pth": of_torch("pth") | of_zip_files(),
        "safetensors": of_safetensors_files(),
    }
    for group, files in groups.items():
        for case, file in files.items():
            cases[f"{group}: {case}"] = lambda marker, f=file: f() if callable(f) else f
    return cases


HOSTILE = hostile_files()
# Of these nothing is asked but that they do no harm.
MAY_BE_READ = {"th: bfloat16 under many names", "pth: bfloat16 under many names"}
MAY_BE_READ |= {
    f"{container}: stride {of}, of more than can be counted"
    for container in TORCH
    for of in ("that is not used", "of no numbers")
}
MAY_BE_READ |= {f"safetensors: kind {kind}" for kind in RARE_KINDS}


class Reader:
    """A process of `weight_files.py`, and another one where it died or did not answer."""

    def __init__(self, folder, program=(weight_files.__file__,), patience=PATIENCE):
        self.folder, self.program, self.patience = folder, program, patience
        self.marker = folder / "executed"
        self.process = None

    def outcome(self, content):
        """What became of a file: (name of the error or "read", its message, whether something was executed)."""
        if self.process is None:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, *self.program, str(self.marker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                text=True,
            )
        path = write(self.folder / "weights.bin", content)
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        answered = self.wait()
        line = self.process.stdout.readline() if answered else ""
        if line:
            return json.loads(line)
        self.process.kill()
        error = self.process.communicate()[1].strip().rpartition("\n")[2]
        self.process = None
        executed = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        return ["the process died" if answered else f"no answer in {self.patience} seconds", error, executed]

    def wait(self):
        """Whether there is an answer, before the process has computed for too long: a busy machine takes no time from it."""
        process, deadline = psutil.Process(self.process.pid), time.monotonic() + WAITING
        begun = sum(process.cpu_times()[:2])
        while not select.select([self.process.stdout], [], [], 0.05)[0]:
            if sum(process.cpu_times()[:2]) - begun > self.patience or time.monotonic() > deadline:
                return False
        return True

    def close(self):
        """Ends the process, which then looks whether it imported too much."""
        if self.process is not None:
            _, error = self.process.communicate()
            assert self.process.returncode == 0, error


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = Reader(tmp_path_factory.mktemp("hostile"))
    yield reader
    reader.close()


def test_a_reader_that_never_answers_and_one_that_dies_are_noticed(tmp_path):
    endless = Reader(tmp_path, ("-c", "input()\nwhile True: pass"), patience=0.2)
    assert endless.outcome(b"") == ["no answer in 0.2 seconds", "", False]
    assert endless.process is None
    dying = Reader(tmp_path, ("-c", "input()\nraise SystemExit('killed')"))
    assert dying.outcome(b"") == ["the process died", "killed", False]


@pytest.mark.parametrize("case", EXECUTED)
def test_python_itself_would_execute_the_payloads(tmp_path, case):
    marker = tmp_path / "executed"
    with contextlib.suppress(Exception):
        pickle.loads(pickled(EXECUTED[case](marker)))
    assert marker.exists() == (case not in DUDS)


def test_the_process_reads_what_is_as_it_should_be(reader):
    for content in GOOD.values():
        assert reader.outcome(content) == ["read", "2", False]


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_little_memory(reader, case):
    kind, message, executed = reader.outcome(HOSTILE[case](reader.marker))
    assert not executed
    if case in MAY_BE_READ and kind == "read":
        return
    assert kind == "WeightsError", message
    assert message.startswith(f"{reader.folder / 'weights.bin'}: ")
    assert len(message.splitlines()) == 1


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
