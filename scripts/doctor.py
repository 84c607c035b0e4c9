"""Says what works here: packages and extras, what the processor offers, where data and weights are looked for, and a trial run.

Nothing is downloaded, and nothing is written outside a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import arguments
import command

import zoo
from zoo.cores import num_cores
from zoo.errors import one_line, visible

PROJECT = "keras-zoo"
BFLOAT16 = ("avx512_bf16", "amx_bf16")  # flags of processors that compute in it
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "ai-edge-litert": "ai_edge_litert.interpreter"}


class Finding(NamedTuple):
    """A line of the answer.

    Attributes:
        name: what was looked at.
        text: what was found.
        problem: whether something that everybody needs does not work.
    """

    name: str
    text: str
    problem: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(description=__doc__, epilog="example: python scripts/doctor.py")
    return command.run(parser, examine, argv)


def examine(args: argparse.Namespace) -> None:
    """Prints what was found, and fails where something that everybody needs does not work."""
    required = requirements()
    with contextlib.suppress(Exception):  # the packages' lines tell of it
        import zoo.startup as _startup  # noqa: F401  (before TensorFlow, whose notes it keeps back)

    problems = []
    sections = {
        "packages": packages(required),
        "extras": extras(required),
        "processor": processor(),
        "folders": folders(),
        "trial run": trial_run(),
    }
    for title, findings in sections.items():
        print(title)
        for finding in _to_the_end(title, findings):
            mark = "!" if finding.problem else " "
            print(f" {mark} {finding.name:<24} {visible(finding.text)}", flush=True)
            problems += [finding.name] if finding.problem else []
    if problems:
        raise zoo.ZooError(
            f"{', '.join(problems)}: see the lines marked with !; `make install` makes an environment that works"
        )


def _to_the_end(title: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings of a section; where an error breaks it off, that is the last one."""
    try:
        yield from findings
    except Exception as error:  # what is broken may raise anything
        yield Finding(f"{title} stopped", f"{type(error).__name__}: {one_line(error)}", problem=True)


def packages(required: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """What the project always needs: the versions, and whether they can be imported."""
    yield Finding("python", platform.python_version())
    yield Finding(PROJECT, zoo.__version__)
    for name, extra in required:
        if not extra:
            problem = import_problem(name)
            yield Finding(name, problem or importlib.metadata.version(name), problem is not None)


def extras(required: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """What can be added: whether all packages of an extra are here."""
    by_extra: dict[str, list[str]] = {}
    for name, extra in required:
        if extra and extra != "dev":
            by_extra.setdefault(extra, []).append(name)
    for extra, names in by_extra.items():
        problems = [f"{name}: {problem}" for name in names if (problem := import_problem(name))]
        works = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names) if not problems else ""
        yield Finding(extra, works or f"{'; '.join(problems)}; pip install '.[{extra}]'")


def requirements() -> list[tuple[str, str]]:
    """(package, extra) of each requirement that the installed project declares; the extra is empty where all need it."""
    try:
        declared = importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        raise zoo.ZooError(
            f"{PROJECT} is not installed for {sys.executable}; `make install`, or pip install ."
        ) from None
    found = []
    for line in declared:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        found.append((re.split(r"[^\w.-]", line, maxsplit=1)[0], extra.group(1) if extra else ""))
    return found


def import_problem(name: str) -> str | None:
    """Why a package cannot be imported, in a line; `None` where it can."""
    try:
        importlib.metadata.version(name)
        importlib.import_module(MODULES.get(name, name.replace("-", "_")))
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
    except Exception as error:  # a package that is broken may raise anything
        return f"cannot be imported ({type(error).__name__}: {error})"[:200]
    return None


def processor() -> Iterator[Finding]:
    """Cores, memory, bfloat16, and the devices that TensorFlow sees."""
    import psutil
    import tensorflow as tf

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", info)
    yield Finding("processor", f"{model.group(1) if model else platform.machine()}, {num_cores()} cores")
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are free")
    offered = [flag for flag in BFLOAT16 if re.search(rf"\b{flag}\b", info)]
    advice = 'dtype="mixed_bfloat16" is faster for networks' if offered else "float32 is faster"
    yield Finding("bfloat16", f"{', '.join(offered) or 'not in hardware'}: {advice}")
    yield Finding(
        "GPU", ", ".join(d.name for d in tf.config.list_physical_devices("GPU")) or "none that TensorFlow sees"
    )


def folders() -> Iterator[Finding]:
    """Where data, weights and features are looked for, and what lies there."""
    from zoo.features.cache import cache_directory
    from zoo.weights.sources import SOURCES

    data = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    prepared = sorted(info.parent.parent.name for info in data.glob("*/*/dataset_info.json"))
    yield Finding(
        "data (TFDS_DATA_DIR)", f"{data}: {', '.join(prepared) or 'nothing prepared; downloaded when asked for'}"
    )
    weights, names = os.environ.get("ZOO_WEIGHTS_DIR"), [s.file_name for of in SOURCES.values() for s in of.values()]
    here = [name for name in names if weights and (Path(weights).expanduser() / name).is_file()]
    text = f"{weights}: {', '.join(here) or 'no published weights'}" if weights else "not set; downloaded to ~/.keras"
    yield Finding("weights (ZOO_WEIGHTS_DIR)", text)
    cache = cache_directory()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    yield Finding("features (ZOO_CACHE_DIR)", f"{cache}: {shutil.disk_usage(there).free / 1e9:.0f} GB are free")


def trial_run() -> Iterator[Finding]:
    """Trains on the digits, and exports and verifies every format that is installed."""
    from zoo.exporting.formats import installed_formats

    start = time.monotonic()
    data = zoo.load_dataset("digits")
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=0.5, epochs=5, batch_size=32)
    run = zoo.train(zoo.build("softmax", data.input_shape, data.num_classes), data, recipe, verbose=False)
    accuracy = zoo.evaluate(run.model, data.test).accuracy
    yield Finding("train, evaluate", f"test accuracy {accuracy:.3f}, {time.monotonic() - start:.1f} s", accuracy < 0.8)
    with tempfile.TemporaryDirectory() as folder:
        try:
            formats = installed_formats()
            zoo.export(run.model, f"{folder}/export", formats=formats, check_with=data.test, calibrate_with=data.train)
        except zoo.ZooError as error:
            yield Finding("export", str(error), problem=True)
        else:
            yield Finding("export", f"{', '.join(formats)} agree with the model")


if __name__ == "__main__":
    sys.exit(main())
