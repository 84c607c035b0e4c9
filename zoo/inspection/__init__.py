"""Eyes into any built Keras model; `plot_*` draw what the others give.

The names are imported when they are first used: `import zoo.inspection` alone loads no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.inspection.changed_maps import plot_changed_maps
    from zoo.inspection.checking import GradientCheck, check_gradients, plot_gradient_check
    from zoo.inspection.graphs import plot_live_paths, plot_network
    from zoo.inspection.grids import image_grid
    from zoo.inspection.hessian import Curvature, curvature, plot_curvature
    from zoo.inspection.layer_checks import LayerCheck
    from zoo.inspection.layer_costs import layer_table
    from zoo.inspection.maps import activations, filters, plot_activations, plot_filters
    from zoo.inspection.matrices import plot_matrices
    from zoo.inspection.norms import (
        GradientNormRecorder,
        GradientNorms,
        gradient_norms,
        plot_gradient_history,
        plot_gradient_norms,
    )
    from zoo.inspection.paths import OptimizerPath, optimizer_path, plot_optimizer_path, separator_path
    from zoo.inspection.recorders import StepWeightRecorder, WeightRecorder
    from zoo.inspection.regions import DecisionRegions, decision_plane, decision_regions, plot_decision_regions
    from zoo.inspection.salience import grad_cam, plot_grad_cam, plot_saliency, saliency
    from zoo.inspection.tensor_checks import TensorCheck
    from zoo.inspection.units import DeadUnits, dead_units, live_paths, plot_dead_units
    from zoo.inspection.weight_pictures import plot_weight_images, weight_images

_PUBLIC = {
    "GradientCheck": "checking",
    "TensorCheck": "tensor_checks",
    "check_gradients": "checking",
    "plot_gradient_check": "checking",
    "LayerCheck": "layer_checks",
    "layer_table": "layer_costs",
    "plot_changed_maps": "changed_maps",
    "plot_live_paths": "graphs",
    "plot_network": "graphs",
    "image_grid": "grids",
    "Curvature": "hessian",
    "curvature": "hessian",
    "plot_curvature": "hessian",
    "activations": "maps",
    "filters": "maps",
    "plot_activations": "maps",
    "plot_filters": "maps",
    "plot_matrices": "matrices",
    "GradientNorms": "norms",
    "GradientNormRecorder": "norms",
    "gradient_norms": "norms",
    "plot_gradient_norms": "norms",
    "plot_gradient_history": "norms",
    "OptimizerPath": "paths",
    "optimizer_path": "paths",
    "plot_optimizer_path": "paths",
    "separator_path": "paths",
    "WeightRecorder": "recorders",
    "StepWeightRecorder": "recorders",
    "DecisionRegions": "regions",
    "decision_plane": "regions",
    "decision_regions": "regions",
    "plot_decision_regions": "regions",
    "grad_cam": "salience",
    "plot_grad_cam": "salience",
    "saliency": "salience",
    "plot_saliency": "salience",
    "DeadUnits": "units",
    "dead_units": "units",
    "live_paths": "units",
    "plot_dead_units": "units",
    "weight_images": "weight_pictures",
    "plot_weight_images": "weight_pictures",
}

__all__ = [
    "Curvature",
    "DeadUnits",
    "DecisionRegions",
    "GradientCheck",
    "GradientNormRecorder",
    "GradientNorms",
    "LayerCheck",
    "OptimizerPath",
    "StepWeightRecorder",
    "TensorCheck",
    "WeightRecorder",
    "activations",
    "check_gradients",
    "curvature",
    "dead_units",
    "decision_plane",
    "decision_regions",
    "filters",
    "grad_cam",
    "gradient_norms",
    "image_grid",
    "layer_table",
    "live_paths",
    "optimizer_path",
    "plot_activations",
    "plot_changed_maps",
    "plot_curvature",
    "plot_dead_units",
    "plot_decision_regions",
    "plot_filters",
    "plot_grad_cam",
    "plot_gradient_check",
    "plot_gradient_history",
    "plot_gradient_norms",
    "plot_live_paths",
    "plot_matrices",
    "plot_network",
    "plot_optimizer_path",
    "plot_saliency",
    "plot_weight_images",
    "saliency",
    "separator_path",
    "weight_images",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo.inspection' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"zoo.inspection.{_PUBLIC[name]}"), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
