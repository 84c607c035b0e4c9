"""What are the deltas and gradients of a small network, written out by hand, and does automatic differentiation agree?

Command:  python scripts/study.py run backpropagation
Runtime:  about 5 s on 2 cores, 4 of them for TensorFlow to start.
Expected: every δ and ∂E/∂w of a three-layer logistic network with identity output and squared error, and of convolution + σ,
          2x2 max-pooling and a dense σ, equal TensorFlow's within 1e-12.
Source:   coursework; Nielsen, Neural Networks and Deep Learning, chapters 2 (the four equations) and 6 (their form for a
          convolution, left to the reader).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from studies.options import StudyOptions

from zoo.inspection import plot_matrices, plot_network
from zoo.reference import sigmoid
from zoo.reporting.study import StudyReport

SIZES = (2, 3, 2, 1)
IMAGE, KERNEL, FILTERS, OUTPUTS = 6, 3, 2, 3
TOLERANCE = 1e-12
Arrays = dict[str, np.ndarray]


def run(options: StudyOptions, report: StudyReport) -> None:
    """Both networks by hand and by TensorFlow; they are small, so there is no cut."""
    report.settings.update(sizes=SIZES, image=IMAGE, kernel=KERNEL, filters=FILTERS, outputs=OUTPUTS)
    random = np.random.default_rng(options.seed)
    kernels = [random.normal(size=pair) for pair in pairwise(SIZES)]
    biases = [random.normal(size=size) for size in SIZES[1:]]
    x, y = random.normal(size=SIZES[0]), random.normal(size=SIZES[-1])
    dense = dense_by_hand(kernels, biases, x, y)
    compare(report, "dense", dense, dense_by_tape(kernels, biases, x, y))
    report.table("Dense network, every number", as_rows(dense))
    report.figure("dense", draw_dense(dense), "2-3-2-1: a and δ in the units, ∂E/∂w on the connections.")

    weights = {
        "kernel": random.normal(size=(KERNEL, KERNEL, FILTERS)),
        "kernel_bias": random.normal(size=FILTERS),
        "dense": random.normal(size=(((IMAGE - KERNEL + 1) // 2) ** 2 * FILTERS, OUTPUTS)),
        "dense_bias": random.normal(size=OUTPUTS),
    }
    image, target = random.normal(size=(IMAGE, IMAGE)), random.random(OUTPUTS)
    conv = convolution_by_hand(weights, image, target)
    compare(report, "convolution", conv, convolution_by_tape(weights, image, target))
    report.table("Convolutional network, every number", as_rows(conv))
    drawn = {name: conv[name][..., 0] for name in ("a1", "pooled", "∂E/∂kernel", "δ1", "δpool")}
    caption = "Filter 0, forwards (above) and backwards (below): pooling sends δ to the maxima alone."
    report.figure("convolution", plot_matrices({"x": image} | drawn, columns=3), caption)
    answer(report, dense, conv)


def compare(report: StudyReport, name: str, by_hand: Arrays, by_tape: Arrays) -> None:
    """Each δ and each gradient against TensorFlow's."""
    for key, array in by_tape.items():
        short = key.replace("∂E/∂", "gradient_").replace("δ", "delta_")
        label = f"{name}: {key} by hand and by TensorFlow, largest difference"
        report.check(f"{name}_{short}", label, np.abs(by_hand[key] - array).max(), 0.0, TOLERANCE)


