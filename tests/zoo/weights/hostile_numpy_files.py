"""NumPy's files whose arrays, pickles or headers are not what they say."""

from __future__ import annotations

import struct

from weight_files import (
    FALSE,
    GOOD,
    NONE,
    array,
    begun_array,
    build,
    byte_string,
    call,
    dictionary,
    doubled,
    list_of,
    name,
    npy_file,
    npy_header,
    number,
    numbers_dtype,
    object_array,
    pickled,
    real,
    string,
    tuple_of,
)

WIDE = byte_string(b"\xff" * 2_000_000)


def of_numpy():
    return of_shapes() | of_contents_and_kinds() | of_states_and_layers() | of_headers()


def held(*parts):
    return npy_file(object_array(dictionary(string("conv1"), list_of(*parts))))


def of_shapes():
    """Arrays whose shapes their bytes do not fill, or that are none."""
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
        "shape of millions of bytes": held(array(WIDE)),
        "shape of an object of millions of bytes": held(array(WIDE, list_of(), numbers_dtype("O8", "|"))),
        "shape of an object of many numbers": held(
            array(tuple_of(*[number(2**126)] * 100_000), list_of(), numbers_dtype("O8", "|"))
        ),
        "shape of all": npy_file(array(WIDE, list_of(), numbers_dtype("O8", "|"))),
    }  # fmt: skip


def of_contents_and_kinds():
    """Arrays of what are no bytes, or of no numbers that we read."""
    return {
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
    }  # fmt: skip


def of_states_and_layers():
    """Arrays that are completed with anything, in dictionaries of anything."""

    def with_state(*state):
        return held(build(begun_array(), *state))

    return {
        "state of nothing": with_state(),
        "state of one": with_state(number(1)),
        "state of four": with_state(number(1), tuple_of(number(6)), numbers_dtype(), FALSE),
        "state of six": with_state(number(1), tuple_of(number(6)), numbers_dtype(), FALSE, NONE, NONE),
        "state of a number": held(begun_array() + number(1) + b"b"),
        "state of bytes": held(begun_array() + byte_string(b"12345") + b"b"),
        "state of millions of bytes": held(begun_array() + WIDE + b"b"),
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
        "flood of arrays of bytes": npy_file(
            byte_string(bytes(100_000)) + b"q\x00]" + (begun_array() + b"h\x00ba") * 20_000
        ),
    }  # fmt: skip


def of_headers():
    """Files whose headers are not what stands before a pickled dictionary."""

    def header(text, version=(1, 0)):
        return npy_header(text, version) + pickled(object_array(dictionary()))

    as_it_is = GOOD["npy"][len(npy_header()) :]
    return {
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
    }  # fmt: skip
