"""docs/promises.md names the test that holds each promise."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def functions_of(path):
    """The names of the test functions of a file, those in classes included."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_holds_a_promise_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 50
    files = {path: functions_of(path) for path in {path for path, _ in named}}
    assert [f"{path}::{name}" for path, name in named if name not in files[path]] == []


def test_every_promise_names_a_test():
    """In the tables of promises: three columns, the last one with a test."""
    promises = PAGE.split("## Threat model")[0]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in promises.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0] != "promise"]
    assert len(rows) > 25
    assert [row[0] for row in rows if len(row) != 3 or "::test_" not in row[2]] == []
