"""Readers of what searches write."""

from __future__ import annotations

import gzip
import json
import types
import zlib
from pathlib import Path
from typing import Any

from fuzz_reading import put


def load_journal(folder: Path, content: bytes) -> None:
    import tuning

    put(folder, "journal.jsonl", content)
    result = tuning.load_result(folder)
    assert len(result.table) == len(result.trials) <= len(result.epochs) + len(result.runs) + len(result.trials)
    result._summary()  # what `result.write()` writes, without the disk
    result.best_options  # noqa: B018


def load_checked_journal(folder: Path, content: bytes) -> None:
    """Records, a line each, that get the checksums that they ought to have."""
    load_journal(folder, with_checksums(content))


def with_checksums(content: bytes) -> bytes:
    lines = []
    for line in content.splitlines():
        try:
            text = json.dumps(json.loads(line), separators=(",", ":"))
        except (ValueError, RecursionError):
            text = line.decode("utf-8", "replace")
        lines.append(f'{{"crc32": "{zlib.crc32(text.encode("utf-8", "replace")):08x}", "record": {text}}}\n')
    return "".join(lines).encode("utf-8", "replace")


def resume_journal(folder: Path, content: bytes) -> None:
    """Records that get the checksums that they ought to have, and a search that goes on from them."""
    from oracle_play import aim, make
    from search_records import header

    from tuning import oracles
    from tuning.checkpoints import Checkpoints
    from tuning.journal import Journal
    from tuning.loop import Budget, SearchLoop
    from tuning.progress import SearchProgress
    from tuning.task import Setting

    put(folder, "journal.jsonl", with_checksums(content))
    oracle = make("random", resumed_space(), objective=aim())
    data = types.SimpleNamespace(train=types.SimpleNamespace(store=None))
    setting = Setting(None, data, None, "quality", "max")
    shown = SearchProgress(objective="quality", direction="max", verbose=False)
    checkpoints = Checkpoints(folder, direction="max", keep_best=1)
    with Journal(folder, header()) as journal, oracles.opened(oracle):
        plan = types.SimpleNamespace(oracle=oracle, setting=setting)
        loop = SearchLoop(plan, journal, checkpoints, shown, Budget(None, None, None), retries=0)
        loop.replay()
        loop.has_work()


def resumed_samples() -> list[bytes]:
    from oracle_play import aim, make
    from search_records import header, record

    from tuning import oracles

    oracle, records = make("random", resumed_space(), objective=aim()), [{"kind": "header", **header()}]
    with oracles.opened(oracle):
        for number in range(3):
            trial = oracle.create_trial(f"trial-{number}")
            asked, config = trial.hyperparameters.values, trial.hyperparameters.get_config()
            records.append({"kind": "asked", "trials": [{"number": number, "values": asked, "together": False}]})
            told = {"asked": asked, "hyperparameters": config if number == 1 else None}
            records += [{"kind": "retried", "number": number}] if number == 1 else []
            records += [record(number, 0.5, asked, **told)] if number < 2 else []  # the last one was running
    return ["\n".join(map(json.dumps, records)).encode()]


def resumed_space() -> Any:
    import keras_tuner

    space = keras_tuner.HyperParameters()
    space.Float("l2", 0.0, 1.0, step=0.25)
    space.Choice("kind", ["plain", "deep"])
    with space.conditional_scope("kind", ["deep"]):
        space.Int("units", 1, 512, sampling="log")
    return space


def record_samples() -> list[bytes]:
    from search_records import header, record, run

    folds = [run(0.5, fold=fold) for fold in range(2)]
    rung = {"l2": 1e-3, "tuner/epochs": 3, "tuner/initial_epoch": 1, "tuner/bracket": 1, "tuner/round": 1}
    asked = {"kind": "asked", "trials": [{"number": 0, "values": {"l2": 0.1}, "together": False}]}
    plain = [header(), asked, record(0, 0.5), record(1, None), record(2, 0.25) | {"attempts": 2}]
    richer = [
        header(folds=2, fine_tune=header()["recipe"], max_epochs=9),
        record(0, 0.4, runs=folds),
        record(1, 0.6, rung | {"tuner/trial_id": "0000"}, runs=folds) | {"parent": 0},
        record(1, 0.7, runs=folds) | {"kind": "fine_tuned"},
    ]
    return [
        "\n".join(json.dumps(one if "kind" in one else {"kind": "header", **one}) for one in records).encode()
        for records in (plain, richer)
    ]


def journal_samples() -> list[bytes]:
    samples = []
    for records in record_samples():
        texts = [json.dumps(json.loads(line), separators=(",", ":")) for line in records.splitlines()]
        lines = [f'{{"crc32": "{zlib.crc32(text.encode()):08x}", "record": {text}}}\n' for text in texts]
        samples.append("".join(lines).encode())
    return samples


def load_recorded(folder: Path, content: bytes) -> None:
    from tuning.replay import RecordedGrid

    is_packed = content[:2] == b"\x1f\x8b"
    RecordedGrid.load(put(folder, "grid.json.gz", content if is_packed else gzip.compress(content, 1)))


def recorded_samples() -> list[bytes]:
    document = {
        "about": {"model": "mlp"},
        "objective": "val_accuracy",
        "direction": "max",
        "parameters": {"l2": [0.0, 0.1], "units": [8]},
        "curves": [[0.5, 0.6], [None, 0.7]],
        "seconds": [[0.1, 0.1], [0.2, 0.2]],
    }
    content = json.dumps(document).encode()
    return [content, gzip.compress(content, mtime=0)]
