"""How the scripts read a command line: a parser whose errors are one line, and the options that several of them have.

Nothing here imports TensorFlow, so that `--help` and errors about names are quick.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import zoo
from zoo.errors import UsageError, unknown_name, visible
from zoo.paths import checked_path
from zoo.training.recipe import AUGMENTATIONS, OPTIMIZERS, SCHEDULES


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of the scripts are; the usage is in `--help`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but refuses what is unknown: an action's own parser does then, which has the nearest options."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, names the nearest options, and ends with exit code 2."""
        _, _, unrecognized = message.partition("unrecognized arguments:")
        unknown = next(iter(unrecognized.split()), "")
        if unrecognized and not unknown:
            message = f"unrecognized arguments: {unrecognized[1:]!r}"
        near = difflib.get_close_matches(unknown.partition("=")[0], self._option_string_actions, n=2)
        hint = (
            f"; did you mean {' or '.join(near)}?" if near else "" if ";" in message else "; --help shows the options"
        )
        self.exit(2, f"error: {visible(message)[:500]}{hint}\n")


def path(text: str) -> Path:
    """The type of options and arguments that are paths."""
    try:
        return checked_path(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
    """The fields of `zoo.Recipe` that a command line sets. Options that are not given keep the recipe's defaults."""
    group = parser.add_argument_group("recipe")
    group.add_argument("--optimizer", metavar="NAME", help=", ".join(OPTIMIZERS) + " (adam)")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="(0.001)")
    group.add_argument("--schedule", metavar="NAME", help=", ".join(SCHEDULES) + " (without it the rate is constant)")
    group.add_argument("--momentum", type=float, metavar="M", help="of sgd, nesterov and rmsprop (0)")
    group.add_argument(
        "--weight-decay", type=float, metavar="RATE", help="decoupled weight decay (0.004 for adamw, else 0)"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="(128)")
    group.add_argument("--epochs", type=int, metavar="N", help="(10)")
    group.add_argument(
        "--patience", type=int, metavar="N", help="stop after N validations without improvement, keep the best"
    )
    group.add_argument("--augment", nargs="+", metavar="NAME", help=", ".join(AUGMENTATIONS))
    group.add_argument(
        "--class-weight", choices=("balanced",), help="rare classes count as much as frequent ones in the training loss"
    )
    group.add_argument("--seed", type=int, metavar="N", help="decides everything that is random (0)")


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
    names = [field.name for field in dataclasses.fields(zoo.Recipe)]
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
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
