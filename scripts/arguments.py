"""How the scripts read a command line: a parser whose errors are one line, and the type of paths."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import NoReturn

from zoo.errors import UsageError, visible
from zoo.paths import checked_path


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of the scripts are; the usage is in `--help`."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, names the nearest options, and ends with exit code 2."""
        _, _, unrecognized = message.partition("unrecognized arguments:")
        unknown = next(iter(unrecognized.split()), "")
        if unrecognized and not unknown:
            message = f"unrecognized arguments: {unrecognized[1:]!r}"
        near = difflib.get_close_matches(unknown.partition("=")[0], self._option_string_actions, n=2)
        hint = (
            f"; did you mean {' or '.join(near)}?" if near else "" if ";" in message else "; --help shows the options"
        )
        self.exit(2, f"error: {visible(message)[:500]}{hint}\n")


def path(text: str) -> Path:
    """The type of options and arguments that are paths."""
    try:
        return checked_path(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
