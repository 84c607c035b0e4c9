"""Records the grid that `tuning.replay` plays back: an MLP on digits, every cell trained to the end (about 5 minutes).

Interrupted, it goes on where it was: the search's folder stands beside the output, and goes at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tuning
import tuning.replay
import zoo
from tuning.replay import RecordedGrid
from zoo.errors import ZooError

_OUTPUT = Path(tuning.replay.__file__).with_name("recorded") / "digits_mlp.json.gz"

# Learning rates from far too small to far too large, so that most of the grid is mediocre and some of it useless.
PARAMETERS: dict[str, list[Any]] = {
    "num_layers": [1, 2, 3],
    "units": [16, 64, 256],
    "learning_rate": [1e-4, 4e-4, 2e-3, 1e-2, 5e-2],
    "dropout": [0.0, 0.25, 0.5],
    "l2": [1e-6, 1e-3],
}
VALIDATION = 0.3  # 434 images: fewer would make most of the good cells tie
RECIPE = zoo.Recipe(optimizer="adam", batch_size=32, epochs=27, seed=0)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 after an error, 2 for wrong usage, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=_OUTPUT, metavar="FILE", help=f"({_OUTPUT})")
    parser.add_argument("--max-seconds", type=float, default=math.inf, metavar="S", help="pause after so long")
    args = parser.parse_args(argv)
    try:
        return _record(args.output, args.max_seconds)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
        return 130
    except (ZooError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, zoo.UsageError) else 1


def _record(output: Path, max_seconds: float) -> int:
    data = zoo.load_dataset("digits", validation=VALIDATION, seed=0)
    folder = output.with_name(f"{output.name}.search")
    result = tuning.search(
        "mlp",
        data,
        method="grid",
        values=PARAMETERS,
        recipe=RECIPE,
        directory=folder,
        max_seconds=_spent(folder) + max_seconds,
        verbose=False,
    )
    cells = math.prod(len(values) for values in PARAMETERS.values())
    if len(result.trials) < cells:
        print(f"{len(result.trials)} of {cells} cells; call again to go on")
        return 0
    print(f"written to {_grid(result, _about(data)).save(output)}")
    shutil.rmtree(folder)
    return 0


def _spent(folder: Path) -> float:
    """Seconds that the search took before it was paused."""
    with contextlib.suppress(ZooError):  # nothing was begun
        return max((trial["ended"] for trial in tuning.load_result(folder).trials.values()), default=0.0)
    return 0.0


def _grid(result: tuning.SearchResult, about: dict[str, Any]) -> RecordedGrid:
    """The curves of a search that asked for every cell; NaN from where a training diverged."""
    curves = np.full([len(result.trials), RECIPE.epochs], np.nan)
    grid = RecordedGrid(PARAMETERS, result.objective, result.direction, curves, np.zeros_like(curves), about)
    for number, trial in result.trials.items():
        epochs = result.epochs[result.epochs["trial"] == number + 1]
        if epochs.empty:
            raise ZooError(f"trial {number + 1} was not trained: {trial['reason']}")
        cell, learned = grid.cell(trial["values"]), np.isfinite(epochs["loss"].to_numpy(float))
        grid.curves[cell, : len(epochs)] = np.where(learned, epochs["val_accuracy"], np.nan)
        grid.seconds[cell, : len(epochs)] = epochs["seconds"]
    return grid


def _about(data: zoo.DataSplits) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {"model": "mlp", "data": data.config, "recipe": RECIPE.as_config(), "versions": versions}


if __name__ == "__main__":
    sys.exit(main())
