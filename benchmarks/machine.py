"""The machine that measures, described."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from zoo.cores import num_cores

PACKAGES = ("tensorflow", "keras", "torch", "scikit-learn", "numpy")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # what decides about the speed of float32 and bfloat16


def describe(command: Sequence[str], packages: Sequence[str] = PACKAGES) -> list[tuple[str, str]]:
    """(what, value) pairs: processor, memory, load, versions of packages, date and command."""
    cpu = _fields(Path("/proc/cpuinfo"))
    flags = [flag for flag in _FLAGS if flag in cpu.get("flags", "").split()]
    memory = _fields(Path("/proc/meminfo")).get("MemTotal", "0 kB").split()[0]
    return [
        ("processor", f"{cpu.get('model name', platform.processor() or 'unknown')} ({', '.join(flags) or 'no AVX2'})"),
        ("cores", str(num_cores())),
        ("memory", f"{int(memory) * 1024 / 1e9:.1f} GB" if int(memory) else "unknown"),
        ("load before the start", f"{os.getloadavg()[0]:.2f}"),
        ("system", platform.platform()),
        ("python", platform.python_version()),
        *((package, _version(package)) for package in packages),
        ("date", time.strftime("%Y-%m-%d %H:%M")),
        ("command", f"`{' '.join(command)}`"),
    ]


def busy_seconds() -> float | None:
    """Seconds that the cores have worked since the machine's start, summed over them, whoever made them work.

    `None` where no /proc/stat says so.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Others:
    """What other programs take of the cores, from now on."""

    def __init__(self) -> None:
        self._started, self._busy = time.monotonic(), busy_seconds()

    def share(self, worked: float) -> list[float]:
        """Their share of all cores when so many seconds of work were ours; nothing where the machine does not say."""
        now = busy_seconds()
        if self._busy is None or now is None:
            return []
        elapsed = time.monotonic() - self._started
        return [max(0.0, now - self._busy - worked) / elapsed / (os.cpu_count() or 1)]


def worked_seconds() -> float:
    """Seconds that the cores have worked for this process, for those below it, and for those of its own that have ended."""
    ended = os.times()
    below = sum(_worked(number) for number in processes_below())
    return time.process_time() + ended.children_user + ended.children_system + below


def processes_below(top: int | None = None) -> list[int]:
    """Numbers of all processes that one (this one by default) has started, and they; none where there is no /proc."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        stat = _stat(int(path.name))
        if stat:
            parents.setdefault(int(stat[1]), []).append(int(path.name))
    found = [os.getpid() if top is None else top]
    for number in found:  # which grows meanwhile
        found += parents.get(number, [])
    return found[1:]


def _worked(number: int) -> float:
    """Seconds that the cores have worked for another process, and for those of its own that have ended."""
    return sum(map(int, _stat(number)[11:15])) / os.sysconf("SC_CLK_TCK")


def _stat(number: int) -> list[str]:
    """What /proc says of a process, from its state on; nothing once it has ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _fields(path: Path) -> dict[str, str]:
    """The first `name: value` of each name in a file of /proc."""
    fields: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
