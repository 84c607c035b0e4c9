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

from zoo.reference import convolution_configurations, convolution_parameters, convolve, cross_correlate, output_size
from zoo.reporting.study import StudyReport
from zoo.training.curves import INK

SIGNAL, KERNEL = (1, 2, 3, 4), (1, 0, 2)
EXPECTED = {"full": (1, 2, 5, 8, 6, 8), "valid": (5, 8), "same": (2, 5, 8, 6)}
STACK = (  # layer, kernel, filters (None for pooling), stride, padding
    ("64 filters 8x8, stride 2", 8, 64, 2, 0),
    ("5x5 max-pooling", 5, None, 5, 0),
    ("128 filters 4x4, padding 1", 4, 128, 1, 1),
)
WANTED: dict[str, tuple[int, int, dict[str, Any]]] = {  # key -> (input, output, what is known)
    "alexnet": (227, 55, {"kernel": 11, "dilation": 1}),
    "halving": (32, 16, {"stride": 2, "dilation": 1, "kernel": range(1, 8)}),
    "same_size": (28, 28, {"stride": 1, "kernel": (3, 5)}),
    "anything": (12, 4, {}),
}


def run(options: StudyOptions) -> StudyReport:
    """By definition, by formula, and backwards from the sizes; whole numbers, so there is no cut."""
    report = StudyReport(
        "convolution_arithmetic",
        "What does a convolution compute, how large is its output, and which settings give a wanted size?",
        options.command("convolution_arithmetic"),
        {"signal": SIGNAL, "kernel": KERNEL, "stack": STACK, "input": (256, 256, 3)},
        options.seed,
    )
    for mode, expected in EXPECTED.items():
        found = convolve(SIGNAL, KERNEL, mode=mode)
        gap = np.abs(found - expected).max() if len(found) == len(expected) else np.inf
        report.check(
            f"convolution_{mode}",
            f"{list(SIGNAL)} * {list(KERNEL)}, {mode}: largest difference from {list(expected)}",
            gap,
            0,
            0,
        )
    table = stack()
    report.table("The stack", table)
    last = table.iloc[-1]
    report.check("stack_outputs", "outputs of the stack", last["outputs"], 73_728, 0)
    report.check("stack_weights", "weights of its last layer", last["weights"], 131_072, 0)
    report.value(
        "stack_parameters",
        table["weights"].sum() + table["biases"].sum(),
        label="weights and biases of the whole stack",
    )
    solutions = {key: solve(*wanted) for key, wanted in WANTED.items()}
    for key, (frame, tried) in solutions.items():
        size, sought, known = WANTED[key]
        report.value(
            f"{key}_solutions", len(frame), label=f"{size} -> {sought} with {known or 'nothing known'}: configurations"
        )
        report.check(
            f"{key}_windows",
            f"{key}: windows counted one by one and formula, configurations that differ of {tried}",
            wrong(size, sought, frame, known),
            0,
            0,
        )
        report.table(f"Configurations {size} to {sought} ({key})", frame)
    report.figure(
        "sliding", draw_sliding(), "Full convolution step by step: the kernel is flipped and slid over the signal."
    )
    report.figure("sizes", draw_sizes(32), "Output sizes of 32 inputs by kernel and stride, without padding.")
    answer(report, table, solutions)
    return report


def stack() -> pd.DataFrame:
    """Shapes, weights and multiplications of each layer."""
    rows, size, channels = [], 256, 3
    for name, kernel, filters, stride, padding in STACK:
        size = int(output_size(size, kernel, stride=stride, padding=padding))
        weights = 0 if filters is None else convolution_parameters(kernel, channels, filters, bias=False)
        channels = filters or channels
        shape = f"{size}x{size}x{channels}"
        rows.append((name, shape, size * size * channels, weights, channels if filters else 0, size * size * weights))
    return pd.DataFrame(rows, columns=["layer", "output", "outputs", "weights", "biases", "multiplications"])


def solve(size: int, sought: int, known: dict[str, Any]) -> tuple[pd.DataFrame, int]:
    """All that fits, with the dilation as Keras and as texts that count from 0 have it; and how many were looked through."""
    found = convolution_configurations(size, sought, **known)
    frame = pd.DataFrame(found, columns=["kernel", "stride", "padding", "dilation_rate"])
    frame["dilation_from_0"] = frame["dilation_rate"] - 1
    return frame, len(candidates(size, known))


