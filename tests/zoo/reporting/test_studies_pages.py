from __future__ import annotations

import json
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from windows import DESKTOP, PHONE

from zoo.errors import UsageError, ZooError
from zoo.reporting.studies import read_results, write_document, write_index
from zoo.reporting.study import StudyReport


def write_study(directory, name, *, full=True, off=False):
    report = StudyReport(name, f"Is <{name}> so?", f"study.py run {name}", {"epochs": 1}, 0, full=full)
    report.expect("accuracy", "accuracy | of *both*", 0.5 if off else 0.981, 0.98, 0.01)
    report.explain("accuracy", "too few epochs")
    report.expect_at_least("bound", "a bound", 0.99, 0.98)
    report.value("other", math.pi)
    report.not_run("real", "real weights", "weights absent")
    report.answer("Why?", "Because a_1 < b_2 | c.")
    for place in range(2):
        figure = Figure(figsize=(12, 3))
        figure.subplots().imshow(np.random.default_rng(place).random((30, 120, 3)))
        report.figure(f"picture_{place}", figure, f"Picture {place} of {name}")
    report.seconds = 75.0
    report.write(directory / name)


def test_the_index_shows_what_was_run_and_what_was_not(tmp_path):
    write_study(tmp_path, "first")
    write_study(tmp_path, "second", full=False)
    page = write_index(tmp_path, ("first", "second", "third")).read_text(encoding="utf-8")
    assert "2 of 3 studies have been run" in page
    assert "Is &lt;first&gt; so?" in page
    assert page.count("a cut") == 1
    assert "Not run yet: third." in page
    assert page.count("data:image/png") == 2
    assert "Picture 0 of first" in page
    assert "Picture 1 of first" not in page


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"numbers": {}}',
        "\x00",
        '{"numbers": {"a": {}}, "question": "", "command": "", "answers": [], "figures": {}}',
        '{"numbers": {}, "question": "", "command": "", "answers": [{}], "figures": {}}',
        '{"numbers": {}, "question": "", "command": "", "answers": [], "figures": ["a.png"]}',
        '{"numbers": {}, "question": "", "command": "", "answers": [], "figures": {"../a.png": ""}}',
        '{"numbers": [], "question": "", "command": "", "answers": [], "figures": {}}',
        '{"numbers": {}, "question": null, "command": "", "answers": [], "figures": {}}',
    ],
)
def test_what_cannot_be_read_counts_as_not_run(tmp_path, content):
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "result.json").write_text(content)
    assert read_results(tmp_path, ["first"])[0].result == {}
    assert "0 of 1" in write_index(tmp_path, ["first"]).read_text(encoding="utf-8")


def test_the_document_has_expected_and_measured_beside_each_other(tmp_path):
    write_study(tmp_path / "runs", "first", off=True)
    write_study(tmp_path / "runs", "second", full=False)
    file = write_document(tmp_path / "docs" / "studies.md", tmp_path / "runs", ("first", "second"))
    text = file.read_text(encoding="utf-8")
    assert "| accuracy \\| of \\*both\\* | 0.98 ± 0.01 | 0.5 | not met: too few epochs |" in text
    assert "| a bound | ≥ 0.98 | 0.99 | met |" in text
    assert "| real weights | – | – | not run: weights absent |" in text
    assert "| [first](#first) | 1 | 1 | 1 | 1 min 15 s |" in text
    assert (
        "<details><summary>1 other numbers</summary>\n\n| number | measured |\n|---|---:|\n| other | 3.14159 |" in text
    )
    assert "| second | not run here | | | |" in text  # a cut is no result
    assert "**Why?** Because a\\_1 \\< b\\_2 \\| c." in text
    assert "![Picture 0 of first](studies/first.png)" in text
    with Image.open(tmp_path / "docs" / "studies" / "first.png") as picture:
        assert picture.width == 900
    assert not (tmp_path / "docs" / "studies" / "second.png").exists()
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(line.replace("\\|", "").split("|")) - 2 in (2, 4, 5)


def test_nothing_to_document_is_said(tmp_path):
    with pytest.raises(UsageError, match="no full result"):
        write_document(tmp_path / "studies.md", tmp_path, ("first",))
    assert not (tmp_path / "studies.md").exists()


def test_a_broken_picture_is_left_out_of_the_index_and_named_by_the_document(tmp_path):
    write_study(tmp_path, "first")
    assert json.loads((tmp_path / "first" / "result.json").read_text())["cores"] >= 1
    (tmp_path / "first" / "picture_0.png").write_bytes(b"no picture")
    assert "Is &lt;first&gt; so?" in write_index(tmp_path, ["first"]).read_text(encoding="utf-8")
    with pytest.raises(ZooError, match=r"picture_0\.png.*run the study again"):
        write_document(tmp_path / "studies.md", tmp_path, ["first"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_pages_open_whole_and_accessible(opened, tmp_path, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    write_study(tmp_path, "first", off=True)
    index = write_index(tmp_path, ["first", "second"])
    for page in (index, tmp_path / "first" / "index.html"):
        found = opened(page, size=size, color_scheme=scheme)
        assert (found.errors, found.requests) == ([], [])
        assert axe.Axe().run(found.page).response["violations"] == []
        assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = opened(index)
    found.page.get_by_role("heading").get_by_role("link", name="first").click()
    assert found.page.url == (tmp_path / "first" / "index.html").as_uri()
