"""Reads the pickles inside weight files as data.

A pickle is a program for a small stack machine. Python's own machine imports and calls what the program names; this one
knows the opcodes that containers of arrays need, looks every name up in an allow-list, and calls functions of ours that
only describe what they are given. Nothing is imported, and the memory that it takes is bounded by the size of the file.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any

_MOST_OPCODES = 250_000  # a checkpoint of ResNet-50 has 12,000
_LONGEST_TEXT = 65_536
_LONGEST_KEY = 512  # of those that must be copied
_LONGEST_NUMBER = 16  # bytes
_MOST_NUMBERS = 2**40  # along one axis
_MOST_AXES = 8

# What a name may stand for: a function of ours, or a mark that other functions look at.
Allowed = Mapping[str, Callable[..., Any] | str]


class MalformedError(ValueError):
    """Why a file is refused, without its name."""


class Described:
    """What a call in a pickle would have made, described; `build` takes the state that the pickle gives it."""

    def build(self, state: Any) -> None:
        """Accepts the state of the object; most objects of weight files have one that does not matter."""


class _Reference:
    """A name of the allow-list, on the stack."""

    def __init__(self, meaning: Callable[..., Any] | str) -> None:
        self.meaning = meaning


_MARK = object()
_OPCODES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}


def read_pickle(
    data: memoryview, position: int, allowed: Allowed, persistent: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """The value of one pickle and the position behind it.

    Args:
        data: the file. Byte strings in the result are views of it.
        position: where the pickle begins.
        allowed: "module.name" -> what is called in its place, or a mark (a string).
        persistent: what a persistent id stands for, in pickles that have them.

    Raises:
        MalformedError: the pickle names something that is not allowed, is cut off, or is none.
    """
    machine = _Machine(data, position, allowed, persistent)
    try:
        return machine.run(), machine.position
    except MalformedError:
        raise
    except (IndexError, KeyError, TypeError, ValueError, struct.error):
        raise MalformedError(f"its pickle is damaged at byte {machine.position:,}") from None


def text(value: Any) -> str:
    """A string, also where Python 2 wrote it as bytes."""
    if isinstance(value, memoryview):
        if len(value) > _LONGEST_KEY:
            raise MalformedError(f"it has a name of {len(value):,} bytes")
        return bytes(value).decode("latin-1")
    if not isinstance(value, str):
        raise MalformedError(f"it has {type(value).__name__} where a name belongs")
    return value


def is_count(value: Any) -> bool:
    """Whether a value of a pickle is a whole number of which an array can have as many."""
    return isinstance(value, int) and 0 <= value < _MOST_NUMBERS


def is_shape(value: Any) -> bool:
    """Whether a value of a pickle can be the shape, or the strides, of an array."""
    return isinstance(value, tuple) and len(value) <= _MOST_AXES and all(is_count(n) for n in value)


class _Machine:
    def __init__(
        self, data: memoryview, position: int, allowed: Allowed, persistent: Callable[[Any], Any] | None
    ) -> None:
        self._data = data
        self.position = position
        self._allowed = allowed
        self._persistent = persistent
        self._stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST_OPCODES):
            opcode = _OPCODES.get(self.take(1)[0])
            if opcode is None:
                raise MalformedError(f"it is no pickle at byte {self.position - 1:,}")
            if opcode == "STOP":
                return self.pop()
            step = _STEPS.get(opcode)
            if step is None:
                raise MalformedError(f"its pickle uses {opcode}, which no weight file needs")
            step(self)
        raise MalformedError(f"its pickle has more than {_MOST_OPCODES:,} opcodes")

    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self._data) - self.position:
            raise MalformedError(f"it is cut off: {count:,} bytes should follow byte {self.position:,}")
        self.position += count
        return self._data[self.position - count : self.position]

    def skip(self, count: int) -> None:
        self.take(count)

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        start = self.position
        while self.take(1)[0] != ord("\n"):
            if self.position - start > _LONGEST_TEXT:
                raise MalformedError("it has a name that does not end")
        return bytes(self._data[start : self.position - 1]).decode("utf-8")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise IndexError
        return value

    def pop_to_mark(self) -> list[Any]:
        for i in range(len(self._stack) - 1, -1, -1):
            if self._stack[i] is _MARK:
                values = self._stack[i + 1 :]
                del self._stack[i:]
                return values
        raise IndexError

    def push_number(self, form: str) -> None:
        self.push(self.number(form))

    def push_long(self) -> None:
        size = self.number("<B")
        if size > _LONGEST_NUMBER:
            raise MalformedError(f"it has a number of {size} bytes")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def push_bytes(self, size_form: str) -> None:
        self.push(self.take(self.number(size_form)))

    def push_text(self, size_form: str) -> None:
        size = self.number(size_form)
        if size > _LONGEST_TEXT:
            raise MalformedError(f"it has a name of {size:,} bytes")
        self.push(bytes(self.take(size)).decode("utf-8"))

    def mark(self) -> None:
        self.push(_MARK)

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def tuple_to_mark(self) -> None:
        self.push(tuple(self.pop_to_mark()))

    def append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target += values

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise TypeError
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Numbers are keys in the state of optimizers; a tuple could take for ever to hash.
            target[key if isinstance(key, int) else text(key)] = value

    def put(self, index: int) -> None:
        self.memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    def refer(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self._allowed:
            raise MalformedError(f"it refers to {full[:100]}, which no weight file needs; nothing was executed")
        self.push(_Reference(self._allowed[full]))

    def reduce(self) -> None:
        arguments, reference = self.pop(), self.pop()
        if not isinstance(reference, _Reference) or not callable(reference.meaning):
            raise MalformedError("it calls something that is no name of the allow-list; nothing was executed")
        if not isinstance(arguments, tuple):
            raise TypeError
        self.push(reference.meaning(*(_meaning(argument) for argument in arguments)))

    def build(self) -> None:
        state = self.pop()
        target = self._stack[-1]
        if isinstance(target, Described):
            target.build(state)
        elif not isinstance(target, dict):  # the attributes of an OrderedDict do not matter
            raise TypeError

    def persistent_id(self) -> None:
        identity = self.pop()
        if self._persistent is None or not isinstance(identity, tuple):
            raise TypeError
        self.push(self._persistent(tuple(_meaning(part) for part in identity)))


def _meaning(value: Any) -> Any:
    """A reference to a mark is the mark; a function stays wrapped, so that nothing can call it by another way."""
    return value.meaning if isinstance(value, _Reference) and isinstance(value.meaning, str) else value


_STEPS: dict[str, Callable[[_Machine], None]] = {
    "PROTO": lambda m: m.skip(1),
    "FRAME": lambda m: m.skip(8),
    "MARK": _Machine.mark,
    "NONE": lambda m: m.push(None),
    "NEWTRUE": lambda m: m.push(True),
    "NEWFALSE": lambda m: m.push(False),
    "BININT": lambda m: m.push_number("<i"),
    "BININT1": lambda m: m.push_number("<B"),
    "BININT2": lambda m: m.push_number("<H"),
    "LONG1": _Machine.push_long,
    "BINFLOAT": lambda m: m.push_number(">d"),
    "SHORT_BINUNICODE": lambda m: m.push_text("<B"),
    "BINUNICODE": lambda m: m.push_text("<I"),
    "SHORT_BINSTRING": lambda m: m.push_bytes("<B"),
    "BINSTRING": lambda m: m.push_bytes("<i"),
    "SHORT_BINBYTES": lambda m: m.push_bytes("<B"),
    "BINBYTES": lambda m: m.push_bytes("<I"),
    "BINBYTES8": lambda m: m.push_bytes("<Q"),
    "EMPTY_DICT": lambda m: m.push({}),
    "EMPTY_LIST": lambda m: m.push([]),
    "EMPTY_TUPLE": lambda m: m.push(()),
    "TUPLE": _Machine.tuple_to_mark,
    "TUPLE1": lambda m: m.tuple_of(1),
    "TUPLE2": lambda m: m.tuple_of(2),
    "TUPLE3": lambda m: m.tuple_of(3),
    "APPEND": lambda m: m.append([m.pop()]),
    "APPENDS": lambda m: m.append(m.pop_to_mark()),
    "SETITEM": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m: m.set_items(m.pop_to_mark()),
    "BINPUT": lambda m: m.put(m.number("<B")),
    "LONG_BINPUT": lambda m: m.put(m.number("<I")),
    "MEMOIZE": lambda m: m.put(len(m.memo)),
    "BINGET": lambda m: m.get(m.number("<B")),
    "LONG_BINGET": lambda m: m.get(m.number("<I")),
    "GLOBAL": lambda m: m.refer(m.line(), m.line()),
    "STACK_GLOBAL": lambda m: m.refer(*[text(m.pop()) for _ in range(2)][::-1]),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent_id,
}
