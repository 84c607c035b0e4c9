"""Records the grid that `tuning.replay` plays back: an MLP on digits, every cell trained to the end (about 10 minutes).

Interrupted, it goes on where it was: the cells done so far stand beside the output, in a file that goes at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tuning.replay
import zoo
from tuning.replay import RecordedGrid

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
    """Runs the command line: 0, or 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=_OUTPUT, metavar="FILE", help=f"({_OUTPUT})")
    parser.add_argument("--max-seconds", type=float, default=math.inf, metavar="S", help="pause after so long")
    args = parser.parse_args(argv)
    try:
        return _record(args.output, args.max_seconds)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
        return 130


def _record(output: Path, max_seconds: float) -> int:
    data = zoo.load_dataset("digits", validation=VALIDATION, seed=0)
    curves = np.zeros([math.prod(len(values) for values in PARAMETERS.values()), RECIPE.epochs])
    grid = RecordedGrid(PARAMETERS, "val_accuracy", "max", curves, curves.copy(), _about(data))
    partial = output.with_name(f"{output.name}.partial")
    lines = partial.read_text().splitlines() if partial.exists() else []
    started = time.monotonic()
    output.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("a") as file:
        for cell in range(len(lines), len(grid.curves)):
            if time.monotonic() - started > max_seconds:
                print(f"{cell} of {len(grid.curves)} cells; call again to go on")
                return 0
            lines.append(json.dumps(_train(data, grid.values(cell))))
            file.write(lines[-1] + "\n")
            file.flush()
    for cell, line in enumerate(lines):
        done = json.loads(line)
        grid.curves[cell], grid.seconds[cell] = done["curve"], done["seconds"]
    print(f"written to {grid.save(output)}")
    partial.unlink()
    return 0


def _train(data: zoo.DataSplits, values: dict[str, Any]) -> dict[str, list[float]]:
    options = {name: value for name, value in values.items() if name != "learning_rate"}
    model = zoo.build("mlp", data.input_shape, data.num_classes, seed=RECIPE.seed, **options)
    recipe = dataclasses.replace(RECIPE, learning_rate=values["learning_rate"])
    history = zoo.train(model, data, recipe, verbose=False).history
    return {"curve": history["val_accuracy"].tolist(), "seconds": history["seconds"].tolist()}


def _about(data: zoo.DataSplits) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {"model": "mlp", "data": data.config, "recipe": RECIPE.as_config(), "versions": versions}


if __name__ == "__main__":
    sys.exit(main())
