"""scikit-learn's side of the race: a pass of `partial_fit` an epoch, on float32 arrays."""

from __future__ import annotations

import warnings

import numpy as np
from samples import CLASSES
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from stopwatch import Job, Stopwatch


def sklearn(job: Job, watch: Stopwatch) -> float:
    """`SGDClassifier` (a step after each image, one class against the rest) or `MLPClassifier`."""
    arrays, task = job.arrays(), job.task
    x, x_test = (images.reshape(len(images), -1).astype("float32") / 255 for images in (arrays.x, arrays.x_test))
    if task.model == "softmax":
        model = SGDClassifier(loss="log_loss", alpha=0, learning_rate="constant", eta0=0.001, n_jobs=-1)
    else:
        model = MLPClassifier(task.units, batch_size=task.batch_size, learning_rate_init=task.learning_rate, alpha=0)
    watch.ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one epoch has not converged
        for _ in range(watch.epochs):
            model.partial_fit(x, arrays.y, classes=np.arange(CLASSES))
            watch.lap()
    return float(model.score(x_test, arrays.y_test))
