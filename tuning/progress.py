"""What a search says while it runs: one plain line a trial."""

from __future__ import annotations

from typing import Any

from tuning.parameters import decode


def trial_line(record: dict[str, Any], *, objective: str, best: float | None, total: int | None) -> str:
    """One finished trial, e.g. `trial 3/10  val_accuracy 0.9712  best 0.9833  4.1 s  l2=0.0001 learning_rate=0.1`.

    Args:
        record: the trial's record.
        objective: name of the score.
        best: the best score so far, this trial's included; `None` while all failed.
        total: number of trials there will be, where it is known.
    """
    number = f"trial {record['number'] + 1}" + (f"/{total}" if total is not None else "")
    what = f"{objective} {record['score']:.4f}" if record["status"] == "completed" else f"failed ({record['reason']})"
    parts = [number, what]
    if best is not None:
        parts.append(f"best {best:.4f}")
    parts.append(f"{record['seconds']:.1f} s")
    values = {name: decode(value) for name, value in record["values"].items()}
    if "tuner/epochs" in values:
        values = {"epochs": values["tuner/epochs"], **values}
    shown = [f"{name}={_short(value)}" for name, value in values.items() if not name.startswith("tuner/")]
    return "  ".join([*parts, " ".join(shown)])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
