"""The moving statistics of batch normalisation, measured anew."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.data.split import Split


def measure_statistics(model: keras.Model, split: Split, *, batch_size: int = 64) -> None:
    """Sets the means and variances that batch normalisation uses in inference to those of a split, without dropout.

    Training measures them behind layers of dropout, which makes variances larger than they are in inference: the "variance
    shift" of Li et al., 2019, Understanding the disharmony between dropout and batch normalization (arXiv:1801.05134). It also
    weighs the last batches most, whose images were augmented. Here each is the mean over the whole batches of one pass. No
    other weight changes; a model without batch normalisation stays as it is.

    Args:
        model: any built model.
        split: what is measured on, as a rule the training images.
        batch_size: images a batch, which meet by chance, always the same; a last partial batch is left out where there is a
            whole one.
    """
    layers = list(model._flatten_layers())
    normalizations = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    dropouts = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
    kept = [layer.momentum for layer in normalizations], [layer.rate for layer in dropouts]
    try:
        for layer in dropouts:
            layer.rate = 0.0
        whole = len(split) >= batch_size
        for i, (images, _) in enumerate(split.batches(batch_size, shuffle=True, drop_remainder=whole)):
            for layer in normalizations:
                layer.momentum = i / (i + 1)  # so that the moving average is the mean of all batches so far
            model(images, training=True)
    finally:
        for of_kind, values, name in zip((normalizations, dropouts), kept, ("momentum", "rate"), strict=True):
            for layer, value in zip(of_kind, values, strict=True):
                setattr(layer, name, value)
