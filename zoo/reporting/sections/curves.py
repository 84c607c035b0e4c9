"""Learning curves, and what they say about the gap between training and validation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.reporting.formatting import format_percent, format_value
from zoo.reporting.inputs import RunLike
from zoo.reporting.plots import Plot
from zoo.reporting.section import Section
from zoo.training.curves import curve_figures

_RISE = 0.1  # of the lowest validation loss: smaller rises are noise more often than not
_WIDE = 0.05  # accuracy: a gap that a reader should look at


def curves_section(run: RunLike) -> Section | None:
    """The curves that the run recorded, with sentences on the gap; None where it recorded none."""
    plots = tuple(
        Plot(caption.lower().replace(" ", "-"), caption, figure) for caption, figure in curve_figures(run).items()
    )
    return Section("curves", "Curves", {"notes": gap_notes(run)}, plots) if plots else None


def gap_notes(run: RunLike) -> list[dict[str, object]]:
    """Sentences on how far training and validation are apart; `warning` says that one asks for attention."""
    notes: list[dict[str, object]] = []
    history = run.history
    if {"accuracy", "val_accuracy"} <= set(history.columns):
        both = history[["accuracy", "val_accuracy"]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
        known = np.flatnonzero(np.isfinite(both).all(axis=1))
        if len(known):
            last = known[-1]
            train, validation = both[last]
            gap = train - validation
            points = f"{abs(100 * gap):.1f} points {'below' if gap > 0 else 'above'}"
            text = (
                f"In epoch {last + 1} validation accuracy ({format_percent(validation, digits=1)}) is {points} training "
                f"accuracy ({format_percent(train, digits=1)}, measured while learning)."
            )
            if gap > _WIDE:
                text += " More data, augmentation, dropout or a penalty would narrow the gap."
            notes.append({"text": text, "warning": bool(gap > _WIDE)})
    return notes + _loss_notes(run.validations)


def _loss_notes(checks: pd.DataFrame) -> list[dict[str, object]]:
    """Whether the validation loss rises after its lowest value."""
    column = "val_data_loss" if "val_data_loss" in checks.columns else "val_loss"
    if column not in checks.columns:
        return []
    losses = pd.to_numeric(checks[column], errors="coerce").to_numpy(np.float64)
    if len(losses) and not np.isfinite(losses[-1]):
        return [{"text": "The last validation loss is not finite: training diverged.", "warning": True}]
    if len(losses) < 2:
        return []
    best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)))
    rise = losses[-1] - losses[best]
    if best == len(losses) - 1:
        return [{"text": "Validation loss was lowest at the end: longer training may help.", "warning": False}]
    text = (
        f"Validation loss was lowest ({format_value(float(losses[best]))}) after step {int(checks['step'].iloc[best]):,}, "
        f"and is {format_value(float(losses[-1]))} at the end."
    )
    is_overfit = rise > _RISE * abs(losses[best])
    if is_overfit:
        text += (
            " From there on the model may be learning its training data by heart: stop early (patience), or regularise."
        )
    return [{"text": text, "warning": bool(is_overfit)}]
