"""The best values of a search, trained anew with several seeds: what they are worth, and on test data too."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuning.journal import as_plain
from zoo import storage
from zoo.errors import UsageError
from zoo.replacing import check_replaceable
from zoo.tables import write_table
from zoo.training.run import files_of_run

if TYPE_CHECKING:
    from tuning.results import SearchResult
    from zoo.data.splits import DataSplits

TABLE, BELONGS_TO = "retrained.csv", "retrained.json"
_COLUMNS = ["seed", "val_accuracy", "val_loss", "test_accuracy", "test_loss", "epochs", "seconds"]


def retrain_best(
    result: SearchResult,
    *,
    seeds: int | Sequence[int] = 5,
    data: Any = None,
    output_dir: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> pd.DataFrame:
    """Trains the best values of a search anew with several seeds, and scores each on validation and test data.

    The best score of a search is the best of many and therefore too good; these scores say what the values are worth, and
    how much of it is the seed. `retrained.csv` in the search's folder has each seed as soon as it is done: called again,
    also after an interruption, only the seeds that are missing are trained, as long as values, recipe and data are the
    same (`retrained.json` says which they were); otherwise it starts anew.

    Args:
        result: a search over a model of the catalog.
        seeds: how many, `recipe.seed` and those that follow it, or the seeds themselves, each 0 or more. A seed decides
            the initial weights and the training.
        data: `zoo.DataSplits`, or what `zoo.train` takes for it; by default the search's, loaded again by its name.
        output_dir: where each seed leaves its run folder, `seed-0`, `seed-1` and so on, with its model; `None` keeps the
            scores alone.
        verbose: whether progress is shown.

    Returns:
        One row a seed, in the order of `seeds`: seed, val_accuracy, val_loss, test_accuracy, test_loss (losses without
        penalties; empty where the data have no such split), epochs and seconds of training.

    Raises:
        UsageError: the model is not of the catalog, the data have no name and `data` is not given, or no seeds.
        ZooError: the search has no completed trial.
        LockedError: another process works in the search's folder.

    Examples:
        >>> tuning.load_result("runs/search").retrain_best(seeds=3)["test_accuracy"].mean()
    """
    _ = result.best_trial  # raises when there is none
    wanted = _seeds(result, seeds)
    splits = _data(result, data)
    belongs_to = as_plain(
        {
            "model": result.model_name,
            "options": result.best_options,
            "recipes": [dataclasses.replace(recipe, seed=0).as_config() for recipe in result.best_recipes],
            "data": splits.config,
        }
    )
    with storage.DirectoryLock(result.directory):
        done = _done(result.directory, belongs_to)
        folders = {seed: None if output_dir is None else Path(output_dir) / f"seed-{seed}" for seed in wanted}
        todo = {s: f for s, f in folders.items() if s not in done or not (f is None or (f / "result.json").exists())}
        for folder in filter(None, todo.values()):  # before the first is trained
            check_replaceable(folder, files_of_run)
        if not done:
            _begin(result.directory, belongs_to)
        for number, seed in enumerate(wanted, 1):
            if seed not in todo:
                continue
            done[seed] = row = _train(result, splits, seed, todo[seed], verbose=verbose)
            write_table(result.directory / TABLE, pd.DataFrame(done.values()))
            if verbose:
                print(f"seed {seed} ({number}/{len(wanted)})  {_scores(row)}  {row['seconds']:.1f} s", flush=True)
    return pd.DataFrame([done[seed] for seed in wanted])


def _seeds(result: SearchResult, seeds: Any) -> list[int]:
    first = result.best_recipe.seed
    wanted = range(first, first + int(seeds)) if _is_whole(seeds) else seeds
    is_list = isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes)
    found = list(wanted) if is_list else []
    if not found or not all(_is_whole(seed) and seed >= 0 for seed in found) or len(set(found)) < len(found):
        raise UsageError(f"seeds must be a number above 0 or different seeds of 0 or more. Received: {seeds!r}")
    return [int(seed) for seed in found]


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _data(result: SearchResult, data: Any) -> DataSplits:
    """What to train on, once it is clear that there is a model to train."""
    import zoo
    from zoo.data.splits import as_splits

    if result.model_name not in zoo.list_models():
        raise UsageError(
            f"only models of the catalog can be trained again from their values; {result.model_name} is none: build it "
            "from best_values"
        )
    if data is not None:
        return as_splits(data)
    options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in result.data_config.items()}
    if "name" not in options:
        raise UsageError("the data of this search have no name to load them by: pass the same data as data=")
    return zoo.load_dataset(options.pop("name"), **options)


def _done(directory: Path, belongs_to: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The rows of the seeds that are done; none when they belong to something else."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        if storage.read_json(directory / BELONGS_TO) == belongs_to:
            rows = pd.read_csv(directory / TABLE, float_precision="round_trip")[_COLUMNS].to_dict("records")
            return {int(row["seed"]): {str(name): value for name, value in row.items()} for row in rows}
    return {}


def _begin(directory: Path, belongs_to: dict[str, Any]) -> None:
    """Replaces the rows of something else."""
    (directory / TABLE).unlink(missing_ok=True)  # first: the table must never stand beside what it does not belong to
    storage.write_json(directory / BELONGS_TO, belongs_to)


def _train(result: SearchResult, data: DataSplits, seed: int, folder: Path | None, *, verbose: bool) -> dict[str, Any]:
    """One seed's row."""
    import zoo

    recipes = [dataclasses.replace(recipe, seed=seed) for recipe in result.best_recipes]
    started = time.perf_counter()
    model = zoo.build(result.model_name, data.input_shape, data.num_classes, seed=seed, **result.best_options)
    with _run_folder(folder) as output_dir:
        run = zoo.train(model, data, recipes, output_dir=output_dir, verbose=verbose)
    row = {"seed": seed, "epochs": len(run.history), "seconds": time.perf_counter() - started}
    for name, split in (("val", data.validation), ("test", data.test)):
        score = None if split is None else zoo.evaluate(run.model, split)
        row[f"{name}_accuracy"] = math.nan if score is None else float(score.accuracy)
        row[f"{name}_loss"] = math.nan if score is None else float(score.loss)
    return {name: row[name] for name in _COLUMNS}


@contextlib.contextmanager
def _run_folder(folder: Path | None) -> Iterator[Path | None]:
    """A folder that is there when its run is complete, and not before: `zoo.train` would refuse half a one."""
    if folder is None:
        yield None
        return
    with storage.atomic_directory(folder, owned=files_of_run) as temporary:
        yield temporary


def _scores(row: dict[str, Any]) -> str:
    return "  ".join(f"{name} {row[name]:.4f}" for name in _COLUMNS[1:5] if math.isfinite(row[name]))
