"""Hyper-parameter search over the zoo's models and over any Keras build function.

The public names below are imported when they are first used: `import tuning` alone loads no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuning.results import SearchResult, load_result
    from tuning.searching import search
    from tuning.spaces import space

_PUBLIC = {
    "SearchResult": "tuning.results",
    "load_result": "tuning.results",
    "search": "tuning.searching",
    "space": "tuning.spaces",
}

__all__ = ["SearchResult", "load_result", "search", "space"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tuning' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
