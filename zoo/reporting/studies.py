"""The results of many studies side by side: an index page, and a Markdown document for the repository."""

from __future__ import annotations

import dataclasses
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.errors import UsageError, ZooError, one_line
from zoo.reporting.findings import MET, NOT_MET, NOT_RUN, expected_text, number_text
from zoo.reporting.formatting import format_seconds
from zoo.reporting.rendering import data_uri, render_template
from zoo.storage import read_json, write_bytes, write_text

_THUMBNAIL, _PICTURE = 560, 900  # pixels across at most
_MOST_PIXELS = 50_000_000  # of a picture that a study drew
_COLOURS = 128  # of a picture's palette: a third of the bytes, and charts have few
_EARLIER = "Measured with an earlier version of the study."
_HEAD = """# The studies

Written by `scripts/study.py document` from the `result.json` of each study; `make studies` runs them all. A number is **met** when it
lies within its tolerance of what was expected; where it is not, its row or an answer below says why. What could not run says so and
has no number."""


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """What a study has written.

    Attributes:
        name: its short name.
        folder: where it lies.
        result: the content of `result.json`; empty when the study was not run.
        is_earlier: whether other code of the study has written it than there is now.
    """

    name: str
    folder: Path
    result: dict[str, Any]
    is_earlier: bool = False

    @property
    def judged(self) -> dict[str, dict[str, Any]]:
        """The numbers that have a verdict, by key."""
        return {key: entry for key, entry in self.result.get("numbers", {}).items() if entry["verdict"]}

    @property
    def counts(self) -> dict[str, int]:
        """How many numbers have each verdict."""
        verdicts = [entry["verdict"] for entry in self.judged.values()]
        return {verdict: verdicts.count(verdict) for verdict in (MET, NOT_MET, NOT_RUN)}

    @property
    def picture(self) -> tuple[Path, str] | None:
        """The first figure and its caption."""
        figures = [*self.result.get("figures", {}).items()]
        return (self.folder / figures[0][0], figures[0][1]) if figures else None

    @property
    def seconds(self) -> str:
        """How long it took."""
        seconds = self.result.get("seconds")
        return format_seconds(seconds) if seconds else ""


def read_results(directory: str | os.PathLike[str], names: Sequence[str]) -> list[StudyResult]:
    """The results in the folders `directory/name`, in the order of the names.

    Where there is none, that of a cut in `directory/name-cut`. What cannot be read counts as not run.
    """
    found = []
    for name in names:
        folders = [Path(directory) / name, Path(directory) / f"{name}-cut"]
        read = [StudyResult(name, folder, _read(folder / "result.json")) for folder in folders]
        found.append(next((result for result in read if result.result), read[0]))
    return found


def _read(file: Path) -> dict[str, Any]:
    """The content of a `result.json`, or nothing where it is not what `StudyReport` writes."""
    try:
        result = read_json(file)
        entries = all(map(_is_entry, result["numbers"].values()))
        texts = [result["question"], result["command"], *result["figures"].values()]
        texts += [item[part] for item in result["answers"] for part in ("question", "answer")]
        names = all(Path(name).name == name for name in result["figures"])
        versions = all(isinstance(version, str | None) for version in result.get("versions", {}).values())
        numbers = all(_is_number(result.get(name)) for name in ("seconds", "cores"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    fits = entries and all(isinstance(text, str) for text in texts) and names and versions and numbers
    return result if fits else {}


def _is_entry(entry: dict[str, Any]) -> bool:
    """Whether it is a number of a study with its verdict."""
    numbers = (entry["measured"], entry["expected"], entry.get("tolerance"))
    texts = (entry["label"], entry.get("relation") or "", entry.get("why") or "")
    known = entry["verdict"] in (MET, NOT_MET, NOT_RUN, None)
    return known and all(map(_is_number, numbers)) and all(isinstance(text, str) for text in texts)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) < 1e300)


def write_index(directory: str | os.PathLike[str], names: Sequence[str]) -> Path:
    """Writes `directory/index.html`: every study with its verdicts, its first figure and a link to its page.

    Returns:
        The path of the page.
    """
    results = read_results(directory, names)
    entries = [
        {
            "name": found.name,
            "question": found.result.get("question", ""),
            "page": f"{found.folder.name}/index.html" if found.result else None,
            "counts": found.counts,
            "cut": not found.result.get("full", True),
            "seconds": found.seconds,
            "picture": _embedded(found),
        }
        for found in results
    ]
    totals = {verdict: sum(found.counts[verdict] for found in results) for verdict in (MET, NOT_MET, NOT_RUN)}
    context = {"title": "Studies", "studies": entries, "totals": totals, "ran": sum(bool(r.result) for r in results)}
    return write_text(Path(directory) / "index.html", render_template("studies.html", context))


