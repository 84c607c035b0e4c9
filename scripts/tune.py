"""Searches hyper-parameters of a model of the zoo. Run again on the same directory, it continues."""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arguments
import command
import folders

import tuning
import zoo
from tuning.executors import EXECUTORS, check_executor
from tuning.oracles import METHODS, check_method
from zoo.errors import visible

if TYPE_CHECKING:
    import keras_tuner


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__,
        epilog="example: python scripts/tune.py --model cnn --dataset digits --method grid "
        "--values l2=0,1e-4 learning_rate=0.001,0.003 --epochs 5",
    )
    arguments.add_model_options(parser)
    arguments.add_data_options(parser)
    arguments.add_recipe_options(parser)
    group = parser.add_argument_group("search")
    group.add_argument("--method", default="random", metavar="NAME", help=f"{', '.join(METHODS)} (random)")
    group.add_argument(
        "--values",
        nargs="+",
        default=[],
        metavar="NAME=VALUES",
        help="a list a,b,c or a range low:high or low:high:log",
    )
    group.add_argument("--objective", default="val_accuracy", metavar="METRIC", help="(val_accuracy)")
    group.add_argument(
        "--max-trials", type=int, metavar="N", help="trials at most (10, where a method does not end by itself)"
    )
    group.add_argument("--yes", action="store_true", help="search a very large grid as a whole without asking")
    group.add_argument(
        "--max-epochs",
        type=int,
        metavar="N",
        help="epochs of a trial (those of the recipe; 27 for halving and hyperband)",
    )
    group.add_argument(
        "--max-seconds", type=float, metavar="S", help="no trial starts once the search has taken so many seconds"
    )
    group.add_argument(
        "--directory",
        type=arguments.path,
        metavar="DIR",
        help="journal, table and best model (runs/DATASET-MODEL-METHOD)",
    )
    group.add_argument(
        "--max-total-epochs", type=int, metavar="N", help="no trial starts after so many epochs together"
    )
    group.add_argument(
        "--folds", type=int, default=1, metavar="K", help="score by stratified cross-validation (1: none)"
    )
    group.add_argument("--repeats", type=int, default=1, metavar="N", help="score by the mean over N seeds (1)")
    group.add_argument("--retries", type=int, default=0, metavar="N", help="run a failed trial again, so often (0)")
    group.add_argument(
        "--fine-tune",
        metavar="LAYERS:EPOCHS[:RATE]",
        help="train the best trials on, e.g. --fine-tune all:5:1e-4 after a search over heads",
    )
    group.add_argument("--fine-tune-top", type=int, default=3, metavar="N", help="how many of them (3)")
    group.add_argument("--executor", default="inline", metavar="NAME", help=f"{', '.join(EXECUTORS)} (inline)")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="trials at once (1)")
    group.add_argument("--address", metavar="HOST", help="of a Ray cluster; without it one is started here")
    command.add_device_option(parser)
    return command.run(parser, tune, argv, resumable=True)


def tune(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    arguments.check_model(args)
    check_method(args.method)
    check_executor(args.executor, workers=args.workers, address=args.address)
    recipe = arguments.recipe_from(args)
    fine_tune = arguments.phase_from(args.fine_tune, recipe, "--fine-tune") if args.fine_tune is not None else None
    fixed = {name: [value] for name, value in arguments.model_options(args).items()}
    values = {name: parse_values(name, text) for name, text in arguments.assignments(args.values, "--values").items()}
    if twice := sorted(set(fixed) & set(values)):
        raise zoo.UsageError(f"{twice[0]} is in --set and in --values; leave it out of one")
    data = arguments.load_data(args)
    if fixed:
        from tuning.spaces import default_values

        values = (values or default_values(args.model, data.input_shape, recipe)) | fixed
    if args.method == "grid" and args.max_trials is None:
        args.max_trials = _agreed_trials(
            args, tuning.space(args.model, data.input_shape, data.num_classes, values=values or None, recipe=recipe)
        )
    directory = args.directory or Path(f"runs/{folders.name_of(data)}-{args.model}-{args.method}")
    result = tuning.search(
        args.model,
        data,
        method=args.method,
        values=values or None,
        recipe=recipe,
        objective=args.objective,
        max_trials=args.max_trials,
        max_epochs=args.max_epochs,
        max_total_epochs=args.max_total_epochs,
        max_seconds=args.max_seconds,
        folds=args.folds,
        repeats=args.repeats,
        retries=args.retries,
        fine_tune=fine_tune,
        fine_tune_top=args.fine_tune_top,
        executor=args.executor,
        workers=args.workers,
        address=args.address,
        directory=directory,
        seed=recipe.seed,
    )
    tuned = ", fine-tuned" if result.is_fine_tuned else ""
    print(f"best of {len(result.table)} trials{tuned}: {result.objective} {result.best_score:.4f}")
    print("  " + "  ".join(visible(f"{name}={value}") for name, value in result.best_values.items()))
    for by in (None, "fine_tune") if result.fine_tuned else (None,):
        with contextlib.suppress(zoo.UsageError):  # one run a trial, or fewer than two trials: nothing to compare
            print(textwrap.fill(" ".join(result.compare(by).sentences()), width=120, break_on_hyphens=False))
    print(visible(f"table {directory / 'trials.csv'}, plots {directory / 'plots'}"))
    page = zoo.write_report(directory / "report.html", search=result, plots=directory / "plots")
    print(f"report {visible(page)}")


def _agreed_trials(args: argparse.Namespace, space: keras_tuner.HyperModel) -> int | None:
    """Of a grid so large that nobody can have meant it: the number of its cells, once somebody has agreed; else `None`."""
    from tuning.discovery import discover
    from tuning.oracles.cells import count_cells
    from tuning.plan import MOST_CELLS

    cells = count_cells(discover(space))
    if cells <= MOST_CELLS:
        return None
    if not args.yes:
        if not sys.stdin.isatty():
            raise zoo.UsageError(f"this grid has {cells:,} cells: --yes trains all of them, --max-trials N the first N")
        try:
            answer = input(f"this grid has {cells:,} cells; train all of them? [y/N] ")
        except EOFError:  # Ctrl-D
            answer = ""
            print()
        if answer.strip().lower() not in ("y", "yes"):
            raise zoo.UsageError("nothing was trained; give shorter lists, or --max-trials N for the first N cells")
    return cells


def parse_values(name: str, text: str) -> Any:
    """`0,1e-4` is a list; `1e-4:1e-1:log` and `0:0.5` are ranges."""
    if ":" in text:
        low, high, *scale = text.split(":")
        ends = arguments.literal(low), arguments.literal(high)
        if scale not in ([], ["log"]) or not all(isinstance(e, int | float) for e in ends):
            raise zoo.UsageError(
                f"--values takes {name}=a,b,c or {name}=low:high or {name}=low:high:log. Received: {text!r}"
            )
        return (*ends, *scale)
    value = arguments.literal(text)
    if isinstance(value, tuple):
        return list(value)
    return [arguments.literal(part) for part in text.split(",")] if isinstance(value, str) else [value]


if __name__ == "__main__":
    sys.exit(main())
