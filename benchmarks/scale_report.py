"""Pages with many rows: how long they take to be written, and to answer in a browser."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import child
import numpy as np
import scale_search

import tuning
import zoo
from tuning.results import SearchResult

_CLICK = "b => { const t = performance.now(); b.click(); return performance.now() - t; }"
_FADED = "() => document.querySelectorAll('.plot-faded').length > 0"


def missing() -> str | None:
    """Why no browser can be driven, or `None`."""
    return child.missing("playwright") or (None if _browser() else "no Chromium on this machine")


def measure(folder: Path, *, rows: int, brushed: int, images: int) -> dict[str, Any]:
    """Writes three pages and drives two of them.

    Returns:
        Milliseconds by name, and `megabytes` of the page with most rows.
    """
    many, few = (_search(folder, count) for count in (rows, brushed))
    found = {
        "write_search": _timed(lambda: zoo.write_report(folder / "many.html", search=many)),
        "write_images": _timed(lambda: zoo.write_report(folder / "images.html", evaluation=_evaluation(images))),
    }
    zoo.write_report(folder / "few.html", search=few)
    found["megabytes"] = (folder / "many.html").stat().st_size / 1e6
    return found if missing() else {**found, **_drive(folder)}


def _timed(action: Any) -> float:
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


def _search(folder: Path, count: int) -> SearchResult:
    """A search with so many trials, as its journal would have them."""
    random = np.random.default_rng(0)
    scale_search.run("random", 1, folder / f"search{count}", (16,))
    found = tuning.load_result(folder / f"search{count}")
    trials = {}
    for number in range(count):
        drawn = random.random(4).tolist()
        values = {"learning_rate": 10 ** (-4 * drawn[0]), "l2": 10 ** (-1 - 6 * drawn[1]), "dropout": 0.6 * drawn[2]}
        values["units"] = int(8 * 64 ** drawn[3])
        made = dataclasses.asdict(scale_search.outcome(values))
        place = {"number": number, "asked": values, "values": values, "ended": float(number + 1)}
        trials[number] = {**found.trials[0], **json.loads(json.dumps(made)), **place}
    return dataclasses.replace(found, trials=trials)


def _evaluation(images: int) -> Any:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, 28, 28, 1), np.uint8)
    labels = np.arange(images) % 10
    data = zoo.DataSplits.from_arrays((pixels[:100], labels[:100]), validation=None, test=(pixels, labels))
    model = zoo.build("softmax", data.input_shape, data.num_classes, seed=0)
    return zoo.evaluate(model, data.test)


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _drive(folder: Path) -> dict[str, float]:
    """Sorts the large table by two columns, and brushes the smaller search."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        opening = _timed(lambda: page.goto((folder / "many.html").as_uri()))
        table = page.locator("table[data-sortable]").first
        sorting = max(
            table.get_by_role("button", name=name, exact=True).evaluate(_CLICK) for name in ("score", "status")
        )
        page.goto((folder / "few.html").as_uri())
        svg = page.locator("#plot-parallel_coordinates svg")
        svg.scroll_into_view_if_needed()
        panel = page.locator("#plot-parallel_coordinates script").evaluate("e => JSON.parse(e.textContent)[0]")
        start, end = (
            svg.evaluate(
                "(svg, [x, y]) => { const p = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM()); return [p.x, p.y]; }",
                [panel["marks"][0]["px"][0], panel["box"][1] + offset],
            )
            for offset in (1, 80)
        )

        def brush() -> None:
            page.mouse.move(*start)
            page.mouse.down()
            page.mouse.move(*end)
            page.mouse.up()
            page.wait_for_function(_FADED)

        brushing = _timed(brush)
        browser.close()
    return {"open": opening, "sort": sorting, "brush": brushing}
