"""How a script starts and ends: its device, its errors as one line, what interrupts it.

Nothing here imports TensorFlow, so that `--help` and errors about names are quick.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import standard_files
from interruption import Interruption

import zoo
from zoo.errors import DataWarning, UsageError, visible


def run(
    parser: argparse.ArgumentParser,
    action: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None,
    *,
    resumable: bool = False,
) -> int:
    """Parses, acts, and turns errors into one line and an exit code: 2 for wrong usage, 1 for failure.

    `resumable`: the same command continues what was interrupted, and a user is told so.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"keras-zoo {zoo.__version__}")
    standard_files.reopen()
    args = parser.parse_args(argv)
    interruption = Interruption()
    try:
        with interruption, standard_files.output_named(), _data_warnings_as_notes():
            if "device" in args:
                _choose_device(args.device)
            action(args)
    except standard_files.ReaderGoneError:
        return 1
    except KeyboardInterrupt:
        return _interrupted(argv, resumable)
    except Exception as error:
        if args.debug:
            raise
        if interruption.is_recent:
            return _interrupted(argv, resumable)
        known = isinstance(error, zoo.ZooError | OSError)
        text = _line(_message(error)) or type(error).__name__
        print(
            f"error: {text}" if known else f"error: {type(error).__name__}: {text[:300]} (--debug shows where)",
            file=sys.stderr,
        )
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _interrupted(argv: Sequence[str] | None, resumable: bool) -> int:
    again = shlex.join(["python", sys.argv[0], *(sys.argv[1:] if argv is None else argv)])
    print(f"interrupted; to continue: {again}" if resumable else "interrupted", file=sys.stderr)
    return 130


def _message(error: Exception) -> str:
    """What an error says; of the system's the file first, where it is known, and not its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


@contextlib.contextmanager
def _data_warnings_as_notes() -> Iterator[None]:
    """Shows a `DataWarning` as one line on standard error, and the same one once; other warnings as ever."""
    with warnings.catch_warnings():
        show, shown = warnings.showwarning, set()

        def note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            text = _line(str(message))
            if not issubclass(category, DataWarning):
                show(message, category, *place, **more)
            elif text not in shown:
                shown.add(text)
                print(f"note: {text}", file=sys.stderr)

        warnings.showwarning = note
        yield


def _line(text: str) -> str:
    """The text of an error or a warning of somebody else's as one line; its line ends become spaces."""
    return visible(re.sub(r"\s*[^\S ]\s*", " ", text).strip())


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """--device, for scripts that compute; `run` acts on it."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="auto takes a GPU where there is one (auto)"
    )


def _choose_device(device: str) -> None:
    if device == "cpu":
        for vendor in ("CUDA", "HIP"):  # read when TensorFlow starts, so that nothing need be imported here
            os.environ[f"{vendor}_VISIBLE_DEVICES"] = "-1"
    if device == "gpu":
        import zoo.startup as _startup  # noqa: F401  (before TensorFlow)

        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            raise zoo.ZooError("--device gpu: TensorFlow finds no GPU here; use --device auto or cpu")
