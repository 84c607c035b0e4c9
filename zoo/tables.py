"""DataFrames as CSV files: written in one step, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> Path:
    """Writes a table's columns, without its index, as CSV, atomically, and returns the path.

    A text that a spreadsheet would take for a formula (it begins with =, +, -, @, tab or return, and is no number) gets an
    apostrophe before it (OWASP, CSV injection): class and file names come from outside. `read_table` takes it away.
    """
    harmless = table.rename(columns=_escaped)
    for name in harmless.select_dtypes(exclude=["number", "bool"]):
        harmless[name] = [_escaped(value) for value in harmless[name]]
    text = harmless.to_csv(index=False)
    if "\r" in text:  # which pandas does not quote, and readers take for the end of a row
        text = harmless.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    return write_text(path, text)


def read_table(path: str | os.PathLike[str], *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Reads what `write_table` wrote.

    Args:
        path: the file.
        text: columns that hold names: "1", "nan" and "" stay text. What the file lacks is passed over.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no CSV.
    """
    import pandas as pd

    table = pd.read_csv(path).rename(columns=_unescaped)
    as_written = pd.read_csv(path, dtype=str, na_filter=False).rename(columns=_unescaped) if text else table
    for name in text:
        if name in table.columns:
            table[name] = [_unescaped(value) for value in as_written[name]]
    return table


def _escaped(value: Any) -> Any:
    text = str(value) if isinstance(value, (str, os.PathLike)) else ""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else value


def _unescaped(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
