"""The floor under a step: its matrix products and convolutions alone, forward and backward, in a step's order.

No bias, activation, pooling, loss, optimizer or data; operands lie ready. What a real step takes beyond this is overhead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zoo.startup  # noqa: F401  (before TensorFlow)

import tensorflow as tf
from samples import CLASSES
from stopwatch import Job, Stopwatch
from tasks import Task

_PREPARED = 2  # batches of operands that the steps take in turn
Product = Callable[[tf.Tensor], tf.Tensor]


def floor(job: Job, watch: Stopwatch) -> None:
    """As many steps as an epoch has, in one graph call."""
    dtype = tf.bfloat16 if job.precision == "bfloat16" else tf.float32
    batch_size = job.task.batch_size
    shape = job.arrays().x.shape[1:]
    products = _in_order([layer(batch_size, dtype) for layer in _layers(job.task, shape)])
    run = steps_in_graph(products, -(-job.images // batch_size))
    watch.ready()
    for _ in range(watch.epochs):
        run()
        watch.lap()


def steps_in_graph(products: Sequence[Product], steps: int) -> Callable[[], tuple[tf.Tensor, ...]]:
    """A graph call that runs all products in order, so many times; it gives that number and the last results."""
    start = (tf.constant(0), *(tf.zeros_like(product(tf.constant(0))) for product in products))

    def run() -> tuple[tf.Tensor, ...]:
        def step(number: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            results: list[tf.Tensor] = []
            for product in products:
                with tf.control_dependencies(results[-1:]):  # one after the other, as in a network
                    results.append(product(tf.identity(number) % _PREPARED))
            with tf.control_dependencies(results[-1:]):
                return (number + 1, *results)

        # The results are the loop's state and are given back, so that none is optimised away.
        return tuple(tf.while_loop(lambda number, *_: number < steps, step, start, parallel_iterations=1))

    compiled: Callable[[], tuple[tf.Tensor, ...]] = tf.function(run)
    return compiled


class Layer:
    """Three products of a layer: forward, for its input, and for its weights.

    Args:
        inputs: shape of an input without the batch axis.
        weights: shape of the weights.
        outputs: shape of an output without the batch axis.
        is_first: whether no gradient of the input is needed.
    """

    def __init__(
        self, inputs: Sequence[int], weights: Sequence[int], outputs: Sequence[int], is_first: bool = False
    ) -> None:
        self.inputs, self.weights, self.outputs, self.is_first = inputs, weights, outputs, is_first

    def __call__(self, batch_size: int, dtype: tf.DType) -> list[Product]:
        """The products, each a function of the number of a prepared batch."""
        x, w, dy = (
            tf.cast(tf.random.stateless_normal(shape, [0, 0], stddev=0.1), dtype)
            for shape in (
                (_PREPARED * batch_size, *self.inputs),
                self.weights,
                (_PREPARED * batch_size, *self.outputs),
            )
        )

        def batch(operand: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            rest = operand.shape[1:]  # a slice of the first axis is no copy
            return tf.slice(operand, [number * batch_size] + [0] * len(rest), [batch_size, *rest])

        def forward(number: tf.Tensor) -> tf.Tensor:
            return self._forward(batch(x, number), w)

        def for_weights(number: tf.Tensor) -> tf.Tensor:
            return self._for_weights(batch(x, number), batch(dy, number))

        def for_input(number: tf.Tensor) -> tf.Tensor:
            return self._for_input(w, batch(dy, number))

        return [forward, for_weights] if self.is_first else [forward, for_weights, for_input]

    def _forward(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, w)

    def _for_weights(self, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, dy, transpose_a=True)

    def _for_input(self, w: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        return tf.matmul(dy, w, transpose_b=True)


class Convolution(Layer):
    """A 3x3 convolution with padding "same"."""

    def _forward(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, w, 1, "SAME")

    def _for_weights(self, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=self.weights, out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
        )

    def _for_input(self, w: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        sizes = [dy.shape[0], *self.inputs]
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes, filter=w, out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
        )


def _layers(task: Task, shape: Sequence[int]) -> list[Layer]:
    """The layers with weights of an mlp or a cnn, the classifier included."""
    height, width, channels = shape
    layers: list[Layer] = []
    for filters in task.options.get("filters", ()):
        layers.append(
            Convolution(
                (height, width, channels), (3, 3, channels, filters), (height, width, filters), is_first=not layers
            )
        )
        height, width, channels = height // 2, width // 2, filters
    before = height * width * channels
    for after in (*task.units, CLASSES):
        layers.append(Layer((before,), (before, after), (after,), is_first=not layers))
        before = after
    return layers


def _in_order(layers: list[list[Product]]) -> list[Product]:
    """All forward products, then the others from the last layer to the first."""
    return [layer[0] for layer in layers] + [product for layer in reversed(layers) for product in layer[1:]]
