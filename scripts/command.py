"""What the scripts share: how they end, and the options that several of them have.

Nothing here imports TensorFlow, so that `--help` and errors about names are quick.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import inspect
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import standard_files
from interruption import Interruption

import zoo
from zoo import errors
from zoo.errors import DataWarning, UsageError
from zoo.training.recipe import AUGMENTATIONS, OPTIMIZERS, SCHEDULES


def run(
    parser: argparse.ArgumentParser,
    action: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None,
    *,
    resumable: bool = False,
) -> int:
    """Parses, acts, and turns errors into one line and an exit code: 2 for wrong usage, 1 for failure.

    `resumable`: the same command continues what was interrupted, and a user is told so.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"keras-zoo {zoo.__version__}")
    standard_files.reopen()
    args = parser.parse_args(argv)
    interruption = Interruption()
    try:
        with interruption, standard_files.output_named(), _data_warnings_as_notes():
            if "device" in args:
                _choose_device(args.device)
            action(args)
    except standard_files.ReaderGoneError:
        return 1
    except KeyboardInterrupt:
        return _interrupted(argv, resumable)
    except Exception as error:
        if args.debug:
            raise
        if interruption.is_recent:
            return _interrupted(argv, resumable)
        known = isinstance(error, zoo.ZooError | OSError)
        text = _line(_message(error)) or type(error).__name__
        print(
            f"error: {text}" if known else f"error: {type(error).__name__}: {text[:300]} (--debug shows where)",
            file=sys.stderr,
        )
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _interrupted(argv: Sequence[str] | None, resumable: bool) -> int:
    again = shlex.join(["python", sys.argv[0], *(sys.argv[1:] if argv is None else argv)])
    print(f"interrupted; to continue: {again}" if resumable else "interrupted", file=sys.stderr)
    return 130


def _message(error: Exception) -> str:
    """What an error says; of the system's the file first, where it is known, and not its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


@contextlib.contextmanager
def _data_warnings_as_notes() -> Iterator[None]:
    """Shows a `DataWarning` as one line on standard error, and the same one once; other warnings as ever."""
    with warnings.catch_warnings():
        show, shown = warnings.showwarning, set()

        def note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            text = _line(str(message))
            if not issubclass(category, DataWarning):
                show(message, category, *place, **more)
            elif text not in shown:
                shown.add(text)
                print(f"note: {text}", file=sys.stderr)

        warnings.showwarning = note
        yield


def visible(thing: object) -> str:
    """What is printed of a path or a name from outside: `zoo.errors.visible` of its text."""
    return errors.visible(str(thing))


def _line(text: str) -> str:
    """The text of an error or a warning of somebody else's as one line; its line ends become spaces."""
    return visible(re.sub(r"\s*[^\S ]\s*", " ", text).strip())


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """--device, for scripts that compute; `run` acts on it."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="auto takes a GPU where there is one (auto)"
    )


def _choose_device(device: str) -> None:
    if device == "cpu":
        for vendor in ("CUDA", "HIP"):  # read when TensorFlow starts, so that nothing need be imported here
            os.environ[f"{vendor}_VISIBLE_DEVICES"] = "-1"
    if device == "gpu":
        import zoo.startup as _startup  # noqa: F401  (before TensorFlow)

        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            raise zoo.ZooError("--device gpu: TensorFlow finds no GPU here; use --device auto or cpu")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """--dataset and what `zoo.load_dataset` takes."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(zoo.list_datasets())}, a TFDS name, or an image folder (digits)",
    )
    group.add_argument("--limit", type=int, metavar="N", help="keep the first N training examples in file order")
    group.add_argument("--classes", nargs="+", metavar="CLASS", help="keep these classes, renumbered in this order")
    group.add_argument("--validation", metavar="SHARE", help="fraction, count, 'test' or 'none' (0.1)")
    group.add_argument("--image-size", type=int, metavar="PIXELS", help="resize images to this height and width")
    group.add_argument("--color-mode", choices=("grayscale", "rgb"), help="convert images")
    group.add_argument("--input-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="pixel range (0 1)")


def load_data(args: argparse.Namespace) -> zoo.DataSplits:
    """The data that the options of `add_data_options` name."""
    validation: Any = 0.1 if args.validation is None else literal(args.validation)
    return zoo.load_dataset(
        "digits" if args.dataset is None else args.dataset,
        seed=args.seed or 0,
        limit=args.limit,
        classes=args.classes,
        validation=validation,
        image_size=args.image_size,
        color_mode=args.color_mode,
        input_range=tuple(args.input_range or (0.0, 1.0)),
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--model and --set."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="NAME", help=", ".join(zoo.list_models()) + " (cnn)")
    group.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        help="options of the builder, e.g. --set l2=1e-4 dropout=0.3",
    )
    group.add_argument("--backbone", metavar="NAME", help="of --model transfer: what the new head stands on (resnet20)")


def check_model(args: argparse.Namespace) -> None:
    """Sets the default model and a backbone's image size, and answers unknown names before data are read."""
    from zoo.errors import unknown_name

    args.model = "cnn" if args.model is None else args.model
    if args.model not in zoo.list_models():
        raise unknown_name("model", args.model, zoo.list_models())
    _choose_backbone(args)
    if args.set:
        from zoo.models.catalog import check_options

        check_options(args.model, model_options(args))


def _choose_backbone(args: argparse.Namespace) -> None:
    """Makes --backbone an option of the builder, and its image size that of a folder whose images may have any."""
    if args.backbone is not None:
        if args.model != "transfer":
            raise UsageError(f"--backbone is of --model transfer. Received: --model {args.model}")
        args.set = [*args.set, f"backbone={args.backbone}"]
    from zoo.data.folder import is_folder

    if args.model == "transfer" and args.image_size is None and args.dataset and is_folder(Path(args.dataset)):
        from zoo.models.backbones import DEFAULT_BACKBONE, image_size_of

        options = model_options(args)
        searched = assignments(getattr(args, "values", []), "--values").get("backbone")
        names = searched.split(",") if searched else [options.get("backbone", DEFAULT_BACKBONE)]
        args.image_size = options.get("image_size") or max(map(image_size_of, names))


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """What `zoo.Recipe` takes. Options that are not given keep the recipe's defaults."""
    group = parser.add_argument_group("recipe")
    group.add_argument("--optimizer", metavar="NAME", help=", ".join(OPTIMIZERS) + " (adam)")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="(0.001)")
    group.add_argument("--schedule", metavar="NAME", help=", ".join(SCHEDULES) + " (constant)")
    group.add_argument("--momentum", type=float, help="of sgd, nesterov and rmsprop (0)")
    group.add_argument("--weight-decay", type=float, help="decoupled weight decay")
    group.add_argument("--batch-size", type=int, metavar="N", help="(128)")
    group.add_argument("--epochs", type=int, metavar="N", help="(10)")
    group.add_argument(
        "--patience", type=int, metavar="N", help="stop after N validations without improvement, keep the best"
    )
    group.add_argument("--augment", nargs="+", metavar="NAME", help=", ".join(AUGMENTATIONS))
    group.add_argument(
        "--class-weight", choices=("balanced",), help="rare classes count as much as frequent ones in the training loss"
    )
    group.add_argument("--seed", type=int, help="decides everything that is random (0)")


