"""Latency of every way to ask a model, in one run, as ratios: Keras, the exported formats and PyTorch."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import commandline
import inference_document
import machine
from child import SETTLE, Child, ChildError, Outcome, missing
from commandline import say
from inference_tasks import CONTESTANTS, SECTIONS, SIZES

_OUTPUT = Path(__file__).with_name("results") / "inference.md"
_WORKER = Path(__file__).with_name("inference_worker.py")
_PACKAGES = ("tensorflow", "keras", "onnxruntime", "ai-edge-litert", "torch", "numpy")


@dataclasses.dataclass
class Result(Outcome):
    """What became of a contestant.

    Attributes:
        contestant: a name of `inference_tasks.CONTESTANTS`.
        milliseconds: images a call -> times of calls, one list a round.
    """

    contestant: str
    milliseconds: dict[int, list[list[float]]] = dataclasses.field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 when a contestant failed, 2 for wrong usage, 130 when interrupted."""
    return commandline.run(argv, commandline.parser(__doc__, SECTIONS, _OUTPUT), SECTIONS, _OUTPUT, _measure)


def _measure(args: argparse.Namespace, wanted: Sequence[str], command: Sequence[str]) -> tuple[str, bool]:
    """Runs what is wanted: the document, and whether a contestant failed."""
    described, started = machine.describe(command, _PACKAGES), time.monotonic()
    races = {name: race(name, rounds=args.repeats, seconds=0.02 if args.quick else 1.0) for name in wanted}
    minutes = (time.monotonic() - started) / 60
    text = inference_document.write(described, races, quick=args.quick, minutes=minutes)
    return text, any(result.failed for results in races.values() for result in results)


def race(task: str, *, rounds: int, seconds: float) -> list[Result]:
    """Times single images and batches with every contestant in turn, forth and back, the others asleep."""
    results = [Result(name, problem=missing(*contestant.needs)) for name, contestant in CONTESTANTS.items()]
    turns = [size for _ in range(rounds) for size in SIZES]
    with contextlib.ExitStack() as stack:
        running = []
        for result in results:
            if result.problem:
                continue
            spec = {"task": task, "contestant": result.contestant, "sizes": turns, "seconds": seconds}
            child = stack.enter_context(Child(spec, _WORKER))
            try:
                child.answer()
                running.append((result, child))
            except ChildError as error:
                result.fail(error)
                say(f"{result.contestant} {result.problem}")
        for number, size in enumerate(turns):
            for result, child in running if number // len(SIZES) % 2 == 0 else reversed(running):
                if not result.failed:
                    _turn(result, child, size)
            say(f"{task}: round {number // len(SIZES) + 1}/{rounds}, {size} images a call")
    return results


def _turn(result: Result, child: Child, size: int) -> None:
    time.sleep(SETTLE)
    others = machine.Others()
    try:
        child.go()
        answer = child.answer()
    except ChildError as error:
        result.fail(error)
        say(f"{result.contestant} {result.problem}")
        return
    result.others += others.share(answer["worked"])
    result.milliseconds.setdefault(size, []).append(answer["milliseconds"])


if __name__ == "__main__":
    sys.exit(main())
