"""The page of a run, used as a reader uses it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from report_examples import make_evaluation, make_repeated_search, make_run
from windows import PHONE

from zoo.reporting.page import write_report

ATTACK = "<script>document.title='owned'</script>"
NAMES = ("cat", "dog", "bird")


@pytest.fixture(scope="module")
def evaluation():
    return make_evaluation(num_examples=300, class_names=NAMES)


@pytest.fixture(scope="module")
def report(tmp_path_factory, evaluation):
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_report(path, run=make_run(), evaluation=evaluation, search=make_repeated_search(trials=6))


def drawn(page) -> list[int]:
    """The examples on the page, all of them, in their order."""
    while page.locator("#gallery-more").is_visible():
        page.locator("#gallery-more").click()
    cards = page.locator("#gallery-items > *")
    return [int(index) for index in cards.evaluate_all("cards => cards.map(card => card.dataset.index)")]


def serious(page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]


def test_the_page_opens_without_errors_and_asks_for_nothing(opened, report):
    found = opened(report)
    assert found.page.title() == "softmax on digits"
    assert found.errors == found.requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_nothing_serious_stands_in_the_way_of_anybody(opened, report, scheme, width):
    options = {"size": PHONE} if width == "phone" else {}
    page = opened(report, color_scheme=scheme, **options).page
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_shade_of_the_confusion_matrix_can_be_read(opened, tmp_path, scheme):
    right = np.arange(0, 110, 10)  # shares from 0 to 1, and what is left of them in the next column
    matrix = np.diag(right) + np.roll(np.diag(100 - right), 1, axis=1)
    evaluation = make_evaluation(num_examples=66, class_names=tuple("abcdefghijk"))
    evaluation = dataclasses.replace(evaluation, confusion_matrix=matrix)
    page = opened(write_report(tmp_path / "r.html", evaluation=evaluation), color_scheme=scheme).page
    assert serious(page) == []


def test_settings_that_are_wider_than_the_page_scroll_by_keyboard(opened, tmp_path):
    run = make_run()
    run.config["recipes"] = [{"optimizer": f"of_phase_{i}"} for i in range(30)]
    run.config["data"]["k" * 200] = "v" * 200
    page = opened(write_report(tmp_path / "r.html", run=run), size=PHONE).page
    assert page.get_by_role("region", name="Recipe").evaluate("part => part.scrollWidth > part.clientWidth")
    assert serious(page) == []
    assert page.get_by_role("region", name="Data").evaluate("part => part.scrollWidth <= part.clientWidth")


def test_the_largest_loss_comes_first(opened, report, evaluation):
    page = opened(report).page
    expected = np.argsort(-evaluation.predictions["loss"].round(5), kind="stable")
    assert drawn(page) == expected.tolist()
    page.select_option("#gallery-sort", "-confidence")
    expected = np.argsort(evaluation.predictions["confidence"].round(5), kind="stable")
    assert drawn(page) == expected.tolist()


def test_the_least_certain_are_those_whose_two_best_classes_are_near(opened, report, evaluation):
    page = opened(report).page
    page.select_option("#gallery-sort", "-margin")
    scores = np.sort(evaluation.predictions.filter(like="p(").to_numpy(), axis=1)
    margins = (scores[:, -1] - scores[:, -2])[drawn(page)]
    assert (np.diff(margins) >= -2.1e-4).all()  # scores on the page have four decimals


@pytest.mark.parametrize("name", NAMES)
def test_one_class_shows_exactly_its_images(opened, report, evaluation, name):
    page = opened(report).page
    page.select_option("#gallery-true", label=name)
    table = evaluation.predictions
    assert sorted(drawn(page)) == table.index[table["true"] == name].tolist()
    page.select_option("#gallery-answers", "wrong")
    assert sorted(drawn(page)) == table.index[(table["true"] == name) & ~table["correct"]].tolist()
    page.click("#gallery-reset")
    assert len(drawn(page)) == len(table)


def test_a_range_of_confidence_and_about_half(opened, report, evaluation):
    page, confidence = opened(report).page, evaluation.predictions["confidence"].round(5)
    page.fill("#gallery-low", "80")
    page.locator("#gallery-low").press("Tab")
    assert sorted(drawn(page)) == np.flatnonzero(confidence >= 0.8).tolist()
    page.click("#gallery-half")
    assert sorted(drawn(page)) == np.flatnonzero((confidence >= 0.4) & (confidence <= 0.6)).tolist()


def test_a_click_on_a_confusion_cell_shows_that_many_images(opened, report, evaluation):
    page = opened(report).page
    for true, predicted in [(0, 1), (2, 0), (1, 1)]:
        count = int(evaluation.confusion_matrix[true, predicted])
        assert count > 0
        page.click(f"#matrix button[data-true='{true}'][data-predicted='{predicted}']")
        table = evaluation.predictions
        expected = table.index[(table["true"] == NAMES[true]) & (table["predicted"] == NAMES[predicted])]
        assert sorted(drawn(page)) == expected.tolist()
        assert f"{count} of {count} shown" in page.inner_text("#gallery-count")


def test_the_confusion_matrix_works_by_keyboard(opened, report, evaluation):
    page = opened(report).page
    page.focus("#matrix button[data-true='0'][data-predicted='1']")
    page.keyboard.press("Enter")
    assert len(drawn(page)) == evaluation.confusion_matrix[0, 1]
    assert page.evaluate("document.activeElement.id") == "gallery-true"


def test_the_worst_and_the_least_certain_are_shown_first(opened, report, evaluation):
    page = opened(report).page
    shown = page.locator("#gallery-worst > li").evaluate_all("cards => cards.map(card => Number(card.dataset.index))")
    wrong = evaluation.predictions[~evaluation.predictions["correct"]]
    assert shown == wrong.sort_values("loss", ascending=False).index[:8].tolist()
    assert page.locator("#gallery-uncertain > li").count() == 8


def test_without_a_mistake_there_are_no_worst(opened, tmp_path):
    evaluation = make_evaluation(num_examples=30)
    table = evaluation.predictions.assign(predicted=evaluation.predictions["true"], correct=True)
    path = write_report(tmp_path / "r.html", evaluation=dataclasses.replace(evaluation, predictions=table))
    assert not opened(path).page.locator("#gallery-worst-part").is_visible()


def test_names_from_outside_stay_text(opened, tmp_path):
    names = (ATTACK, '"><img src=x onerror=alert(1)>', "'; alert(1); '")
    evaluation = make_evaluation(class_names=names)
    evaluation.predictions.insert(1, "file", [f"{ATTACK}{i}.jpg" for i in range(40)])
    run = make_run()
    run.config["model"]["name"] = ATTACK
    run.config["data"][ATTACK] = ATTACK
    path = write_report(tmp_path / "report.html", run=run, evaluation=evaluation, title=ATTACK)
    found = opened(path)
    assert found.errors == found.requests == []
    assert found.page.title() == ATTACK
    assert found.page.inner_text("h1") == ATTACK
    assert found.page.locator("main img[src='x'], main script:not([type='application/json'])").count() == 0
    assert found.page.locator("#gallery-true option").all_inner_texts()[1:] == list(names)
    assert ATTACK in found.page.locator("#gallery-items .card").first.inner_text()


def test_vectors_are_a_table_of_rows(opened, tmp_path):
    evaluation = make_evaluation(image_shape=None)
    page = opened(write_report(tmp_path / "r.html", evaluation=evaluation)).page
    assert page.locator("#gallery-rows thead th").count() == 7
    assert len(drawn(page)) == 40
    assert serious(page) == []


def test_many_classes_show_the_best_five(opened, tmp_path):
    evaluation = make_evaluation(num_examples=60, class_names=tuple(f"c{i}" for i in range(50)))
    page = opened(write_report(tmp_path / "r.html", evaluation=evaluation)).page
    assert page.locator("#gallery-items .card").first.locator(".bar").count() == 5
    assert page.locator("#classes img").count() == 1


def test_it_prints_to_a_document_of_several_pages(opened, report):
    pdf = opened(report).page.pdf()
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") + pdf.count(b"/Type /Page ") >= 3


def test_without_scripts_everything_but_the_list_can_be_read(opened, report):
    page = opened(report, java_script_enabled=False).page
    assert page.locator("#gallery noscript, #gallery p").first.is_visible()
    assert not page.locator("#gallery-view").is_visible()
    assert page.locator("#curves svg").count() == 3
    assert page.locator("#classes table").count() == 2


def test_ten_thousand_images_show_their_first_screen_at_once(opened, tmp_path):
    names = tuple("0123456789")
    evaluation = make_evaluation(num_examples=10_000, class_names=names, image_shape=(28, 28, 1))
    found = opened(write_report(tmp_path / "report.html", evaluation=evaluation))
    assert found.page.locator("#gallery-items .card").count() == 24
    assert "24 of 10\u202f000 shown" in found.page.inner_text("#gallery-count")
    assert json.loads(found.page.inner_text("#gallery-data"))["num_shown"] == 10
    assert found.errors == []
