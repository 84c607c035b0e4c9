"""Tables in a browser."""

from __future__ import annotations

import numpy as np
import pandas as pd
from browser_pages import assert_quiet, write_page

from zoo.reporting.formatting import Table, frame_table


def column(page, k: int) -> list[str]:
    return page.locator("[data-sortable] tbody").evaluate(
        "(body, k) => [...body.rows].map((row) => row.cells[k].textContent)", k
    )


def test_columns_sort_and_come_back(opened, tmp_path):
    table = Table(
        ["name", "score", ""],
        [["beta", "9", "x"], ["Alpha", "–", "x"], ["gamma", "1e-05", "x"], ["–", "10", "x"], ["delta 10", "-inf", "x"]],
        [False, True, False],
    )
    found = opened(write_page(tmp_path / "p.html", [], table))
    name, score = found.page.get_by_role("button", name="name"), found.page.get_by_role("button", name="score")
    score.click()
    assert column(found.page, 1) == ["-inf", "1e-05", "9", "10", "–"]
    assert found.page.get_by_role("columnheader", name="score").get_attribute("aria-sort") == "ascending"
    score.press("Enter")
    assert column(found.page, 1) == ["10", "9", "1e-05", "-inf", "–"]
    score.press("Space")
    assert column(found.page, 1) == ["9", "–", "1e-05", "10", "-inf"]
    assert found.page.locator("[aria-sort]").count() == 0
    name.click()
    assert column(found.page, 0) == ["Alpha", "beta", "delta 10", "gamma", "–"]
    score.click()
    assert found.page.locator("[aria-sort]").count() == 1
    assert found.page.locator("thead button").count() == 2  # a header without a name has none
    assert_quiet(found)


def test_two_thousand_rows_are_sorted_by_number_and_keep_their_order_when_some_are_marked(opened, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"trial": np.arange(1, 2001), "score": rng.random(2000), "name": rng.integers(0, 199, 2000)})
    found = opened(write_page(tmp_path / "p.html", [], frame_table(frame.astype({"name": str})), 0))
    for name in ("score", "name"):
        found.page.get_by_role("button", name=name).click()
    found.page.evaluate("document.dispatchEvent(new CustomEvent('zoo:trials', { detail: new Set([5]) }))")
    assert column(found.page, 2) == sorted(frame["name"].astype(str), key=int)
