"""That the exported files compute what the model computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zoo.errors import DataError
from zoo.reporting.formatting import Table, format_value, settings_table
from zoo.reporting.section import Section


def certificate_section(certificate: Any) -> Section:
    """A row a format, the files with their hashes, and what made them.

    Args:
        certificate: a `zoo.Certificate`, or what certificate.json holds.

    Raises:
        DataError: it does not say what was checked, or what the files are.
    """
    is_read = isinstance(certificate, type) or not dataclasses.is_dataclass(certificate)
    facts: Any = certificate if is_read else dataclasses.asdict(certificate)  # the same names
    if not _is_certificate(facts):
        raise DataError("a certificate has the checks of each format, the files, input and versions; export again")
    checks: Mapping[str, Mapping[str, Any]] = facts["checks"]
    columns = list(dict.fromkeys(key for check in checks.values() for key, v in check.items() if not _is_nested(v)))
    rows = [[name, *(format_value(check.get(key)) for key in columns)] for name, check in checks.items()]
    header = ["format", *(key.replace("_", " ") for key in columns)]
    content = {
        "checks": Table(header, rows, [False] + [True] * len(columns)),
        "files": Table(["file", "SHA-256"], [[str(k), str(v)] for k, v in facts["files"].items()], [False, False]),
        "input": settings_table({"value": facts["input"]}),
        "versions": settings_table({"value": facts["versions"]}),
        "created": str(facts.get("created", "")),
    }
    return Section("certificate", "Export certificate", content)


def _is_certificate(facts: Any) -> bool:
    is_table = isinstance(facts, Mapping) and all(
        isinstance(facts.get(name), Mapping) for name in ("checks", "files", "input", "versions")
    )
    return is_table and all(isinstance(check, Mapping) for check in facts["checks"].values())


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))
