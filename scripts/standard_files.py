"""Standard input, output and error where they are closed, or cannot be written."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from zoo.errors import SaveError


class ReaderGoneError(BrokenPipeError):
    """Nobody reads standard output any more, as with `| head`."""


def reopen() -> None:
    """Gives a process that was started without standard files (`>&-`) the null device in their place.

    Else the next file that is opened would get their number, and what native code prints would end up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            try:
                os.fstat(number)  # something has been opened under the number by now
            except OSError:
                os.dup2(null, number)
            setattr(sys, name, open(null, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115  (as long as we run)


@contextlib.contextmanager
def output_named() -> Iterator[None]:
    """Within the block an error of standard output (`> /dev/full`) says that it is one: others have no file's name either.

    At the end what has been printed is written. What cannot be written goes nowhere, or Python would complain at its own end.

    Raises:
        SaveError: from what prints, or at the end.
        ReaderGoneError: likewise.
    """
    output: Any = sys.stdout
    before = {name: vars(output)[name] for name in ("write", "flush") if name in vars(output)}
    for name in ("write", "flush"):
        setattr(output, name, _named(getattr(output, name)))
    try:
        yield
        output.flush()
    finally:
        with contextlib.suppress(OSError):  # an error that is on its way says more
            output.flush()
        del output.write, output.flush
        vars(output).update(before)


def _named(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except OSError as error:
            with contextlib.suppress(OSError, ValueError):  # it is no file
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                raise ReaderGoneError from error
            text = f"standard output cannot be written: {error.strerror}; direct it to another place"
            raise SaveError(text) from error

    return call
