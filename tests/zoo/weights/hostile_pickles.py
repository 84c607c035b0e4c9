"""Opcodes that execute something, and opcodes over which a machine might stumble, for any container."""

from __future__ import annotations

import os
import pickle
import struct

from weight_files import (
    NONE,
    byte_string,
    call,
    dictionary,
    doubled,
    list_of,
    name,
    number,
    numbers_dtype,
    real,
    string,
    tuple_of,
)


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
