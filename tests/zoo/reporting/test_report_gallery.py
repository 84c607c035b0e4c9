"""Every test example with its scores and its picture."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_examples import make_evaluation
from report_pages import ATTACK, payload_of, written

from zoo.reporting.formatting import below_common_folder
from zoo.reporting.page import write_report


def test_the_payload_holds_every_score(tmp_path):
    evaluation = make_evaluation()
    payload = payload_of(written(tmp_path, evaluation=evaluation))
    scores = np.array(payload["scores"]).reshape(40, 3) / 1e4
    np.testing.assert_allclose(scores, evaluation.predictions.filter(like="p("), atol=5e-5)
    assert payload["shown"] is None
    assert [payload["classes"][k] for k in payload["true"]] == evaluation.predictions["true"].tolist()


def test_of_many_classes_the_best_five_are_shown_and_the_true_one_always(tmp_path):
    evaluation = make_evaluation(num_examples=60, class_names=tuple(f"c{i}" for i in range(50)))
    payload = payload_of(written(tmp_path, evaluation=evaluation))
    shown = np.array(payload["shown"]).reshape(60, 5)
    all_scores = evaluation.predictions.filter(like="p(").to_numpy()
    assert (shown[:, 0] == all_scores.argmax(axis=1)).all()
    assert (shown == np.array(payload["true"])[:, None]).any(axis=1).all()
    np.testing.assert_allclose(
        np.array(payload["scores"]).reshape(60, 5) / 1e4, np.take_along_axis(all_scores, shown, 1), atol=5e-5
    )


def sprite_of(page: str, i: int) -> np.ndarray:
    """The picture that the script shows for example `i`, cut out as the script does."""
    sprite = payload_of(page)["sprite"]
    sheets = re.findall(r'url\("data:image/\w+;base64,([^"]+)"', page)
    sheet, place = divmod(i, sprite["columns"] * sprite["rows"])
    row, column = divmod(place, sprite["columns"])
    x, y = column * sprite["cell"][0], row * sprite["cell"][1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheets[sheet]))))
    return picture[y : y + sprite["height"], x : x + sprite["width"]]


def test_every_digit_is_in_its_place_bit_by_bit(tmp_path):
    evaluation = make_evaluation(num_examples=1500, image_shape=(28, 20, 1))  # more than one sheet
    page = written(tmp_path, evaluation=evaluation)
    assert page.count("data:image/png") == 1 + (1500 - 1) // ((1024 // 20) * (1024 // 28))
    for i in (0, 50, 51, 1400, 1499):
        np.testing.assert_array_equal(sprite_of(page, i), evaluation.images[i, ..., 0])


def test_large_images_become_thumbnails_of_96_pixels(tmp_path):
    evaluation = make_evaluation(num_examples=5, image_shape=(300, 200, 3))
    flat = np.full_like(evaluation.images, 77)
    page = written(tmp_path, evaluation=dataclasses.replace(evaluation, images=flat))
    assert payload_of(page)["sprite"] | {"width": 64, "height": 96} == payload_of(page)["sprite"]
    assert (sprite_of(page, 3) == 77).all()


def test_inputs_that_are_no_images_are_listed_without_pictures(tmp_path):
    page = written(tmp_path, evaluation=make_evaluation(image_shape=None))
    assert payload_of(page)["sprite"] is None
    assert "Every test example" in page
    assert '<table class="rows"' in page


def test_ten_thousand_incompressible_colour_images_stay_below_25_megabytes(tmp_path):
    names = tuple("0123456789")
    evaluation = make_evaluation(num_examples=10_000, class_names=names, image_shape=(32, 32, 3))
    assert len(written(tmp_path, evaluation=evaluation)) < 25e6


def test_nan_scores_and_losses_give_valid_json(tmp_path):
    evaluation = make_evaluation()
    evaluation.predictions.loc[3, ["loss", "confidence", "p(1)"]] = np.nan
    evaluation.predictions.loc[4, "loss"] = np.inf
    evaluation.per_class.loc["1", "precision"] = np.nan
    evaluation = dataclasses.replace(evaluation, accuracy=np.nan, loss=np.nan)
    payload = payload_of(written(tmp_path, evaluation=evaluation))
    assert payload["loss"][3] is payload["confidence"][3] is None
    assert payload["loss"][4] == "inf"


def test_images_that_are_decoded_on_access_are_read_once(tmp_path):
    class Folder:
        reads = 0

        def __getattr__(self, name):
            return getattr(evaluation, name)

        @property
        def images(self):
            self.reads += 1
            return evaluation.images

    evaluation, folder = make_evaluation(), Folder()
    write_report(tmp_path / "report.html", evaluation=folder)
    assert folder.reads == 1


def test_file_names_go_into_the_payload(tmp_path):
    evaluation = make_evaluation()
    evaluation.predictions.insert(1, "file", [Path(f"cat/{ATTACK}{i}.jpg") for i in range(40)])
    page = written(tmp_path, evaluation=evaluation)
    assert ATTACK not in page
    assert payload_of(page)["file"][7] == f"cat/{ATTACK}7.jpg".rpartition("/")[2]


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        (["/home/me/pets/cat/1.jpg", "/home/me/pets/dog/1.jpg"], ["cat/1.jpg", "dog/1.jpg"]),
        (["/home/me/1.jpg", "/home/me/2.jpg"], ["1.jpg", "2.jpg"]),
        (["cat/1.jpg", "dog/1.jpg"], ["cat/1.jpg", "dog/1.jpg"]),
        (["/a/1.jpg", "b/1.jpg"], ["/a/1.jpg", "b/1.jpg"]),
        ([3, 4], ["3", "4"]),
        ([], []),
    ],
)
def test_a_page_does_not_say_where_its_files_lay(files, shown):
    assert below_common_folder(files) == shown
