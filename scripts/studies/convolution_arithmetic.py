"""What does a convolution compute, how large is its output, and which settings give a wanted size?

Command:  python scripts/study.py run convolution_arithmetic
Runtime:  about 5 s on 2 cores, 4 of them for TensorFlow to start.
Expected: [1, 2, 3, 4] * [1, 0, 2] is [1, 2, 5, 8, 6, 8] full, [5, 8] valid, [2, 5, 8, 6] same; 256x256x3 through 64 filters of 8x8 at
          stride 2, 5x5 pooling and 128 filters of 4x4 with padding 1: 73,728 outputs, 131,072 weights in the last layer.
Source:   coursework; Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

from zoo.drawing import INK
from zoo.inspection import plot_matrices
from zoo.reference import Stage, convolution_configurations, convolution_stack, convolve, cross_correlate, output_size
from zoo.reporting.study import StudyReport

SIGNAL, KERNEL = (1, 2, 3, 4), (1, 0, 2)
EXPECTED = {"full": (1, 2, 5, 8, 6, 8), "valid": (5, 8), "same": (2, 5, 8, 6)}
KEPT = {"valid": range(2, 4), "same": range(1, 5)}  # of the full convolution
INPUT = (256, 256, 3)
STACK = {
    "64 filters 8x8, stride 2": Stage(8, 64, stride=2),
    "5x5 max-pooling": Stage(5, stride=5),
    "128 filters 4x4, padding 1": Stage(4, 128, padding=1),
}
WANTED: dict[str, tuple[int, int, dict[str, Any]]] = {  # key -> (input, output, what is known)
    "alexnet": (227, 55, {"kernel": 11, "dilation": 1}),
    "halving": (32, 16, {"stride": 2, "dilation": 1, "kernel": range(1, 8)}),
    "same_size": (28, 28, {"stride": 1, "kernel": (3, 5)}),
    "anything": (12, 4, {}),
}


def run(options: StudyOptions, report: StudyReport) -> None:
    """By definition, by formula, and backwards from the sizes; whole numbers, so there is no cut."""
    report.settings.update(signal=SIGNAL, kernel=KERNEL, stack={k: tuple(s) for k, s in STACK.items()}, input=INPUT)
    for mode, expected in EXPECTED.items():
        found = convolve(SIGNAL, KERNEL, mode=mode)
        gap = np.abs(found - expected).max() if len(found) == len(expected) else np.inf
        label = f"{list(SIGNAL)} * {list(KERNEL)}, {mode}: largest difference from {list(expected)}"
        report.check(f"convolution_{mode}", label, gap, 0, 0)
    stack = pd.DataFrame(convolution_stack(INPUT, STACK.values()), index=pd.Index(STACK, name="layer")).reset_index()
    report.table("The stack", stack)
    report.check("stack_outputs", "outputs of the stack", stack["outputs"].iloc[-1], 73_728, 0)
    report.check("stack_weights", "weights of its last layer", stack["weights"].iloc[-1], 131_072, 0)
    parameters = stack["weights"].sum() + stack["biases"].sum()
    report.value("stack_parameters", parameters, label="weights and biases of the whole stack")
    counts = {key: solve(report, key, *wanted) for key, wanted in WANTED.items()}
    report.figure("sliding", draw_sliding(), "Full convolution: the flipped kernel is slid over the signal.")
    kernels, strides = pd.RangeIndex(1, 12, name="kernel k"), pd.RangeIndex(1, 7, name="stride s")
    sizes = pd.DataFrame(output_size(32, kernels, stride=strides.to_numpy()[:, None]), strides, kernels)
    figure = plot_matrices({"⌊(32 - k) / s⌋ + 1": sizes}, numbers="d")
    report.figure("sizes", figure, "Output sizes of 32 inputs by kernel and stride, without padding.")
    answer(report, stack, counts)


def solve(report: StudyReport, key: str, size: int, sought: int, known: dict[str, Any]) -> tuple[pd.DataFrame, int]:
    """The configurations that fit, and how many there are for any size; the windows of each are counted one by one."""
    by_size = {n: convolution_configurations(size, n, **known) for n in range(2 * size)[1:]}
    everything = [(n, setting) for n, settings in by_size.items() for setting in settings]
    wrong = sum(len(range(-p, size + p - d * (k - 1), s)) != n for n, (k, s, p, d) in everything)
    frame = pd.DataFrame(by_size[sought], columns=["kernel", "stride", "padding", "dilation_rate"])
    frame["dilation_from_0"] = frame["dilation_rate"] - 1
    label = f"{size} -> {sought} with {known or 'nothing known'}: configurations"
    report.value(f"{key}_solutions", len(frame), label=label)
    label = f"{key}: configurations of {len(everything)}, for any size, whose windows counted one by one are others"
    report.check(f"{key}_windows", label, wrong, 0, 0)
    report.table(f"Configurations {size} to {sought} ({key})", frame)
    return frame, len(everything)


def draw_sliding() -> Figure:
    """One row a step: the signal with zeros, the flipped kernel below it, and what comes out."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes, pad, full = figure.subplots(), len(KERNEL) - 1, convolve(SIGNAL, KERNEL)
    padded = [0] * pad + list(SIGNAL) + [0] * pad
    for step, value in enumerate(full):
        for place, entry in enumerate(padded):
            covered, is_signal = step <= place < step + len(KERNEL), pad <= place < pad + len(SIGNAL)
            colour, ink = ("#cfe0fd" if is_signal else "#f0f0f0") if covered else "white", INK if is_signal else "0.55"
            text = f"{entry}·{KERNEL[::-1][place - step]}" if covered else str(entry)
            box = {"boxstyle": "square,pad=0.45", "facecolor": colour, "edgecolor": "0.8"}
            axes.text(place, -step, text, ha="center", va="center", color=ink, bbox=box)
        modes = ", ".join(["full", *(mode for mode in ("same", "valid") if step in KEPT[mode])])
        axes.text(len(padded) + 0.3, -step, f"= {value:.0f}   {modes}", va="center", fontsize=12, color=INK)
    axes.set(xlim=(-0.7, len(padded) + 3.2), ylim=(-len(full) + 0.4, 0.6))
    flipped = f"{list(SIGNAL)} * {list(KERNEL)}: signal times the flipped kernel {list(KERNEL[::-1])}"
    axes.set_title(f"{flipped}; which modes keep the number", fontsize=10)
    axes.axis("off")
    return figure


