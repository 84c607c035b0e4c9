"""Convolution and maximum pooling from their definitions, each followed by its gradient.

Images are (N, height, width, channels), as in Keras. A window of h x w pixels at the strides s begins at (s·i, s·j). Both
operations look at all windows; both backward passes send δ to the windows and add up what overlapping ones send to a pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from zoo.reference.arithmetic import same_padding
from zoo.reference.losses import FloatArray


class ConvolutionGradient(NamedTuple):
    """∂E/∂x, ∂E/∂K and ∂E/∂b of a convolution, in the shapes of x, K and b."""

    inputs: FloatArray
    kernel: FloatArray
    bias: FloatArray


def convolution(
    inputs: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: int = 1,
    padding: int | str = 0,
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
        padding: p, rows and columns of zeros on each side of the image; or `"valid"` (0), or `"same"`: as many as
            `arithmetic.same_padding` says, where the last side may have one more than the first.
        groups: G; divides C and F.

    Returns:
        y, shape (N, ⌊(H + 2p - h) / s⌋ + 1, ⌊(W + 2p - w) / s⌋ + 1, F); with `"same"` (N, ⌈H / s⌉, ⌈W / s⌉, F).

    Raises:
        ValueError: when the shapes do not fit each other, or a number is out of range.

    Examples:
        >>> convolution(np.arange(4.0).reshape(1, 1, 4, 1), np.reshape([-1.0, 1.0], (1, 2, 1, 1))).ravel()
        array([1., 1., 1.])
    """
    x = _images(inputs)
    k = _kernel(x, kernel, groups)
    b = np.zeros(k.shape[3]) if bias is None else np.asarray(bias, dtype=np.float64)
    if b.shape != k.shape[3:]:
        raise ValueError(f"The bias must be a vector of {k.shape[3]} entries. Received: bias={b.shape}")
    windows = _windows(np.pad(x, _zeros_around(x, k, strides, padding)), k.shape[0], k.shape[1], strides)
    runs = zip(np.split(windows, groups, axis=3), np.split(k, groups, axis=3), strict=True)
    return np.concatenate([np.tensordot(seen, part, axes=((4, 5, 3), (0, 1, 2))) for seen, part in runs], axis=3) + b