def phase_from(text: str, recipe: zoo.Recipe, option: str) -> zoo.Recipe:
    """A recipe by LAYERS:EPOCHS[:RATE]; what these do not say is that of `recipe`."""
    layers, *numbers = text.split(":")
    values = [literal(number) for number in numbers]
    is_number = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    if not layers or len(values) not in (1, 2) or not all(is_number) or not isinstance(values[0], int):
        raise UsageError(f"{option} takes LAYERS:EPOCHS or LAYERS:EPOCHS:RATE, e.g. head:5. Received: {text!r}")
    rate = float(values[1]) if len(values) == 2 else recipe.learning_rate
    trainable = tuple(layers.split(",")) if "," in layers else layers
    return dataclasses.replace(recipe, trainable=trainable, epochs=values[0], learning_rate=rate)


def recipe_from(args: argparse.Namespace, base: zoo.Recipe | None = None) -> zoo.Recipe:
    """The recipe that the options of `add_recipe_options` give, over `base`."""
    names = (
        "optimizer",
        "learning_rate",
        "schedule",
        "momentum",
        "weight_decay",
        "batch_size",
        "epochs",
        "patience",
        "augment",
        "class_weight",
        "seed",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return dataclasses.replace(base or zoo.Recipe(), **given)


def literal(text: str) -> Any:
    """A Python literal where the text is one (`1e-4`, `16,32`, `true`), else the text."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last two of many brackets
        return text


def assignments(pairs: Sequence[str], option: str) -> dict[str, str]:
    """`["a=1", "b=x"]` -> `{"a": "1", "b": "x"}`."""
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{option} takes NAME=VALUE. Received: {pair!r}")
        result[name.replace("-", "_")] = value
    return result


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """The builder's options that --set gives."""
    return {name: literal(value) for name, value in assignments(args.set, "--set").items()}


def load_run_and_data(directory: Path) -> tuple[zoo.TrainingRun, zoo.DataSplits]:
    """A finished run folder and the data that its config.json names."""
    loaded = zoo.load_run(directory)
    return loaded, data_of(loaded, directory)


def data_of(run: zoo.TrainingRun, directory: Path) -> zoo.DataSplits:
    """The data that a run's config.json names."""
    config = run.config["data"]
    if "name" not in config:
        raise zoo.ZooError(
            f"{directory} was trained on arrays, which a script cannot load again; use zoo.evaluate in Python"
        )
    return load_named(config, directory)


def load_named(config: dict[str, Any], directory: Path) -> zoo.DataSplits:
    """The data set that a folder's file names with the options of `zoo.load_dataset`."""
    options = {name: value for name, value in config.items() if name != "name"}
    if unknown := options.keys() - inspect.signature(zoo.load_dataset).parameters.keys():
        raise zoo.ZooError(f"{directory} names its data with {min(unknown)!r}, which no data set takes; train it again")
    return zoo.load_dataset(config["name"], **options)


def is_changed(run: zoo.TrainingRun, data: zoo.DataSplits) -> bool:
    """Whether the data are others than those that a run folder was trained on: another split may have its test images."""
    from zoo.data.splits import content_sha256

    return run.config.get("data_sha256") not in (None, content_sha256(data))


def name_of(data: zoo.DataSplits) -> str:
    """What folders are called after a data set: its name or that of its folder, not longer than file systems take."""
    return Path(data.config["name"]).name[:100]


def export_directory(directory: Path) -> Path:
    """The export that a path names: itself, or the one in a run folder."""
    return directory / "export" if (directory / "export").is_dir() else directory


def run_directory(wanted: str, config: dict[str, Any]) -> Path:
    """`runs/x`, or `runs/x-2`, `runs/x-3`, ...: the first that is free, or that holds this very run without its report."""
    from zoo.training.run import config_changes

    path, number = Path(wanted), 1
    while path.exists():
        if not (path / "report.html").exists() and config_changes(path, config) == []:
            break
        number += 1
        path = Path(f"{wanted}-{number}")
    return path
