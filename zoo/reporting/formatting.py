"""Values as a person reads them, and values as JSON takes them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

MISSING = "–"
_MAX_SETTING = 200  # characters: a setting that is a whole nested configuration would bury the others


class Table(NamedTuple):
    """A table as text, ready for the template macro of the same name."""

    header: list[str]
    rows: list[list[str]]
    numeric: list[bool]


def format_value(value: Any) -> str:
    """One value as short text: four significant digits for floats, `–` for None and NaN, lists with commas."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(item) for item in value) or MISSING
    if value is None or value is pd.NaT or value is pd.NA:
        return MISSING
    if isinstance(value, float):
        return MISSING if math.isnan(value) else f"{value:.4g}"
    return str(value)


def format_count(value: int) -> str:
    """An integer with thin spaces between the thousands."""
    return f"{int(value):,}".replace(",", "\u202f")


def format_percent(share: float, *, digits: int = 2) -> str:
    """A share as a percentage; `–` when it is not finite."""
    return f"{100 * share:.{digits}f}\u202f%" if math.isfinite(share) else MISSING


def format_seconds(seconds: float) -> str:
    """A duration in the unit that fits it: `850 ms`, `12.3 s`, `4 min 05 s`, `1 h 02 min`."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def below_common_folder(files: Sequence[Any]) -> list[str]:
    """File names without the folder that all of them lie in: shorter, and nobody's home is on a page that is mailed.

    Examples:
        >>> below_common_folder(["/home/me/pets/cat/1.jpg", "/home/me/pets/dog/1.jpg"])
        ['cat/1.jpg', 'dog/1.jpg']
    """
    names = [str(file) for file in files]
    folders = {os.path.dirname(name) for name in names}  # noqa: PTH120 - names, which need not be paths here
    try:
        common = os.path.commonpath(folders) if folders else ""
    except ValueError:  # absolute and relative ones
        return names
    return [name.removeprefix(common).lstrip("/") if common else name for name in names]


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested dictionary, with dotted keys, in their order.

    Examples:
        >>> list(flatten({"a": {"b": 1}, "c": 2}))
        [('a.b', 1), ('c', 2)]
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_table(columns: Mapping[str, Mapping[str, Any]]) -> Table:
    """Settings side by side: one row a (dotted) key, one column for each of the given dictionaries."""
    flat = {title: dict(flatten(values)) for title, values in columns.items()}
    keys = list(dict.fromkeys(key for values in flat.values() for key in values))
    rows = [[key, *(_clipped(format_value(values.get(key, ""))) for values in flat.values())] for key in keys]
    return Table(["setting", *flat], rows, [False] * (1 + len(flat)))


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_SETTING else text[: _MAX_SETTING - 1] + "…"


def frame_table(frame: pd.DataFrame, *, max_rows: int | None = None) -> Table:
    """A DataFrame's columns as text; the index is left out.

    Args:
        frame: the data.
        max_rows: only the first so many rows; None for all.
    """
    shown = frame if max_rows is None else frame.head(max_rows)
    columns = [[format_value(value) for value in shown.iloc[:, i]] for i in range(shown.shape[1])]
    types = pd.api.types
    numeric = [types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype) for dtype in frame.dtypes]
    return Table([str(name) for name in frame.columns], [list(row) for row in zip(*columns, strict=True)], numeric)


def json_ready(value: Any) -> Any:
    """The value in JSON's own types: NumPy scalars unpacked, NaN and infinities as None, unknown objects as text."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return json_ready(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value.as_posix() if isinstance(value, Path) else str(value)


def script_json(value: Any) -> str:
    """JSON that may stand inside a `<script>` element: no character of it can end or open a tag."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
