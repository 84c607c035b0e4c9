"""A Keras model zoo: data set -> model -> training -> evaluation -> report -> export.

The public names below are imported when they are first used: `import zoo` alone loads no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo.version import __version__

if TYPE_CHECKING:
    from zoo.data.datasets import list_datasets, load_dataset
    from zoo.data.duplicates import Duplicates, find_duplicates
    from zoo.data.examples import plot_examples
    from zoo.data.images import load_images
    from zoo.data.split import Split
    from zoo.data.splits import DataSplits
    from zoo.errors import (
        DataError,
        DataWarning,
        ExportError,
        LockedError,
        SaveError,
        UsageError,
        WeightsError,
        ZooError,
    )
    from zoo.evaluation.calibration import Calibration, measure_calibration
    from zoo.evaluation.calibration_plot import plot_calibration
    from zoo.evaluation.comparison import Comparison, compare
    from zoo.evaluation.corruptions import corrupt
    from zoo.evaluation.fooling import Fooling, fool
    from zoo.evaluation.fooling_plot import plot_fooling
    from zoo.evaluation.gradient_sign import gradient_sign_step
    from zoo.evaluation.paired_models import compare_models
    from zoo.evaluation.robustness import Robustness, measure_robustness
    from zoo.evaluation.robustness_plot import plot_robustness
    from zoo.evaluation.scoring import Evaluation, evaluate
    from zoo.exporting.certificate import Certificate
    from zoo.exporting.exporter import export
    from zoo.exporting.loading import Predictor, load_exported
    from zoo.models.catalog import build, list_models
    from zoo.reporting.page import write_report
    from zoo.reporting.side_by_side import write_comparison_report
    from zoo.training.compiling import compile_model
    from zoo.training.recipe import Recipe
    from zoo.training.run import TrainingRun, load_run
    from zoo.training.trainer import train
    from zoo.weights.labels import decode_predictions

_PUBLIC = {
    "DataError": "zoo.errors",
    "DataWarning": "zoo.errors",
    "ExportError": "zoo.errors",
    "LockedError": "zoo.errors",
    "SaveError": "zoo.errors",
    "UsageError": "zoo.errors",
    "WeightsError": "zoo.errors",
    "ZooError": "zoo.errors",
    "list_datasets": "zoo.data.datasets",
    "load_dataset": "zoo.data.datasets",
    "Duplicates": "zoo.data.duplicates",
    "find_duplicates": "zoo.data.duplicates",
    "load_images": "zoo.data.images",
    "plot_examples": "zoo.data.examples",
    "DataSplits": "zoo.data.splits",
    "Split": "zoo.data.split",
    "list_models": "zoo.models.catalog",
    "build": "zoo.models.catalog",
    "decode_predictions": "zoo.weights.labels",
    "Recipe": "zoo.training.recipe",
    "compile_model": "zoo.training.compiling",
    "TrainingRun": "zoo.training.run",
    "load_run": "zoo.training.run",
    "train": "zoo.training.trainer",
    "Calibration": "zoo.evaluation.calibration",
    "measure_calibration": "zoo.evaluation.calibration",
    "plot_calibration": "zoo.evaluation.calibration_plot",
    "Comparison": "zoo.evaluation.comparison",
    "compare": "zoo.evaluation.comparison",
    "compare_models": "zoo.evaluation.paired_models",
    "Evaluation": "zoo.evaluation.scoring",
    "evaluate": "zoo.evaluation.scoring",
    "corrupt": "zoo.evaluation.corruptions",
    "Fooling": "zoo.evaluation.fooling",
    "fool": "zoo.evaluation.fooling",
    "gradient_sign_step": "zoo.evaluation.gradient_sign",
    "Robustness": "zoo.evaluation.robustness",
    "measure_robustness": "zoo.evaluation.robustness",
    "plot_fooling": "zoo.evaluation.fooling_plot",
    "plot_robustness": "zoo.evaluation.robustness_plot",
    "write_comparison_report": "zoo.reporting.side_by_side",
    "write_report": "zoo.reporting.page",
    "Certificate": "zoo.exporting.certificate",
    "export": "zoo.exporting.exporter",
    "Predictor": "zoo.exporting.loading",
    "load_exported": "zoo.exporting.loading",
}

__all__ = [
    "Calibration",
    "Certificate",
    "Comparison",
    "DataError",
    "DataSplits",
    "DataWarning",
    "Duplicates",
    "Evaluation",
    "ExportError",
    "Fooling",
    "LockedError",
    "Predictor",
    "Recipe",
    "Robustness",
    "SaveError",
    "Split",
    "TrainingRun",
    "UsageError",
    "WeightsError",
    "ZooError",
    "__version__",
    "build",
    "compare",
    "compare_models",
    "compile_model",
    "corrupt",
    "decode_predictions",
    "evaluate",
    "export",
    "find_duplicates",
    "fool",
    "gradient_sign_step",
    "list_datasets",
    "list_models",
    "load_dataset",
    "load_exported",
    "load_images",
    "load_run",
    "measure_calibration",
    "measure_robustness",
    "plot_calibration",
    "plot_examples",
    "plot_fooling",
    "plot_robustness",
    "train",
    "write_comparison_report",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
