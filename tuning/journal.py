"""The append-only record of a search: what a result is read from and what a search resumes from.

`journal.jsonl` has one record a line, `{"crc32": ..., "record": {...}}`: first the header that identifies the search, then one
of kind "asked" when the oracle gives one or several trials, and one of kind "trial" when one has ended ("retried" where it
failed and is run again); "fine_tuned" is what became of an ended trial that was trained on. In this order a fresh oracle is
asked and told again, whatever ran at the same time. Numbers that are not finite stand as `NaN` and `Infinity`, as in
Python's json.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from tuning.record_rules import check_record
from zoo import storage
from zoo.appending import AppendedFile
from zoo.errors import UsageError, ZooError
from zoo.plain import changes

FILE_NAME = "journal.jsonl"
VERSION = 3  # of what a journal says; its header has it
_LINE = re.compile(rb'\{"crc32": "([0-9a-f]{8})", "record": (.*)\}\n', re.DOTALL)


class Journal:
    """A search's journal, opened for reading and appending; every append is on the disk when it returns.

    Args:
        directory: the search's folder. The caller holds its lock.
        header: plain values that identify the search. `max_trials` may differ from the journal's, if it grows or there was
            none, and `fine_tune` may come in later.

    Attributes:
        trials: number -> record of each finished trial, in the order in which they ended.
        fine_tuned: number -> record of each trial that was trained on.
        path: the file.
        events: what the oracle was asked and told, as it was when the journal was opened.
        seconds: wall time that the search has taken, by its last record.

    Raises:
        UsageError: the folder holds another search; the message names the differences.
        ZooError: a record before the last one is damaged, or one says what no search does.
    """

    def __init__(self, directory: str | os.PathLike[str], header: dict[str, Any]) -> None:
        self.path = path = Path(directory) / FILE_NAME
        if not path.exists():
            storage.write_text(path, "")  # which also puts the folder's new entry on the disk
        header = as_plain({"kind": "header", **header})
        records, end = _read(path)
        if records:
            old = _header(records)
            header |= {name: old[name] for name in ("fine_tune",) if name in old and name not in header}
            _check_same_search(path.parent, old, header)
        self.trials, self.fine_tuned = _ended(records, "trial"), _ended(records, "fine_tuned")
        self.events = [record for record in records if record["kind"] not in ("header", "fine_tuned")]
        self.seconds = max((record["ended"] for record in self.trials.values()), default=0.0)
        self._file = AppendedFile(path, size=end)  # a torn last line goes
        if not records or _header(records) != header:
            self.append(header)

    def append(self, record: dict[str, Any]) -> None:
        """Adds one record and waits until it is on the disk.

        Raises:
            SaveError: the disk does not take it; the journal is as it was.
        """
        record = as_plain(record)
        text = json.dumps(record, separators=(",", ":")).encode("utf-8")
        self._file.write(b'{"crc32": "%b", "record": %b}\n' % (_checksum(text), text))
        self._file.flush()
        ended = {"trial": self.trials, "fine_tuned": self.fine_tuned}.get(record["kind"])
        if ended is not None:
            ended[record["number"]] = record

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


Records = dict[int, dict[str, Any]]  # number of a trial -> record


def read_journal(directory: str | os.PathLike[str]) -> tuple[dict[str, Any], Records, Records]:
    """The header of a search, its finished trials, and those that were fine-tuned, by number; changes nothing.

    Raises:
        ZooError: the folder holds no search, a record before the last one is damaged, or one says what no search does.
    """
    path = Path(directory) / FILE_NAME
    records = _read(path)[0] if path.is_file() else []
    if not records:
        raise ZooError(f"{directory} holds no search (no {FILE_NAME})")
    header, fine_tuned = _header(records), _ended(records, "fine_tuned")
    if fine_tuned and "fine_tune" not in header:
        raise ZooError(f"{path} holds what no search writes: fine-tuned trials, and no recipe that they had")
    return header, _ended(records, "trial"), fine_tuned


def as_plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples as lists, NumPy numbers as numbers, functions by name."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value)


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """All sound records, and the length in bytes of the lines that hold them."""
    records, end, damaged = [], 0, None
    with path.open("rb") as file:  # line by line: a journal of ten thousand trials need not be in memory as bytes too
        for number, line in enumerate(file, 1):
            if damaged is not None:
                raise ZooError(f"{path} is damaged in line {damaged}; choose another directory, or restore the file")
            record = _parse(line)
            if record is None:
                damaged = number  # if it is the last line, the crash came while it was written
                continue
            if number == 1:
                _check_version(path, record)
            try:
                check_record(record, first=number == 1)
            except ValueError as error:
                raise ZooError(f"{path} holds what no search writes, in line {number}: {error}") from None
            records.append(record)
            end += len(line)
    return records, end


def _check_version(path: Path, header: Any) -> None:
    version = header.get("version") if isinstance(header, dict) else VERSION  # what is no header is refused as such
    if isinstance(version, int) and version != VERSION:
        raise ZooError(
            f"{path} was written by another version of keras-zoo (format {version}, this one reads {VERSION}): choose "
            "another directory, or go on with that version"
        )


def _parse(line: bytes) -> dict[str, Any] | None:
    found = _LINE.fullmatch(line)
    if found is None or found[1] != _checksum(found[2]):  # of the bytes: making them anew took longer than reading them
        return None
    try:
        record: dict[str, Any] = json.loads(found[2])
    except (ValueError, RecursionError):
        return None
    return record


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _header(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The latest header; each resumption with more trials adds one."""
    return [record for record in records if record["kind"] == "header"][-1]


def _ended(records: list[dict[str, Any]], kind: str) -> Records:
    return {record["number"]: record for record in records if record["kind"] == kind}


def _check_same_search(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    before, now = old["max_trials"], new["max_trials"]
    if before is None or now is None or now >= before:
        old = {**old, "max_trials": now}
    if "fine_tune" in new:
        old = {"fine_tune": new["fine_tune"], **old}
    differences = changes(old, new)
    if not differences and list(old["space"]) != list(new["space"]):
        differences.append("the hyper-parameters have another order")
    if differences:
        raise UsageError(f"{directory} holds another search: {'; '.join(differences)}. Choose another directory")
