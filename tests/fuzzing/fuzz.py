"""Looks for files that a reader of ours cannot stand: coverage-guided, each reader in a process of its own.

Damaged copies of good files are read; those that reach lines in an order not seen before are damaged further. A finding is a
file that gives any error but a `ZooError`, ends the process, takes more than 5 seconds of computing or 1 GB of memory,
starts a program, opens a connection, unpickles, or writes outside of its folder. It is kept, and the exit code is 1.

Example: python tests/fuzzing/fuzz.py --seconds 600 --readers weights images
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from fuzz_mutations import changed  # noqa: E402  (found by the path above)
from fuzz_readers import READERS, Reader, fault  # noqa: E402

MOST_SECONDS = 5.0  # of computing, for one file
MOST_WAITING = 120.0  # for one file, on a machine that has other things to do
MOST_MEMORY = 2**30  # bytes beyond what the process had after its first files
_LONGEST = 100_000  # bytes of a file that is damaged further
_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "socket.connect",
    "pickle.find_class",
)


class ForbiddenError(BaseException):
    """A file made a reader do what no reader does; nobody catches it by accident."""


class Coverage:
    """Which line follows which in the modules that are looked at; everything else runs untraced."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules
        self._watched: dict[types.CodeType, bool] = {}
        self.seen: set[tuple[int, int, int]] = set()
        self.new = 0

    def __enter__(self) -> Coverage:
        self.new = 0
        sys.settrace(self._call)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def _call(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        watched = self._watched.get(code)
        if watched is None:
            name = frame.f_globals.get("__name__", "")
            watched = self._watched[code] = any(name == m or name.startswith(f"{m}.") for m in self._modules)
        if not watched:
            return None
        before, place = 0, id(code)

        def line(frame: types.FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                step = (place, before, frame.f_lineno)
                before = frame.f_lineno
                if step not in self.seen:
                    self.seen.add(step)
                    self.new += 1
            return line

        return line


def forbid(folder: Path) -> None:
    """From now on this process starts no program, connects nowhere, unpickles nothing and writes in one folder alone."""
    inside = (str(folder), "/dev/null")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise ForbiddenError(f"{event} {arguments!r:.200}")
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(arguments[2], int) else 0
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100  (as the system sees it)
            if writes and not path.startswith(inside):
                raise ForbiddenError(f"writes {path}")

    sys.addaudithook(hook)


def explore(name: str, seconds: float, seed: int, folder: Path, most: int = sys.maxsize) -> None:
    """Reads damaged files for so long, or so many; for a process of its own. What it found out is a line of JSON in `folder/report`."""
    reader, numbers = READERS[name], random.Random(seed)
    work = folder / "files"
    work.mkdir(exist_ok=True)
    corpus = list(reader.samples())
    coverage = Coverage(reader.modules)
    for sample in corpus:
        if found := fault(reader, work, sample):
            sys.exit(f"{name}: a good file is not read: {found}")
        with coverage:
            fault(reader, work, sample)
    forbid(folder)
    base = _peak()
    told = {"reader": name, "runs": 0, "first": len(coverage.seen), "slowest": 0.0, "memory": 0, "found": []}
    samples, started = tuple(corpus), time.monotonic()
    while time.monotonic() - started < seconds and told["runs"] < most and len(told["found"]) < 20:
        content = changed(numbers.choice(corpus if numbers.random() < 0.8 else samples), corpus, numbers)
        (folder / "current").write_bytes(content)
        begun = time.process_time()
        found = _tried(reader, work, content, coverage)
        told["slowest"] = max(told["slowest"], spent := time.process_time() - begun)
        told["memory"] = _peak() - base
        told["runs"] += 1
        if found is None and spent > MOST_SECONDS:
            found = f"it takes {spent:.1f} seconds"
        if found is None and told["memory"] > MOST_MEMORY:
            found = f"it takes {told['memory'] / 2**20:,.0f} MB"
        if found is not None and found[:60] not in {other[:60] for other in told["found"]}:
            told["found"].append(found)
            keep(folder / "findings", name, content, found)
        if coverage.new and len(content) < _LONGEST:
            corpus.append(content)
        if told["memory"] > MOST_MEMORY:
            break  # another process begins with less
        if told["runs"] % 50 == 0 or found:
            _tell(folder, told | {"last": len(coverage.seen), "corpus": len(corpus)})
    _tell(folder, told | {"last": len(coverage.seen), "corpus": len(corpus)})


def _tried(reader: Reader, folder: Path, content: bytes, coverage: Coverage) -> str | None:
    try:
        with coverage:
            return fault(reader, folder, content)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def _tell(folder: Path, told: dict[str, Any]) -> None:
    (folder / "report.new").write_text(json.dumps(told))
    (folder / "report.new").rename(folder / "report")


def keep(findings: Path, name: str, content: bytes, what: str) -> None:
    """Puts a file aside, and what was wrong with it beside it."""
    findings.mkdir(parents=True, exist_ok=True)
    path = findings / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    path.write_bytes(content)
    path.with_suffix(".txt").write_text(f"{what}\n")


def fuzz(name: str, seconds: float, findings: Path, seed: int) -> dict[str, Any]:
    """Watches the processes that explore a reader, and begins another one where one hangs or dies."""
    total: dict[str, Any] = {"reader": name, "runs": 0, "first": 0, "last": 0, "slowest": 0.0, "memory": 0, "found": []}
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
            folder = Path(scratch)
            words = [sys.executable, __file__, "--explore", name, str(left), str(seed), scratch]
            environment = os.environ | {"TMPDIR": scratch, "MPLCONFIGDIR": scratch, "CUDA_VISIBLE_DEVICES": "-1"}
            process = subprocess.Popen(words, cwd=scratch, env=environment, stderr=(folder / "stderr").open("wb"))
            ended = _watched(process, folder)
            report = json.loads((folder / "report").read_text()) if (folder / "report").exists() else {}
            if ended is not None:
                said = (folder / "stderr").read_text(errors="replace").strip().rpartition("\n")[2]
                if not (folder / "current").exists():
                    raise SystemExit(said)
                ended = f"{ended} {said}".strip()
                keep(folder / "findings", name, (folder / "current").read_bytes(), ended)
                total["found"].append(ended)
            for file in (folder / "findings").glob("*"):
                findings.mkdir(parents=True, exist_ok=True)
                (findings / file.name).write_bytes(file.read_bytes())
                if file.suffix == ".txt":
                    print(f"{findings / file.stem}: {file.read_text()}", end="", flush=True)
        seed += 1
        total["runs"] += report.get("runs", 0)
        total["found"] += report.get("found", [])
        total["first"] = total["first"] or report.get("first", 0)
        for most in ("last", "slowest", "memory", "corpus"):
            total[most] = max(total.get(most, 0), report.get(most, 0))
        if len(total["found"]) >= 20:
            break
    return total


def _watched(process: subprocess.Popen[bytes], folder: Path) -> str | None:
    """Waits for the end of a process; what was wrong, if it did not end well."""
    current, begun = folder / "current", (0.0, 0.0, 0.0)
    while process.poll() is None:
        time.sleep(0.2)
        if not current.exists() or process.poll() is not None:
            continue
        at, computed = current.stat().st_mtime, _seconds_of(process.pid)
        if at != begun[0]:
            begun = (at, computed, time.monotonic())
        elif computed - begun[1] > 2 * MOST_SECONDS or time.monotonic() - begun[2] > MOST_WAITING:
            process.kill()
            process.wait()
            return f"no answer after {computed - begun[1]:.1f} seconds of computing"
        if _memory_of(process.pid) > 4 * MOST_MEMORY:
            process.kill()
            process.wait()
            return "it takes more than 4 GB"
    if process.returncode:
        number = -process.returncode
        return f"the process died ({signal.Signals(number).name if number > 0 else f'exit code {-number}'})"
    return None


def _seconds_of(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak() -> int:
    """Bytes that this process had at most; `getrusage` would count what its parent had when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _memory_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def main() -> int:
    """Fuzzes the readers that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="for each reader (600)")
    parser.add_argument(
        "--readers", nargs="+", choices=READERS, default=list(READERS), metavar="NAME", help=", ".join(READERS)
    )
    parser.add_argument(
        "--findings", type=Path, default=Path("runs/fuzzing"), help="where files are kept (runs/fuzzing)"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not Path("/proc/self/status").exists():
        parser.error("memory is measured by /proc; run it on Linux")
    bad = False
    for name in args.readers:
        told = fuzz(name, args.seconds, args.findings, args.seed)
        bad |= bool(told["found"])
        print(
            f"{name}: {told['runs']:,} files, steps {told['first']:,} -> {told['last']:,}, corpus {told.get('corpus', 0):,}, "
            f"slowest {told['slowest']:.2f} s, memory +{told['memory'] / 2**20:,.0f} MB, {len(told['found'])} findings",
            flush=True,
        )
    return int(bad)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--explore"]:
        _, _, chosen, most, first_seed, scratch_folder = sys.argv
        explore(chosen, float(most), int(first_seed), Path(scratch_folder))
    else:
        sys.exit(main())
