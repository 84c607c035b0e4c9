"""The arithmetic of convolutions: in one dimension by definition, sizes, parameter counts, and which settings fit.

Convolutions of images stand in `convolutions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from zoo.reference.losses import FloatArray


def convolve(signal: npt.ArrayLike, kernel: npt.ArrayLike, *, mode: str = "full") -> FloatArray:
    """y_n = Σ_m x_m k_{n-m}: the kernel is flipped and slid over the signal. Equals `numpy.convolve`.

    Args:
        signal: x, shape (N,).
        kernel: k, shape (K,). The two may be exchanged.
        mode: what is kept of the N + K - 1 numbers: all ("full"), the |N - K| + 1 that see no zeros beyond the shorter one's
            end ("valid"), or the max(N, K) in the middle ("same").

    Returns:
        y, shape (N + K - 1,) or what is kept of it.

    Raises:
        ValueError: when an array is no vector or is empty, or the mode is none of the three.

    Examples:
        >>> [convolve([1, 2, 3, 4], [1, 0, 2], mode=mode).tolist() for mode in ("full", "valid", "same")]
        [[1.0, 2.0, 5.0, 8.0, 6.0, 8.0], [5.0, 8.0], [2.0, 5.0, 8.0, 6.0]]
    """
    x, k = np.asarray(signal, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    if x.ndim != 1 or k.ndim != 1 or not x.size or not k.size:
        raise ValueError(f"Both must be vectors with an entry or more. Received: signal={x.shape}, kernel={k.shape}")
    short, long = sorted((len(x), len(k)))
    kept = {"full": (0, long + short - 1), "valid": (short - 1, long - short + 1), "same": ((short - 1) // 2, long)}
    if mode not in kept:
        raise ValueError(f"The mode must be one of {sorted(kept)}. Received: mode={mode!r}")
    full = sliding_window_view(np.pad(x, len(k) - 1), len(k)) @ k[::-1]
    start, length = kept[mode]
    return full[start : start + length]


def cross_correlate(signal: npt.ArrayLike, kernel: npt.ArrayLike, *, mode: str = "valid") -> FloatArray:
    """y_n = Σ_m x_{n+m} k_m: the kernel is slid without flipping, which is what Keras calls a convolution.

    It is `convolve` with the reversed kernel, so arguments and errors are the same. For kernels of even length, "same"
    begins half a step earlier than Keras's, which puts the odd zero behind the signal (see `same_padding`).

    Examples:
        >>> cross_correlate([1, 2, 3, 4], [1, 0, 2])
        array([ 7., 10.])
    """
    return convolve(signal, np.asarray(kernel, dtype=np.float64)[::-1], mode=mode)


def output_size(
    input_size: npt.ArrayLike,
    kernel: npt.ArrayLike,
    *,
    stride: npt.ArrayLike = 1,
    padding: npt.ArrayLike | str = 0,
    dilation: npt.ArrayLike = 1,
) -> npt.NDArray[np.int64]:
    """⌊(n + 2p - d(k - 1) - 1) / s⌋ + 1, the number of windows along one axis; 0 where no window fits.

    Source: Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016, relationship 15.

    Args:
        input_size: n. All numbers may be arrays, which are broadcast.
        kernel: k, entries of the kernel.
        stride: s, from one window to the next.
        padding: p, zeros on each side, or Keras's "valid" (p = 0) or "same" (⌈n / s⌉ windows, whatever the kernel).
        dilation: d, from one entry of the kernel to the next in the image; 1 is none.

    Returns:
        The sizes, in the common shape.

    Raises:
        ValueError: when a number is no integer or out of range.

    Examples:
        >>> int(output_size(227, 11, stride=4)), int(output_size(28, 5, stride=2, padding="same"))
        (55, 14)
    """
    n, k, s, d = (
        _integers(name, values, least=1)
        for name, values in (("input_size", input_size), ("kernel", kernel), ("stride", stride), ("dilation", dilation))
    )
    if isinstance(padding, str):
        if padding == "same":
            return -(-n // s) + 0 * (k + d)  # broadcast like the others
        if padding != "valid":
            raise ValueError(f'Padding must be a number, "valid" or "same". Received: padding={padding!r}')
        padding = 0
    p = _integers("padding", padding, least=0)
    return np.maximum((n + 2 * p - d * (k - 1) - 1) // s + 1, 0)


def same_padding(input_size: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """The zeros that Keras's "same" puts before and behind an axis: max((⌈n/s⌉ - 1) s + d(k - 1) + 1 - n, 0) in all.

    The odd one comes behind. Source: tensorflow.org/api_docs/python/tf/nn, "Notes on padding".

    Raises:
        ValueError: as `output_size`.

    Examples:
        >>> same_padding(28, 5), same_padding(28, 5, stride=2)
        ((2, 2), (1, 2))
    """
    windows = int(output_size(input_size, kernel, stride=stride, padding="same", dilation=dilation))
    zeros = max((windows - 1) * stride + dilation * (kernel - 1) + 1 - input_size, 0)
    return zeros // 2, zeros - zeros // 2


def dense_parameters(inputs: int, units: int, *, bias: bool = True) -> int:
    """n·m weights, and m biases."""
    return inputs * units + bias * units


def convolution_parameters(
    kernel: int | tuple[int, ...], channels: int, filters: int, *, groups: int = 1, bias: bool = True
) -> int:
    """h·w·(C / groups)·F weights, and F biases; a kernel that is one number is square.

    Raises:
        ValueError: groups that do not divide channels and filters.
    """
    sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
    if groups < 1 or channels % groups or filters % groups:
        raise ValueError(
            f"Groups must divide channels and filters. Received: groups={groups}, channels={channels}, filters={filters}"
        )
    return prod(sizes) * channels // groups * filters + bias * filters


def batch_normalization_parameters(channels: int, *, trainable_only: bool = False) -> int:
    """γ and β, which are trained, and the moving mean and variance, which are not: 4C, of which 2C are trained."""
    return (2 if trainable_only else 4) * channels


class Stage(NamedTuple):
    """One layer of a stack, square: a convolution, or a pooling where there are no filters.

    Attributes:
        kernel: k, or the size of the pooling's windows.
        filters: output channels; `None` for pooling, which keeps the channels.
        stride: s.
        padding: p, zeros on each side, or Keras's "valid" or "same".
    """

    kernel: int
    filters: int | None = None
    stride: int = 1
    padding: int | str = 0


class StageSize(NamedTuple):
    """What one layer of a stack gives and has.

    Attributes:
        shape: (height, width, channels) of its output.
        outputs: their product.
        weights: weights without biases; 0 of pooling.
        biases: one for each filter; 0 of pooling.
        multiplications: every weight is used at every place of the output.
    """

    shape: tuple[int, int, int]
    outputs: int
    weights: int
    biases: int
    multiplications: int


def convolution_stack(input_shape: tuple[int, int, int], stages: Iterable[Stage]) -> tuple[StageSize, ...]:
    """Sizes, parameters and multiplications of each layer of a stack.

    Args:
        input_shape: (height, width, channels).
        stages: the layers, from the input on.

    Raises:
        ValueError: when a number is no integer or out of range, or no window of a layer fits.

    Examples:
        >>> [size.shape for size in convolution_stack((28, 28, 1), [Stage(5, 8), Stage(2, stride=2)])]
        [(24, 24, 8), (12, 12, 8)]
    """
    (height, width, channels), found = input_shape, list[StageSize]()
    for place, stage in enumerate(stages):
        height, width = (
            int(output_size(n, stage.kernel, stride=stage.stride, padding=stage.padding)) for n in (height, width)
        )
        if not height or not width:
            raise ValueError(f"No window of layer {place} fits. Received: {stage}")
        filters = stage.filters or 0
        weights = convolution_parameters(stage.kernel, channels, filters, bias=False)
        channels = filters or channels
        places = height * width
        found.append(StageSize((height, width, channels), places * channels, weights, filters, places * weights))
    return tuple(found)


class Configuration(NamedTuple):
    """Settings of a convolution along one axis, as Keras counts them: a dilation of 1 is none (some texts say 0)."""

    kernel: int
    stride: int
    padding: int
    dilation: int


def convolution_configurations(
    input_size: int,
    sought_size: int,
    *,
    kernel: int | Iterable[int] | None = None,
    stride: int | Iterable[int] | None = None,
    padding: int | Iterable[int] | None = None,
    dilation: int | Iterable[int] | None = None,
) -> tuple[Configuration, ...]:
    """Every integer configuration with `output_size(input_size, ...) == sought_size`, in ascending order.

    A setting is a number, several to choose from, or `None` for all that make sense. These are finitely many: strides from 1
    to n; kernels and dilations that span at most n, d(k - 1) + 1 <= n (and, for k = 1, no dilation); padding less than the
    span, so that every window overlaps with the image.

    Args:
        input_size: n.
        sought_size: the size of the output; 1 or more.
        kernel: k.
        stride: s.
        padding: p, zeros on each side.
        dilation: d; 1 is none.

    Raises:
        ValueError: when a number is no integer or out of range.

    Examples:
        >>> convolution_configurations(32, 16, kernel=[3, 4], stride=2, dilation=1)
        (Configuration(kernel=3, stride=2, padding=1, dilation=1), Configuration(kernel=4, stride=2, padding=1, dilation=1))
    """
    n, sought = int(_integers("input_size", input_size, least=1)), int(_integers("sought_size", sought_size, least=1))
    kernels, dilations = _given("kernel", kernel, least=1), _given("dilation", dilation, least=1)
    strides, paddings = _given("stride", stride, least=1), _given("padding", padding, least=0)
    s = np.arange(1, n + 1) if strides is None else strides
    found: list[Configuration] = []
    for k in range(1, n + 1) if kernels is None else kernels.tolist():
        most = max((n - 1) // (k - 1), 1) if k > 1 else 1
        for d in range(1, most + 1) if dilations is None else dilations.tolist():
            span = d * (k - 1) + 1
            if kernels is None and span > n:
                continue
            p = np.arange(span) if paddings is None else paddings
            fits = output_size(n, k, stride=s[:, None], padding=p, dilation=d) == sought
            found += [Configuration(k, int(s[i]), int(p[j]), d) for i, j in np.argwhere(fits)]
    return tuple(sorted(found))


def _given(name: str, choice: int | Iterable[int] | None, *, least: int) -> npt.NDArray[np.int64] | None:
    if choice is None:
        return None
    return np.unique(_integers(name, list(choice) if isinstance(choice, Iterable) else choice, least=least))


def _integers(name: str, values: npt.ArrayLike, *, least: int) -> npt.NDArray[np.int64]:
    numbers = np.asarray(values)
    if not np.issubdtype(numbers.dtype, np.integer) or np.any(numbers < least):
        raise ValueError(f"{name} must be {least} or more, without a fraction. Received: {name}={numbers}")
    return numbers.astype(np.int64)
