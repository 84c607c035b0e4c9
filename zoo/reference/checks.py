"""Derivatives without a derivation, to hold the hand-written ones against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray


def numerical_gradient(
    function: Callable[[FloatArray], float], weights: npt.ArrayLike, *, epsilon: float = 1e-5
) -> FloatArray:
    """∂f/∂w_i ≈ [f(w + ε e_i) - f(w - ε e_i)] / 2ε: central differences, one entry at a time.

    The formula is off by O(ε²), and rounding f by about 1e-16 |f| / ε. Both are near 1e-10 at the default ε, so
    expect some nine digits where f is smooth, and none at a kink (ReLU at 0).

    Args:
        function: f, from an array in the shape of the weights to a number.
        weights: w, of any shape.
        epsilon: ε, above 0.

    Returns:
        The gradient, in the shape of the weights.

    Raises:
        ValueError: when epsilon is not above 0.

    Example:
        >>> numerical_gradient(lambda w: float(w @ w), [1.0, -3.0]).round(6)
        array([ 2., -6.])
    """
    if not epsilon > 0:
        raise ValueError(f"The step must be above 0. Received: epsilon={epsilon}")
    w = np.asarray(weights, dtype=np.float64)
    gradient = np.empty_like(w)
    for index in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[index] = epsilon
        gradient[index] = (function(w + step) - function(w - step)) / (2.0 * epsilon)
    return gradient
