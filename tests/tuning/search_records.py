"""Journals of searches that never ran, for the tests beside this file."""

from __future__ import annotations

import tuning
import zoo
from tuning.journal import VERSION, Journal

SPACE = {
    "l2": {"type": "Choice", "values": [0.0, 1e-3], "conditions": []},
    "learning_rate": {"type": "Float", "min_value": 1e-3, "max_value": 1.0, "sampling": "log", "conditions": []},
    "units": {"type": "Choice", "values": ["json:[8, 4]", "json:[4]"], "conditions": []},
    "epochs": {"type": "Int", "min_value": 1, "max_value": 3, "step": 1, "sampling": "linear", "conditions": []},
}


def header(**changes):
    """What identifies a search, as its journal has it."""
    return {
        "version": VERSION,
        "model": "mlp",
        "space": SPACE,
        "recipe_fields": ["learning_rate", "epochs"],
        "named": {},
        "method": "random",
        "objective": "val_accuracy",
        "direction": "max",
        "seed": 0,
        "data": {"name": "blobs", "limit": 60, "validation": 0.3},
        "recipe": zoo.Recipe(batch_size=16).as_config(),
        "max_trials": None,
        "max_epochs": None,
        "folds": 1,
        "repeats": 1,
    } | changes


def run(score, *, fold=0, repeat=0, first_epoch=0, epochs=2, name="val_accuracy"):
    """One run of a trial: its score at the last epoch, and a curve that rises to it."""
    done = list(range(first_epoch, first_epoch + epochs))
    curve = {"epoch": done, "loss": [2 - score] * epochs, name: [score - 0.1 * (done[-1] - i) for i in done]}
    metrics = {"loss": 2 - score, name: score}
    place = {"fold": fold, "repeat": repeat, "seed": repeat}
    return {**place, "score": score, "metrics": metrics, "epochs": epochs, "seconds": 0.5, "curve": curve}


def record(number, score, values=None, *, runs=None, **changes):
    """A finished trial; without a score it failed."""
    runs = [run(score)] if runs is None and score is not None else runs or []
    values = {"l2": 1e-3, "learning_rate": 0.1, "units": "json:[8, 4]", "epochs": 2} if values is None else values
    return {
        "kind": "trial",
        "number": number,
        "asked": values,
        "values": values,
        "parent": None,
        "ended": float(number + 1),
        "status": "failed" if score is None else "completed",
        "score": score,
        "metrics": {} if score is None else {"loss": 2 - score, "val_accuracy": score},
        "runs": runs,
        "epochs": sum(r["epochs"] for r in runs),
        "seconds": 0.5,
        "reason": "RuntimeError: as asked" if score is None else None,
        "traceback": None,
        "attempts": 1,
        "model_sha256": None,
        "hyperparameters": None,
    } | changes


def written(directory, records, **changes):
    """A search's folder with these records, and its result."""
    with Journal(directory, header(**changes)) as journal:
        for one in records:
            journal.append(one)
    return tuning.load_result(directory)