def candidates(size: int, known: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """Every (kernel, stride, padding, dilation) that makes sense: the kernel spans at most the input, and overlaps it."""

    def choices(name: str, otherwise: range) -> list[int]:
        chosen = known.get(name, otherwise)
        return [chosen] if isinstance(chosen, int) else list(chosen)

    found = []
    for k in choices("kernel", range(1, size + 1)):
        for d in choices("dilation", range(1, max((size - 1) // (k - 1), 1) + 1) if k > 1 else range(1, 2)):
            span = d * (k - 1) + 1
            for s in choices("stride", range(1, size + 1)):
                found += [(k, s, p, d) for p in choices("padding", range(span))]
    return found


def wrong(size: int, sought: int, frame: pd.DataFrame, known: dict[str, Any]) -> int:
    """How many candidates the solver and a count of windows, one by one, judge differently."""
    solved = set(frame[["kernel", "stride", "padding", "dilation_rate"]].itertuples(index=False, name=None))
    count = 0
    for k, s, p, d in candidates(size, known):
        windows = len(range(-p, size + p - d * (k - 1), s))  # places where the first entry of the kernel can stand
        count += ((k, s, p, d) in solved) != (windows == sought)
    return count


def draw_sliding() -> Figure:
    """One row a step: the signal with zeros, the flipped kernel below it, and what comes out."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    pad, full = len(KERNEL) - 1, convolve(SIGNAL, KERNEL)
    padded = [0] * pad + list(SIGNAL) + [0] * pad
    kept = {n: mode for mode in ("same", "valid") for n in kept_places(mode)}
    for step, value in enumerate(full):
        for place, entry in enumerate(padded):
            covered = step <= place < step + len(KERNEL)
            is_signal = pad <= place < pad + len(SIGNAL)
            colour = ("#cfe0fd" if is_signal else "#f0f0f0") if covered else "white"
            weight = f"·{KERNEL[::-1][place - step]}" if covered else ""
            axes.text(
                place,
                -step,
                f"{entry}{weight}",
                ha="center",
                va="center",
                fontsize=10,
                color=INK if is_signal else "0.55",
                bbox={"boxstyle": "square,pad=0.45", "facecolor": colour, "edgecolor": "0.8"},
            )
        mode = {"valid": "full, same, valid", "same": "full, same"}.get(kept.get(step, ""), "full")
        axes.text(len(padded) + 0.3, -step, f"= {value:.0f}", va="center", fontsize=12, color=INK)
        axes.text(len(padded) + 1.3, -step, mode, va="center", fontsize=10, color=INK)
    axes.set(xlim=(-0.7, len(padded) + 3.2), ylim=(-len(full) + 0.4, 0.6))
    axes.set_title(
        f"{list(SIGNAL)} * {list(KERNEL)}: signal times the flipped kernel {list(KERNEL[::-1])}; which modes keep the number",
        fontsize=10,
    )
    axes.axis("off")
    return figure


def kept_places(mode: str) -> range:
    """Which of the full convolution's numbers a mode keeps."""
    short = min(len(SIGNAL), len(KERNEL))
    start = short - 1 if mode == "valid" else (short - 1) // 2
    return range(start, start + len(EXPECTED[mode]))


def draw_sizes(size: int) -> Figure:
    """Kernel against stride."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    kernels, strides = np.arange(1, 12), np.arange(1, 7)
    sizes = output_size(size, kernels[None, :], stride=strides[:, None])
    axes.imshow(sizes, cmap="Blues", norm="log", aspect="auto")
    for (i, j), number in np.ndenumerate(sizes):
        axes.text(j, i, str(number), ha="center", va="center", color="white" if number > 12 else INK)
    axes.set_xticks(range(len(kernels)), [str(k) for k in kernels])
    axes.set_yticks(range(len(strides)), [str(s) for s in strides])
    axes.set(xlabel="kernel k", ylabel="stride s")
    axes.set_title(f"⌊({size} - k) / s⌋ + 1", fontsize=11)
    return figure


def answer(report: StudyReport, table: pd.DataFrame, solutions: dict[str, tuple[pd.DataFrame, int]]) -> None:
    """Answers the why-questions from the numbers."""
    slid = cross_correlate(SIGNAL, KERNEL).astype(int).tolist()
    report.answer(
        "Why is the kernel flipped?",
        "So that the order does not matter (x * k = k * x) and the response to an impulse is the kernel itself. Keras's layers do not flip: they give "
        f"{slid} where the valid convolution is {list(EXPECTED['valid'])}. A kernel that is learned is learned flipped.",
    )
    first, last = table.iloc[0], table.iloc[-1]
    report.answer(
        "Where are the weights, and where is the work?",
        f"The last layer has {last['weights']:,} weights against {first['weights']:,} of the first, since each of its filters spans all 64 channels; but the first makes "
        f"{first['multiplications']:,} multiplications against {last['multiplications']:,}, at {first['output']} places. Pooling has no weight.",
    )
    frame = solutions["alexnet"][0]
    strides = ", ".join(f"stride {s}, padding {p}" for s, p in zip(frame["stride"], frame["padding"], strict=True))
    report.answer(
        "Which settings give a wanted size?",
        f"Several, since ⌊·⌋ forgets the remainder: AlexNet's 227 -> 55 with an 11x11 kernel has {len(frame)} ({strides}); 12 -> 4 with nothing known has "
        f"{len(solutions['anything'][0])} of {solutions['anything'][1]}. Where a text counts a dilation of 0 as none, Keras's dilation_rate is that plus 1.",
    )