def convolution_gradient(
    inputs: npt.ArrayLike,
    kernel: npt.ArrayLike,
    delta: npt.ArrayLike,
    *,
    strides: int = 1,
    padding: int | str = 0,
    groups: int = 1,
) -> ConvolutionGradient:
    """The backward pass of `convolution`, from δ = ∂E/∂y.

    ∂E/∂b_f = Σ_nij δ_nijf, ∂E/∂K_uvcf = Σ_nij x_{n, si+u, sj+v, c} δ_nijf, and the pixel at (si + u, sj + v) receives
    Σ_f δ_nijf K_uvcf from each window (i, j) that it lies in. Source: Goodfellow et al., eq. 9.11 and 9.13.

    Args:
        inputs: x, shape (N, H, W, C).
        kernel: K, shape (h, w, C / groups, F).
        delta: δ, in the shape of y.
        strides: as for `convolution`.
        padding: as for `convolution`.
        groups: as for `convolution`.

    Raises:
        ValueError: as for `convolution`, and when δ has not the shape of y.

    Examples:
        >>> x, kernel = np.arange(4.0).reshape(1, 1, 4, 1), np.reshape([-1.0, 1.0], (1, 2, 1, 1))
        >>> gradient = convolution_gradient(x, kernel, np.ones((1, 1, 3, 1)))
        >>> gradient.inputs.ravel(), gradient.kernel.ravel(), gradient.bias
        (array([-1.,  0.,  0.,  1.]), array([3., 6.]), array([3.]))
    """
    x = _images(inputs)
    k = _kernel(x, kernel, groups)
    around = _zeros_around(x, k, strides, padding)
    padded = np.pad(x, around)
    windows = _windows(padded, k.shape[0], k.shape[1], strides)
    d = _delta(delta, (*windows.shape[:3], k.shape[3]))
    to_windows, to_kernel = [], []
    for seen, part, received in zip(*(np.split(a, groups, axis=3) for a in (windows, k, d)), strict=True):
        to_windows.append(np.tensordot(received, part, axes=(3, 3)).transpose(0, 1, 2, 5, 3, 4))
        to_kernel.append(np.tensordot(seen, received, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3))
    to_image = _add_windows(np.concatenate(to_windows, axis=3), padded.shape, strides)
    (top, _), (left, _) = around[1:3]
    return ConvolutionGradient(
        to_image[:, top : top + x.shape[1], left : left + x.shape[2]],
        np.concatenate(to_kernel, axis=3),
        d.sum(axis=(0, 1, 2)),
    )


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

    Examples:
        >>> max_pooling(np.arange(9.0).reshape(1, 3, 3, 1), 2, 1).ravel()
        array([4., 5., 7., 8.])
    """
    largest: FloatArray = _windows(_images(inputs), size, size, strides).max(axis=(4, 5))
    return largest


def max_pooling_gradient(inputs: npt.ArrayLike, delta: npt.ArrayLike, size: int, strides: int) -> FloatArray:
    """The backward pass of `max_pooling`: each window sends its δ to its largest pixel, all others receive nothing from it.

    Where several pixels of a window are the largest, the maximum has no derivative, and a rule decides: the first of them in
    row-major order (the top row from left to right, then the next row) receives all of δ, as in TensorFlow on a
    CPU. A pixel that is the largest of several overlapping windows receives the sum of theirs.

    Args:
        inputs: x, shape (N, H, W, C).
        delta: δ = ∂E/∂y, in the shape of y.
        size: height and width of a window.
        strides: s, pixels from one window to the next, in both directions.

    Returns:
        ∂E/∂x, shape (N, H, W, C).

    Raises:
        ValueError: as for `max_pooling`, and when δ has not the shape of y.

    Examples:
        >>> max_pooling_gradient(np.reshape([7.0, 7.0, 0.0, 7.0], (1, 2, 2, 1)), np.full((1, 1, 1, 1), 5.0), 2, 2).ravel()
        array([5., 0., 0., 0.])
    """
    x = _images(inputs)
    windows = _windows(x, size, size, strides)
    d = _delta(delta, windows.shape[:4])
    first = windows.reshape(*windows.shape[:4], -1).argmax(axis=-1)  # argmax takes the first of equals
    is_largest = np.arange(size * size) == first[..., None]
    return _add_windows((is_largest * d[..., None]).reshape(windows.shape), x.shape, strides)


def _images(inputs: npt.ArrayLike) -> FloatArray:
    x = np.asarray(inputs, dtype=np.float64)
    if x.ndim != 4:
        raise ValueError(f"Inputs must have the shape (N, H, W, C). Received: inputs={x.shape}")
    return x


def _kernel(x: FloatArray, kernel: npt.ArrayLike, groups: int) -> FloatArray:
    k = np.asarray(kernel, dtype=np.float64)
    if groups < 1 or k.ndim != 4 or k.shape[2] * groups != x.shape[3] or k.shape[3] % groups:
        raise ValueError(
            "The kernel must be (h, w, C / groups, F), and F a multiple of the groups. "
            f"Received: inputs={x.shape}, kernel={k.shape}, groups={groups}"
        )
    return k


def _delta(delta: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    d = np.asarray(delta, dtype=np.float64)
    if d.shape != shape:
        raise ValueError(f"δ must have the shape of the outputs, {shape}. Received: delta={d.shape}")
    return d


def _zeros_around(x: FloatArray, k: FloatArray, strides: int, padding: int | str) -> list[tuple[int, int]]:
    """The zeros (before, after) each of the four axes of the images."""
    if strides < 1:
        raise ValueError(f"Strides must be 1 or more. Received: strides={strides}")
    if padding == "same":
        return [(0, 0), *(same_padding(x.shape[i], k.shape[i - 1], stride=strides) for i in (1, 2)), (0, 0)]
    p = 0 if padding == "valid" else padding
    if isinstance(p, str) or p < 0:
        raise ValueError(f"The padding must be 0 or more, 'valid' or 'same'. Received: padding={padding}")
    return [(0, 0), (p, p), (p, p), (0, 0)]


def _windows(x: FloatArray, height: int, width: int, strides: int) -> FloatArray:
    """All windows of images, shape (N, windows down, windows across, C, height, width); a view."""
    if min(height, width, strides) < 1 or height > x.shape[1] or width > x.shape[2]:
        raise ValueError(
            f"Windows must fit into the image, with strides of 1 or more. Received: {height}x{width} windows, "
            f"strides={strides}, an image of {x.shape[1]}x{x.shape[2]}"
        )
    return sliding_window_view(x, (height, width), axis=(1, 2))[:, ::strides, ::strides]


def _add_windows(windows: FloatArray, shape: tuple[int, ...], strides: int) -> FloatArray:
    """The transpose of `_windows`: images whose pixels are the sums of all windows' entries that lie on them."""
    image = np.zeros(shape)
    down, across, height, width = *windows.shape[1:3], *windows.shape[4:]
    for u, v in np.ndindex(height, width):
        image[:, u : u + strides * down : strides, v : v + strides * across : strides] += windows[..., u, v]
    return image