def write_document(
    file: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    names: Sequence[str],
    *,
    sources: Mapping[str, str] | None = None,
) -> Path:
    """Writes results as Markdown, and the first figure of each study into a folder of the file's name beside it.

    Args:
        file: the Markdown file, e.g. `docs/studies.md`.
        directory: where the studies have been written.
        names: the studies, in the order of the document.
        sources: name -> the hash of the study's code now. A result that has another one is marked as measured with an earlier
            version. Without them no result is marked.

    Returns:
        The path of the file.

    Raises:
        UsageError: when none of the studies has been run in full.
    """
    file = Path(file)
    results = read_results(directory, names)
    results = [r if r.result.get("full", True) else dataclasses.replace(r, result={}) for r in results]
    if sources is not None:
        earlier = [bool(r.result) and r.result.get("source") != sources.get(r.name) for r in results]
        results = [dataclasses.replace(r, is_earlier=e) for r, e in zip(results, earlier, strict=True)]
    done = [r for r in results if r.result]
    if not done:
        raise UsageError(f"{directory} holds no full result of a study; run studies first, without --fast")
    for found in done:
        if found.picture:
            write_bytes(file.with_suffix("") / f"{found.name}.png", _small_png(found.picture[0], _PICTURE))
    parts = [_HEAD, _overview(results), *(_section(found, file) for found in done)]
    return write_text(file, "\n\n".join(parts) + "\n")


def _overview(results: list[StudyResult]) -> str:
    rows = ["| study | met | not met | not run | time |", "|---|---:|---:|---:|---:|"]
    for found in results:
        counts = found.counts
        if found.result:
            name = f"[{found.name}](#{found.name}){' ¹' if found.is_earlier else ''}"
            rows.append(f"| {name} | {counts[MET]} | {counts[NOT_MET]} | {counts[NOT_RUN]} | {found.seconds} |")
        else:
            rows.append(f"| {found.name} | not run here | | | |")
    machines = sorted({f"{found.result.get('cores')} CPU cores" for found in results if found.result})
    versions: dict[str, Any] = next(found.result.get("versions", {}) for found in results if found.result)
    named = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
    measured = (
        f"Measured with {named}, on {' and '.join(machines)}. Times are wall time, whatever else the machine did."
    )
    notes = [f"¹ {_EARLIER}", ""] if any(found.is_earlier for found in results) else []
    return "\n".join([*rows, "", *notes, measured])


def _section(found: StudyResult, file: Path) -> str:
    command = " ".join(found.result["command"].replace("`", "'").split())
    parts = [f"## {found.name}", _plain(found.result["question"]), f"`{command}`"]
    if found.is_earlier:
        parts.append(f"*{_EARLIER}*")
    if found.picture:
        caption = _plain(found.picture[1])
        parts.append(f"![{caption}]({file.stem}/{found.name}.png)\n\n*{caption}*")
    if found.judged:
        rows = ["| what | expected | measured | verdict |", "|---|---:|---:|---|"]
        for entry in found.judged.values():
            expected = expected_text(entry["expected"], entry.get("relation"))
            within = f" ± {number_text(entry['tolerance'])}" if entry.get("tolerance") else ""
            verdict = entry["verdict"] + (f": {entry['why']}" if entry.get("why") else "")
            cells = (entry["label"], expected + within, number_text(entry["measured"]), verdict)
            rows.append("| " + " | ".join(map(_plain, cells)) + " |")
        parts.append("\n".join(rows))
    others = [entry for entry in found.result["numbers"].values() if not entry["verdict"]]
    if others:
        rows = ["| number | measured |", "|---|---:|"]
        rows += [f"| {_plain(entry['label'])} | {number_text(entry['measured'])} |" for entry in others]
        parts += [f"<details><summary>{len(others)} other numbers</summary>", "\n".join(rows), "</details>"]
    parts += [f"**{_plain(item['question'])}** {_plain(item['answer'])}" for item in found.result["answers"]]
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Text that Markdown takes as it is, in a table too."""
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", " ".join(text.split()))


def _embedded(found: StudyResult) -> dict[str, str] | None:
    if not found.picture:
        return None
    try:
        small = _small_png(found.picture[0], _THUMBNAIL)
    except ZooError:  # the page still says what was measured
        return None
    return {"uri": data_uri(small, "image/png"), "caption": found.picture[1]}


def _small_png(file: Path, width: int) -> bytes:
    """A picture, narrowed to a width, in few colours."""
    try:
        if not file.is_file():
            raise FileNotFoundError("no such file")
        with Image.open(file, formats=("PNG",)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise ValueError(f"{opened.width}x{opened.height} pixels")
            image = opened.convert("RGB")
            image.info.clear()  # a transparency of its palette is none of the new one's
    except Exception as error:  # Pillow raises many kinds on corrupt files
        raise ZooError(f"{file}: cannot be read as a picture ({one_line(error)}); run the study again") from None
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
