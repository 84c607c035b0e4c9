"""The model card: an export's README.md, for whoever finds the folder."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

from zoo.data.images import are_images
from zoo.exporting.certificate import Certificate

_MOST_CLASSES = 100  # rows of a table that somebody reads


def model_card(certificate: Certificate) -> str:
    """The card as Markdown; it says no more than the certificate."""
    model, metrics = certificate.model, certificate.metrics
    parts = [
        f"# {_plain(model.get('name', 'model'))}",
        certificate.intended_use,
        "## Input and output",
        _input_and_output(certificate),
        "## Accuracy",
        f"{metrics['accuracy']:.4f} of the {metrics['examples']:,} examples of the {_plain(metrics['split'])} split "
        f"(95 % interval {_interval(metrics['accuracy_interval'])}).",
        _recall_table(metrics["recall"]),
        "## Files",
        "Every file was loaded again and compared with the Keras model on examples of that split, alone and in batches, and on "
        "inputs at the ends of their range. Times are of one input, in milliseconds, in the run that wrote the export"
        f" (the Keras model itself: {model['latency_ms']:.3g}, 95 % within {model['latency_p95_ms']:.3g}).",
        _formats_table(certificate),
        "## Limits",
        "\n".join(f"- {limit}" for limit in certificate.limits),
        "## Where it comes from",
        _facts("Data", certificate.data),
        *(_facts("Recipe", recipe) for recipe in certificate.recipes),
        _facts("Model", model),
        _facts("Versions", certificate.versions),
        f"Written {_plain(certificate.created)}. `certificate.json` has the same facts and the SHA-256 of every file; "
        "`python scripts/verify.py FOLDER` checks both on your machine.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def default_intended_use(dtype: Any, shape: Sequence[int], class_names: Sequence[str], data: dict[str, Any]) -> str:
    """What can be said without knowing the user: what the model was made to tell apart."""
    is_vector = len(shape) == 1
    what = "vectors of numbers" if is_vector else f"arrays of {' x '.join(map(str, shape))} numbers"
    what = f"images of {shape[0]}x{shape[1]} pixels" if are_images(dtype, shape) else what
    name = f" like those of the data set {_plain(data['name'])}" if "name" in data else ""
    return f"Tells {len(class_names)} classes of {what} apart, for inputs{name} that are of one of these classes."


def limits_of(metrics: dict[str, Any], class_names: Sequence[str], *, takes_images: bool) -> tuple[str, ...]:
    """What holds for every classifier, and what the numbers of this one say."""
    weakest = min(metrics["recall"].items(), key=lambda item: item[1]["recall"])
    limits = [
        f"It answers one of its {len(class_names)} classes whatever it is shown; that an input is of none of them it cannot say.",
        "Its probabilities were not calibrated: 0.9 need not mean that 9 of 10 such answers are right.",
        f"Its accuracy was measured on {metrics['examples']:,} examples of one source; on inputs from elsewhere it may be lower.",
        f"Its weakest class is {_plain(weakest[0])}: {weakest[1]['recall']:.4f} of its {weakest[1]['examples']:,} examples are "
        f"found (95 % interval {_interval(weakest[1]['interval'])}).",
    ]
    if takes_images:
        limits.append("Images of another size are stretched to its own, as they were for training.")
    return tuple(limits)


def _input_and_output(certificate: Certificate) -> str:
    names = ", ".join(map(_plain, certificate.class_names[:_MOST_CLASSES]))
    more = len(certificate.class_names) - _MOST_CLASSES
    dtype, shape = certificate.input["dtype"], certificate.input_shape
    stored = (
        f"{'pixels' if are_images(dtype, shape) else 'values'} as they are stored; scaling and normalisation are inside"
    )
    meaning = (
        stored if dtype == "uint8" else "values in the range of the training data; only the model itself scales them"
    )
    return (
        f"`inputs`: {dtype} of shape (N, {', '.join(map(str, shape))}), {meaning}. `probabilities`: (N, {len(certificate.class_names)}), in the order "
        f"{names}{f' and {more} more' if more > 0 else ''}."
    )


def _formats_table(certificate: Certificate) -> str:
    rows = []
    for name, check in certificate.checks.items():
        accuracy = f"{check['accuracy']:.4f} ({_interval(check['accuracy_interval'])})" if "accuracy" in check else "–"
        rows.append(
            (
                f"`{name}`",
                f"{check['max_abs_difference']:.1e}",
                f"{check['top1_agreement']:.4f}",
                accuracy,
                f"{check['size_bytes']:,}",
                f"{check['latency_ms']:.3g}",
                f"{check['latency_p95_ms']:.3g}",
            )
        )
    header = ("format", "largest difference", "same answers", "own accuracy", "bytes", "median ms", "95 % ms")
    return _table(header, rows)


def _recall_table(recall: dict[str, dict[str, Any]]) -> str:
    if len(recall) > _MOST_CLASSES:
        return ""
    rows = [
        (_plain(name), f"{found['examples']:,}", f"{found['recall']:.4f}", _interval(found["interval"]))
        for name, found in recall.items()
    ]
    return _table(("class", "examples", "recall", "95 % interval"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _interval(ends: Sequence[float]) -> str:
    return f"{ends[0]:.4f} to {ends[1]:.4f}"


def _facts(title: str, facts: dict[str, Any]) -> str:
    told = {k: v for k, v in facts.items() if v is not None}
    return f"{title}: " + ", ".join(f"{_plain(k)} {_plain(json.dumps(v))}" for k, v in told.items()) if told else ""


def _plain(value: Any) -> str:
    """Text that Markdown shows as it is."""
    text = html.escape(str(value).replace("\\", "\\\\"), quote=False)
    for sign in "|`*_[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