def dense_by_hand(kernels: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> Arrays:
    """The four equations for σ, σ, identity and E = mean (a - y)²: δ³ = 2(a³ - y)/K, δˡ = σ'(zˡ) ∘ Wˡ⁺¹ δˡ⁺¹, a δ and δ."""
    a = [x]
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        a.append(sigmoid(a[-1] @ kernel + bias))
    a.append(a[-1] @ kernels[-1] + biases[-1])
    found, delta = {f"a{i}": value for i, value in enumerate(a)}, 2 * (a[-1] - y) / len(y)
    for layer in range(len(kernels), 0, -1):
        found[f"δ{layer}"] = delta
        found[f"∂E/∂W{layer}"] = a[layer - 1][:, None] * delta[None, :]
        found[f"∂E/∂b{layer}"] = delta
        if layer > 1:
            delta = a[layer - 1] * (1 - a[layer - 1]) * (kernels[layer - 1] @ delta)
    return found


def dense_by_tape(kernels: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> Arrays:
    """The same by automatic differentiation."""
    weights = [tf.constant(w) for w in (*kernels, *biases)]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        z, a = [], tf.constant(x[None])
        for i in range(3):
            z.append(a @ weights[i] + weights[3 + i])
            a = tf.sigmoid(z[-1]) if i < 2 else z[-1]
        loss = tf.reduce_mean((a - y) ** 2)
    deltas, gradients = tape.gradient(loss, [z, weights])
    names = [f"∂E/∂{letter}{i}" for letter in "Wb" for i in (1, 2, 3)]
    return {f"δ{i}": d.numpy()[0] for i, d in enumerate(deltas, 1)} | {
        n: g.numpy() for n, g in zip(names, gradients, strict=True)
    }


def convolution_by_hand(weights: Arrays, x: np.ndarray, y: np.ndarray) -> Arrays:
    """The four equations of a valid convolution, σ, 2x2 max-pooling and a dense σ, index by index."""
    size = IMAGE - KERNEL + 1
    z1 = np.zeros((size, size, FILTERS))
    for j, k, f in np.ndindex(z1.shape):
        z1[j, k, f] = (x[j : j + KERNEL, k : k + KERNEL] * weights["kernel"][..., f]).sum() + weights["kernel_bias"][f]
    a1 = sigmoid(z1)
    pooled = np.zeros((size // 2, size // 2, FILTERS))
    for j, k, f in np.ndindex(pooled.shape):
        pooled[j, k, f] = a1[2 * j : 2 * j + 2, 2 * k : 2 * k + 2, f].max()
    a2 = sigmoid(pooled.ravel() @ weights["dense"] + weights["dense_bias"])

    delta2 = 2 * (a2 - y) / len(y) * a2 * (1 - a2)  # the first equation: the output
    of_pool = (weights["dense"] @ delta2).reshape(pooled.shape)
    delta1 = np.zeros_like(a1)  # the second: σ' times what the pooled value hands back, if it is this one
    for j, k, f in np.ndindex(a1.shape):
        a, window = a1[j, k, f], (j // 2, k // 2, f)
        delta1[j, k, f] = a * (1 - a) * (a == pooled[window]) * of_pool[window]
    of_kernel = np.zeros_like(weights["kernel"])  # the fourth: a shared weight sums over all places that use it
    for u, v, f in np.ndindex(of_kernel.shape):
        of_kernel[u, v, f] = (x[u : u + size, v : v + size] * delta1[..., f]).sum()
    found = {"a1": a1, "pooled": pooled, "a2": a2, "δ1": delta1, "δpool": of_pool, "δ2": delta2}
    found |= {"∂E/∂kernel": of_kernel, "∂E/∂kernel_bias": delta1.sum(axis=(0, 1))}  # the third: so does a shared bias
    return found | {"∂E/∂dense": np.outer(pooled.ravel(), delta2), "∂E/∂dense_bias": delta2}


def convolution_by_tape(weights: Arrays, x: np.ndarray, y: np.ndarray) -> Arrays:
    """The same by automatic differentiation."""
    tensors = {name: tf.constant(array) for name, array in weights.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        z1 = tf.nn.conv2d(x[None, :, :, None], tensors["kernel"][:, :, None, :], 1, "VALID") + tensors["kernel_bias"]
        pooled = tf.nn.max_pool2d(tf.sigmoid(z1), 2, 2, "VALID")
        z2 = tf.reshape(pooled, [1, -1]) @ tensors["dense"] + tensors["dense_bias"]
        loss = tf.reduce_mean((tf.sigmoid(z2) - y) ** 2)
    deltas, gradients = tape.gradient(loss, [{"δ1": z1, "δpool": pooled, "δ2": z2}, tensors])
    return {n: d.numpy()[0] for n, d in deltas.items()} | {f"∂E/∂{n}": g.numpy() for n, g in gradients.items()}


def as_rows(found: Arrays) -> pd.DataFrame:
    """One row a number; places are counted from 0."""
    entries = [(name, place, value) for name, array in found.items() for place, value in np.ndenumerate(array)]
    rows = [(name, ", ".join(map(str, place)), value) for name, place, value in entries]
    return pd.DataFrame(rows, columns=["what", "place", "value"])


def draw_dense(found: Arrays) -> Figure:
    """Units with a and δ; connections as thick as their gradient."""
    units = [[f"a = {a:+.3f}" for a in found["a0"]]]
    for k in range(1, len(SIZES)):
        units.append([f"a = {a:+.3f}\nδ = {d:+.3f}" for a, d in zip(found[f"a{k}"], found[f"δ{k}"], strict=True)])
    gradients = [found[f"∂E/∂W{k}"] for k in range(1, len(SIZES))]
    title = "∂E/∂w on the connections: red positive, blue negative, as thick as it is large"
    return plot_network(units, gradients, layers=("input", "σ", "σ", "identity"), title=title)


def answer(report: StudyReport, dense: Arrays, conv: Arrays) -> None:
    """Answers the why-questions from the numbers."""
    ratio = np.abs(dense["δ1"]).max() / np.abs(dense["δ3"]).max()
    report.answer(
        "Why does δ of the output have no σ'?",
        f"The output is the identity, whose derivative is 1: δ3 = 2(a3 - y) = {dense['δ3'][0]:+.4f} (E is the mean square as in Keras; with "
        f"the textbook's ½ it is a3 - y). The hidden layers each bring a factor σ' <= 1/4: the largest |δ1| is {ratio:.3f} of it.",
    )
    zeros = int((conv["δ1"] == 0).sum())
    report.answer(
        "What does max-pooling change in the equations?",
        "It has no weights. Backwards it hands each δ to the largest entry of its window and 0 to the three others: "
        f"{zeros} of {conv['δ1'].size} entries of δ1 are exactly 0, the others σ' times what the dense layer hands back.",
    )
    report.answer(
        "What does weight sharing change?",
        f"A kernel's weight is used at {conv['δ1'][..., 0].size} places, so its gradient is the sum over them, a correlation of the input with "
        "δ1, and the bias's is the sum of δ1. Only windows' maxima contribute: a quarter of the places.",
    )
