"""The textbook in NumPy alone: float64, vectorised, every backward pass written by hand.

It referees the tests of the Keras models, so it imports nothing but NumPy and the standard library.
"""

from __future__ import annotations

from zoo.reference.checks import numerical_gradient
from zoo.reference.convolutions import convolution, local_response_normalization, max_pooling
from zoo.reference.descent import DescentPath, gradient_descent, momentum_step
from zoo.reference.losses import (
    binary_cross_entropy,
    binary_cross_entropy_gradient,
    categorical_cross_entropy,
    categorical_cross_entropy_gradient,
    l1_penalty,
    l1_penalty_gradient,
    l2_penalty,
    l2_penalty_gradient,
    log_softmax,
    one_hot,
    sigmoid,
    softmax,
    squared_error,
    squared_error_gradient,
)
from zoo.reference.networks import (
    DenseNetwork,
    ForwardPass,
    Gradients,
    Loss,
    logistic_regression,
    softmax_regression,
)

__all__ = [
    "DenseNetwork",
    "DescentPath",
    "ForwardPass",
    "Gradients",
    "Loss",
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "categorical_cross_entropy",
    "categorical_cross_entropy_gradient",
    "convolution",
    "gradient_descent",
    "l1_penalty",
    "l1_penalty_gradient",
    "l2_penalty",
    "l2_penalty_gradient",
    "local_response_normalization",
    "log_softmax",
    "logistic_regression",
    "max_pooling",
    "momentum_step",
    "numerical_gradient",
    "one_hot",
    "sigmoid",
    "softmax",
    "softmax_regression",
    "squared_error",
    "squared_error_gradient",
]