def answer(report: StudyReport, stack: pd.DataFrame, counts: dict[str, tuple[pd.DataFrame, int]]) -> None:
    """Answers the why-questions from the numbers."""
    slid = cross_correlate(SIGNAL, KERNEL).astype(int).tolist()
    report.answer(
        "Why is the kernel flipped?",
        "So that the order does not matter (x * k = k * x) and the response to an impulse is the kernel itself. Keras's layers do not flip: "
        f"they give {slid} where the valid convolution is {list(EXPECTED['valid'])}. A kernel that is learned is learned flipped.",
    )
    first, last = stack.iloc[0], stack.iloc[-1]
    report.answer(
        "Where are the weights, and where is the work?",
        f"The last layer has {last['weights']:,} weights against {first['weights']:,} of the first, since each of its filters spans all 64 "
        f"channels; but the first makes {first['multiplications']:,} multiplications against {last['multiplications']:,}, at "
        f"{first['shape'][0]}x{first['shape'][1]} places. Pooling has no weight.",
    )
    (alexnet, _), (anything, tried) = counts["alexnet"], counts["anything"]
    strides = "; ".join(f"stride {row.stride}, padding {row.padding}" for row in alexnet.itertuples())
    report.answer(
        "Which settings give a wanted size?",
        f"Several, since ⌊·⌋ forgets the remainder: AlexNet's 227 -> 55 with an 11x11 kernel has {len(alexnet)} ({strides}); 12 -> 4 with "
        f"nothing known has {len(anything)} of {tried}. Where a text counts a dilation of 0 as none, Keras's dilation_rate is that plus 1.",
    )
