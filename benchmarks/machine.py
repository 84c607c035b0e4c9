"""The machine that measures, described."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

_PACKAGES = ("tensorflow", "keras", "torch", "scikit-learn", "numpy")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # what decides about the speed of float32 and bfloat16


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(command: Sequence[str]) -> list[tuple[str, str]]:
    """(what, value) pairs: processor, memory, load, versions, date and command."""
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
        *((package, _version(package)) for package in _PACKAGES),
        ("date", time.strftime("%Y-%m-%d %H:%M")),
        ("command", f"`{' '.join(command)}`"),
    ]


def busy_seconds() -> float | None:
    """Seconds that the cores have worked since the machine's start, summed over them, whoever made them work; `None` where no /proc/stat says so."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


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
