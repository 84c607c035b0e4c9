"""That the exported files compute what the model computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zoo.reporting.formatting import Table, format_value, settings_table
from zoo.reporting.section import Section


def certificate_section(certificate: Any) -> Section:
    """A row a format, the files with their hashes, and what made them.

    Args:
        certificate: a `zoo.Certificate`, or what certificate.json holds.
    """
    facts: Mapping[str, Any] = (
        certificate if isinstance(certificate, Mapping) else dataclasses.asdict(certificate)  # the same names
    )
    checks: Mapping[str, Mapping[str, Any]] = facts["checks"]
    columns = list(dict.fromkeys(key for check in checks.values() for key, v in check.items() if not _is_nested(v)))
    rows = [[name, *(format_value(check.get(key)) for key in columns)] for name, check in checks.items()]
    header = ["format", *(key.replace("_", " ") for key in columns)]
    content = {
        "checks": Table(header, rows, [False] + [True] * len(columns)),
        "files": Table(["file", "SHA-256"], [[str(k), str(v)] for k, v in facts["files"].items()], [False, False]),
        "input": settings_table({"value": facts.get("input") or {}}),
        "versions": settings_table({"value": facts.get("versions") or {}}),
        "created": str(facts.get("created", "")),
    }
    return Section("certificate", "Export certificate", content)


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))
