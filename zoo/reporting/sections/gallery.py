"""Every test example with its class scores: the payload that the page's script draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from zoo.errors import DataError
from zoo.reporting.atlas import Atlas, pack_images
from zoo.reporting.formatting import below_common_folder, json_ready, script_json
from zoo.reporting.inputs import EvaluationLike
from zoo.reporting.rendering import data_uri
from zoo.reporting.section import Section

_ALL_CLASSES = 10  # up to so many classes every score is shown
_TOP_CLASSES = 5  # of more classes only the best, and the true one


def gallery_section(evaluation: EvaluationLike) -> Section:
    """Every test example: sprite sheets as `data:` addresses, and what the script draws as JSON.

    Args:
        evaluation: predictions in the documented columns; images or None.

    Raises:
        DataError: when a column is missing, or the images are not one to a prediction.
    """
    predictions = evaluation.predictions
    names = [str(name) for name in evaluation.class_names]
    needed = ["true", "predicted", "confidence", "loss", *(f"p({name})" for name in names)]
    missing = [column for column in needed if column not in predictions.columns]
    if missing:
        raise DataError(f"the predictions lack the columns {', '.join(missing[:5])}. Received: {len(predictions)} rows")
    images = evaluation.images  # read once: a folder's images are decoded on every access
    if images is not None and len(images) != len(predictions):
        raise DataError(f"{len(images)} images do not fit {len(predictions)} predictions, one row an image")
    atlas = pack_images(images) if images is not None and len(predictions) else None
    content = {
        "payload": script_json(_payload(predictions, names, atlas)),
        "sheets": [data_uri(sheet, atlas.media_type) for sheet in atlas.sheets] if atlas else [],
        "atlas": atlas,
    }
    return Section("gallery", "Every test image" if atlas else "Every test example", content)


def _payload(predictions: pd.DataFrame, names: list[str], atlas: Atlas | None) -> dict[str, Any]:
    """Columns, not rows: a third of the bytes. Scores are integers of 1/10 000."""
    number = {name: i for i, name in enumerate(names)}
    true = predictions["true"].astype(str).map(number).fillna(-1).astype(int).to_numpy()
    predicted = predictions["predicted"].astype(str).map(number).fillna(-1).astype(int).to_numpy()
    scores = np.nan_to_num(predictions[[f"p({name})" for name in names]].to_numpy(np.float64))
    shown = _shown_classes(scores, true)
    index = predictions["index"] if "index" in predictions.columns else predictions.index
    return {
        "classes": names,
        "index": [json_ready(i) for i in index.tolist()],
        "file": below_common_folder(list(predictions["file"])) if "file" in predictions.columns else None,
        "true": true.tolist(),
        "predicted": predicted.tolist(),
        "confidence": _rounded(predictions["confidence"]),
        "loss": _rounded(predictions["loss"]),
        "shown": None if shown is None else shown.ravel().tolist(),
        "scores": _tenthousandths(scores if shown is None else np.take_along_axis(scores, shown, axis=1)),
        "num_shown": len(names) if shown is None else shown.shape[1],
        "sprite": None
        if atlas is None
        else {
            "width": atlas.width,
            "height": atlas.height,
            "cell": list(atlas.cell),
            "columns": atlas.columns,
            "rows": atlas.rows,
            "scale": atlas.scale,
        },
    }


def _shown_classes(scores: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    """The classes each card shows, best first, (N, 5); None when all are shown in their own order."""
    if scores.shape[1] <= _ALL_CLASSES:
        return None
    best = np.argsort(-scores, axis=1, kind="stable")[:, :_TOP_CLASSES]
    absent = (true >= 0) & ~(best == true[:, None]).any(axis=1)
    best[absent, -1] = true[absent]  # a reader of an error wants to see how far off the true class was
    return best


def _tenthousandths(scores: np.ndarray) -> list[int]:
    whole: list[int] = np.rint(np.clip(scores, 0, 1) * 10_000).astype(int).ravel().tolist()
    return whole


def _rounded(values: pd.Series) -> list[float | str | None]:
    """Five decimals; NaN is None, and an infinite loss, which must sort as the worst, is text that JSON can hold."""
    return [None if np.isnan(v) else "inf" if np.isinf(v) else round(float(v), 5) for v in values]
