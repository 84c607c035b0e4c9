"""Trains a model of the zoo on a data set, measures it on the test split and writes its run folder and report.

Run again on the same folder, it continues what was interrupted, as if it had never stopped.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arguments
import command
import folders
from evaluate import report_run

import zoo
from zoo.errors import visible


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__,
        epilog="example: python scripts/train.py --model cnn --dataset digits --set dropout=0.3 --epochs 20",
    )
    arguments.add_model_options(parser)
    arguments.add_data_options(parser)
    arguments.add_recipe_options(parser)
    parser.add_argument(
        "--phase",
        action="append",
        metavar="LAYERS:EPOCHS[:RATE]",
        help="which layers learn, how long and how fast; several are run in turn, e.g. --phase head:5 --phase all:5:1e-4",
    )
    parser.add_argument(
        "--from-search", type=arguments.path, metavar="DIR", help="model, data and values of the best trial of a search"
    )
    parser.add_argument("--output", type=arguments.path, metavar="DIR", help="the run folder (runs/DATASET-MODEL)")
    command.add_device_option(parser)
    return command.run(parser, train, argv, resumable=True)


def train(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    if args.from_search:
        name, options, recipes, data = _from_search(args)
        recipes = _recipes(args, recipes)
    else:
        arguments.check_model(args)
        name, options, recipes = args.model, {}, _recipes(args, (zoo.Recipe(),))
        data = arguments.load_data(args)
    options |= arguments.model_options(args)
    from zoo.training.trainer import run_config

    model = zoo.build(name, data.input_shape, data.num_classes, seed=recipes[0].seed, **options)
    dataset = folders.name_of(data)
    output = Path(
        args.output
        or folders.run_directory(f"runs/{dataset}-{name}", run_config(model, data, recipes, with_content=True))
    )
    begun = "loading" if (output / "result.json").exists() else "continuing" if (output / "state.npz").exists() else ""
    parameters = f"({model.count_params():,} parameters)"
    what = f"{name} {parameters} on {dataset}: {len(data.train):,} examples, {output}"
    print(f"{begun or 'training'} {visible(what)}")
    run = zoo.train(model, data, recipes, output_dir=output)
    if "val_accuracy" in run.metrics:
        print(f"validation accuracy {run.metrics['val_accuracy']:.4f} after {run.metrics['epochs']} epochs")
    if not math.isfinite(run.metrics["loss"]):
        print("warning: training diverged, the loss is not finite; try a smaller --learning-rate", file=sys.stderr)
    report_run(run, data)


def _recipes(args: argparse.Namespace, bases: Sequence[zoo.Recipe]) -> tuple[zoo.Recipe, ...]:
    """The phases of --phase, else one for each of `bases`; the recipe's options are over them."""
    recipes = tuple(arguments.recipe_from(args, base) for base in bases)
    return tuple(arguments.phase_from(text, recipes[0], "--phase") for text in args.phase or ()) or recipes


def _from_search(
    args: argparse.Namespace,
) -> tuple[str, dict[str, Any], tuple[zoo.Recipe, ...], zoo.DataSplits]:
    import tuning

    directory: Path = args.from_search
    for option in (
        "model",
        "backbone",
        "dataset",
        "limit",
        "classes",
        "validation",
        "image_size",
        "color_mode",
        "input_range",
    ):
        if getattr(args, option) is not None:
            raise zoo.UsageError(f"--{option.replace('_', '-')} comes from the search; leave it out with --from-search")
    result = tuning.load_result(directory)
    if result.model_name not in zoo.list_models():
        raise zoo.UsageError(f"{directory} searched a model of your own; only catalog models can be trained from here")
    if "name" not in result.data_config:
        raise zoo.UsageError(
            f"{directory} searched on arrays, which a script cannot load again; use tuning.load_result(DIR).retrain_best(data=...) in Python"
        )
    data = folders.load_named(result.data_config, directory)
    return result.model_name, result.best_options, result.best_recipes, data


if __name__ == "__main__":
    sys.exit(main())
