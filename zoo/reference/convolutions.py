"""Convolution, maximum pooling and local response normalisation from their definitions, forward only.

Images are (N, height, width, channels), as in Keras. A window of h x w pixels at the strides s begins at (s·i, s·j).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from zoo.reference.losses import FloatArray


def convolution(
    inputs: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> FloatArray:
    """y_nijf = b_f + Σ_uvc x_{n, si+u, sj+v, c} K_uvcf, on images with zeros all round; a cross-correlation, as everywhere.

    With G groups, the inputs' and the outputs' channels are G runs of equal length, and outputs of run g see the inputs of
    run g alone. Source: Goodfellow, Bengio & Courville, Deep Learning, 2016, eq. 9.6 to 9.8; for groups Krizhevsky,
    Sutskever & Hinton, ImageNet classification with deep convolutional neural networks, 2012, section 3.2.

    Args:
        inputs: x, shape (N, H, W, C).
        kernel: K, shape (h, w, C / groups, F).
        bias: b, shape (F,); `None` for zeros.
        strides: s, pixels from one window to the next, in both directions.
        padding: p, rows and columns of zeros on each side of the image.
        groups: G; divides C and F.

    Returns:
        y, shape (N, ⌊(H + 2p - h) / s⌋ + 1, ⌊(W + 2p - w) / s⌋ + 1, F).

    Raises:
        ValueError: when the shapes do not fit each other, or a number is out of range.

    Example:
        >>> convolution(np.arange(4.0).reshape(1, 1, 4, 1), np.reshape([-1.0, 1.0], (1, 2, 1, 1))).ravel()
        array([1., 1., 1.])
    """
    x, w = _images(inputs), np.asarray(kernel, dtype=np.float64)
    if padding < 0 or groups < 1:
        raise ValueError(f"Received: padding={padding}, which must be 0 or more, groups={groups}, 1 or more")
    if w.ndim != 4 or w.shape[2] * groups != x.shape[3] or w.shape[3] % groups:
        raise ValueError(
            "The kernel must be (h, w, C / groups, F), and F a multiple of the groups. "
            f"Received: inputs={x.shape}, kernel={w.shape}, groups={groups}"
        )
    b = np.zeros(w.shape[3]) if bias is None else np.asarray(bias, dtype=np.float64)
    if b.shape != w.shape[3:]:
        raise ValueError(f"The bias must be a vector of {w.shape[3]} entries. Received: bias={b.shape}")
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = _windows(x, w.shape[0], w.shape[1], strides)
    outputs = [
        np.tensordot(run, kernel_of_run, axes=((4, 5, 3), (0, 1, 2)))
        for run, kernel_of_run in zip(np.split(windows, groups, axis=3), np.split(w, groups, axis=3), strict=True)
    ]
    return np.concatenate(outputs, axis=3) + b


def max_pooling(inputs: npt.ArrayLike, size: int, strides: int) -> FloatArray:
    """y_nijc = max_uv x_{n, si+u, sj+v, c}, over the windows that lie within the image; they overlap where s < size.

    Args:
        inputs: x, shape (N, H, W, C).
        size: height and width of a window.
        strides: s, pixels from one window to the next, in both directions.

    Returns:
        y, shape (N, ⌊(H - size) / s⌋ + 1, ⌊(W - size) / s⌋ + 1, C).

    Raises:
        ValueError: when the inputs are no images, or no window fits into them, or a number is below 1.

    Example:
        >>> max_pooling(np.arange(9.0).reshape(1, 3, 3, 1), 2, 1).ravel()
        array([4., 5., 7., 8.])
    """
    return _windows(_images(inputs), size, size, strides).max(axis=(4, 5))


def local_response_normalization(
    inputs: npt.ArrayLike, *, radius: int = 2, alpha: float = 2e-5, beta: float = 0.75, bias: float = 1.0
) -> FloatArray:
    """y_c = x_c / (k + α Σ_j x_j²)^β, where j runs over the channels from c - radius to c + radius that exist.

    Source: Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional neural networks, 2012, section
    3.3. Caffe and PyTorch write α / (2 radius + 1) for α: their 1e-4 is 2e-5 here.

    Args:
        inputs: x, shape (..., C).
        radius: channels on each side, 0 or more.
        alpha: α, weight of the sum.
        beta: β, the exponent.
        bias: k, what the sum is added to.

    Returns:
        y, shape (..., C).

    Raises:
        ValueError: when the radius is below 0 or the inputs are one number.

    Example:
        >>> local_response_normalization([3.0, 4.0, 0.0], radius=1, alpha=1.0, beta=0.5, bias=0.0)
        array([0.6, 0.8, 0. ])
    """
    x = np.asarray(inputs, dtype=np.float64)
    if radius < 0 or not x.ndim:
        raise ValueError(
            f"The radius must be 0 or more, the inputs (..., C). Received: radius={radius}, inputs={x.shape}"
        )
    squares = np.pad(x**2, [(0, 0)] * (x.ndim - 1) + [(radius, radius)])
    return x / (bias + alpha * sliding_window_view(squares, 2 * radius + 1, axis=-1).sum(axis=-1)) ** beta


def _images(inputs: npt.ArrayLike) -> FloatArray:
    x = np.asarray(inputs, dtype=np.float64)
    if x.ndim != 4:
        raise ValueError(f"Inputs must have the shape (N, H, W, C). Received: inputs={x.shape}")
    return x


def _windows(x: FloatArray, height: int, width: int, strides: int) -> FloatArray:
    """All windows of images, shape (N, windows down, windows across, C, height, width); a view."""
    if min(height, width, strides) < 1 or height > x.shape[1] or width > x.shape[2]:
        raise ValueError(
            f"Windows must fit into the image, with strides of 1 or more. Received: {height}x{width} windows, "
            f"strides={strides}, an image of {x.shape[1]}x{x.shape[2]}"
        )
    return sliding_window_view(x, (height, width), axis=(1, 2))[:, ::strides, ::strides]
