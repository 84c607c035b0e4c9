"""Files without labels."""

from __future__ import annotations

import zoo.startup

# isort: split
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import DataError, UsageError
from zoo.evaluation.files import score_files


@pytest.mark.parametrize("name", ["softmax", "logistic"])
def test_files_get_the_scores_that_the_same_images_get_in_the_data(tmp_path, name):
    classes = None if name == "softmax" else (3, 5)
    data = zoo.load_dataset("digits", classes=classes, input_range=(-1, 1))
    model = zoo.build(name, (8, 8, 1), data.num_classes)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for file, image in zip(files, data.test.inputs, strict=False):
        Image.fromarray(image[..., 0]).save(file)
    expected = zoo.evaluate(model, data.test.subset(np.arange(5))).predictions.filter(like="p(").to_numpy()
    np.testing.assert_allclose(score_files(model, files, data.test, batch_size=2), expected, atol=1e-6)


def test_what_cannot_be_scored_is_named(tmp_path):
    data, points = zoo.load_dataset("digits"), zoo.load_dataset("blobs")
    (tmp_path / "broken.png").write_text("no image")
    model = zoo.build("softmax", (8, 8, 1), 10)
    with pytest.raises(DataError, match=r"broken\.png"):
        score_files(model, [tmp_path / "broken.png"], data.test)
    with pytest.raises(UsageError, match="one or more"):
        score_files(model, [], data.test)
    with pytest.raises(UsageError, match=r"a list of one or more images. Received: 'a\.png'"):
        score_files(model, "a.png", data.test)
    for batch_size in (0, 2.5):
        with pytest.raises(UsageError, match=f"batch_size={batch_size}"):
            score_files(model, ["a.png"], data.test, batch_size=batch_size)
    with pytest.raises(UsageError, match="uint8"):
        score_files(model, ["a.png"], points.test)
    with pytest.raises(UsageError, match=r"the model takes inputs of shape \(8, 8, 3\)"):
        score_files(zoo.build("softmax", (8, 8, 3), 10), ["a.png"], data.test)
