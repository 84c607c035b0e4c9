"""`Certificate`: what certificate.json holds, how it is written, and how one that nobody vouches for is read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from zoo.errors import ExportError, UsageError, one_line, unknown_name
from zoo.exporting.formats import FORMATS
from zoo.storage import manifest, read_bytes

NAME, CARD, EXAMPLES = "certificate.json", "README.md", "examples.npz"
_VERSION = 2
_MOST_INPUTS = 10**8  # numbers in one example, as many as `read_image` takes pixels
_DTYPES = ("uint8", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Evidence that exported files compute what the model computes; certificate.json holds the same.

    Attributes:
        directory: where the export lies.
        checks: format -> `examples`, `max_abs_difference`, `top1_agreement`, `tolerance` (`None` where a format is quantized,
            which has `min_top1_agreement` instead, and `accuracy` with its `accuracy_interval`), `size_bytes`, and
            `latency_ms` and `latency_p95_ms`, median and 95 % quantile of the time for one input.
        files: relative path -> SHA-256 of every exported file.
        class_names: one name a class.
        input: `shape` and `dtype` of what the files take, and how it is scaled inside.
        versions: what computed it.
        data: what names the data of the examples.
        created: local time.
        model: `name`, `parameters`, what builds it, and the latency of a call of the Keras model in the same run.
        recipes: how it was trained, where that is known.
        metrics: of the model on the split: `split`, `examples`, `accuracy` with its 95 % interval, and `recall` of each class.
        intended_use: in words.
        limits: in words.
    """

    directory: Path
    checks: dict[str, dict[str, Any]]
    files: dict[str, str]
    class_names: tuple[str, ...]
    input: dict[str, Any]
    versions: dict[str, str]
    data: dict[str, Any]
    created: str
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    recipes: tuple[dict[str, Any], ...] = ()
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    intended_use: str = ""
    limits: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return tuple(self.input["shape"])

    def text(self) -> str:
        """The content of certificate.json. Its last entry is the SHA-256 of what stands before."""
        facts = {k: v for k, v in dataclasses.asdict(self).items() if k != "directory"}
        return _signed({"format_version": _VERSION, **facts})

    def check_format(self, name: str) -> None:
        """Raises a UsageError unless the export has a format."""
        if name not in FORMATS:
            raise unknown_name("export format", name, FORMATS)
        if name not in self.checks:
            raise UsageError(f"{self.directory} has no {name}; it has {', '.join(self.checks)}")

    def check_files(self) -> None:
        """Raises an ExportError when a file was changed, is missing, or is there and in no list."""
        for entry in self.directory.rglob("*"):
            if entry.is_symlink():
                raise ExportError(f"{entry} is a symbolic link, which no export has")
        found = manifest(self.directory)
        found.pop(NAME, None)
        for name, digest in self.files.items():
            if found.get(name) != digest:
                state = "was changed after the export" if name in found else "is missing"
                raise ExportError(f"{self.directory / name} {state}; export the model again, or fetch the export again")
        if extra := sorted(found.keys() - self.files.keys()):
            raise ExportError(f"{self.directory / extra[0]} is of no export; move it elsewhere")


def read_certificate(directory: Path) -> Certificate:
    """Reads certificate.json and believes nothing in it that could lead elsewhere or exhaust the memory.

    Raises:
        UsageError: there is no export.
        ExportError: the certificate was changed, is of another version, or says what cannot be.
    """
    path = directory / NAME
    try:
        content = read_bytes(path)
        facts = json.loads(content)
        if facts.get("format_version") != _VERSION:
            raise ValueError(f"of format version {facts.get('format_version')!r:.20}, not {_VERSION}")
        digest = facts.pop("sha256", None)
        if _signed(facts).encode() != content or not digest:
            raise ValueError("changed after the export")
        facts.pop("format_version")
        _check_facts(facts)
        facts["class_names"], facts["limits"] = tuple(facts["class_names"]), tuple(facts["limits"])
        return Certificate(directory=directory, **facts | {"recipes": tuple(facts["recipes"])})
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{directory} holds no export (no {NAME}); make one with scripts/export.py") from None
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read: {error.strerror}; make it readable, or export the model again"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ExportError(f"{path} cannot be trusted: {one_line(error)}; export the model again") from None


def _signed(facts: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, indent=2, allow_nan=False).encode()).hexdigest()
    return json.dumps({**facts, "sha256": digest}, indent=2, allow_nan=False) + "\n"


def _check_facts(facts: dict[str, Any]) -> None:
    """Raises a ValueError that names what cannot be. Who can write a certificate can sign it, so the signature is no proof."""
    for key, is_possible in _RULES.items():
        if not is_possible(facts[key]):
            raise ValueError(f"{key} says what no export says")
    for name in facts["checks"]:
        path = FORMATS[name].path
        if path not in facts["files"] and not any(file.startswith(f"{path}/") for file in facts["files"]):
            raise ValueError(f"files has none for the format {name}")


def _are_files(files: Any) -> bool:
    def is_inside(name: str) -> bool:
        path = PurePosixPath(name)
        return name == str(path) and not path.is_absolute() and ".." not in path.parts and not set(name) & set("\\:\0")

    return EXAMPLES in files and all(
        is_inside(name) and name not in (NAME, ".") and re.fullmatch("[0-9a-f]{64}", digest)
        for name, digest in files.items()
    )


def _is_input(value: Any) -> bool:
    shape = value["shape"]
    sizes = [n for n in shape if type(n) is int and 0 < n <= _MOST_INPUTS]
    return 0 < len(shape) == len(sizes) <= 8 and math.prod(sizes) <= _MOST_INPUTS and value["dtype"] in _DTYPES


def _are_checks(checks: Any) -> bool:
    def is_number(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e15

    numbers = ("examples", "max_abs_difference", "top1_agreement", "size_bytes", "latency_ms")
    return len(checks) > 0 and all(
        name in FORMATS
        and all(is_number(check[key]) for key in numbers)
        and (check["tolerance"] is None or is_number(check["tolerance"]))
        for name, check in checks.items()
    )


def _are_names(names: Any) -> bool:
    return (
        isinstance(names, list)
        and 2 <= len(names) == len(set(names)) <= 10**6
        and all(isinstance(name, str) and name.isprintable() for name in names)
    )


_RULES: dict[str, Callable[[Any], bool]] = {
    "files": _are_files,
    "input": _is_input,
    "checks": _are_checks,
    "class_names": _are_names,
}
