"""Pages that are written, and what is in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zoo.reporting.page import write_report

ATTACK = "<script>alert(1)</script>"


def written(path: Path, **parts: Any) -> str:
    assert write_report(path / "report.html", **parts) == path / "report.html"
    assert [f.name for f in path.iterdir()] == ["report.html"]  # nothing temporary stays
    return (path / "report.html").read_text(encoding="utf-8")


def payload_of(page: str) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="gallery-data">(.*?)</script>', page, re.DOTALL).group(1)
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def programs_of(page: str) -> list[str]:
    """The scripts that run: ours, besides which there are data."""
    found = re.findall(r"<script([^>]*)>", page)
    assert set(found) <= {"", ' type="application/json"', ' type="application/json" id="gallery-data"'}
    return [attributes for attributes in found if not attributes]


def sections_of(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', page)
