"""The document of the benchmark of training speed says what was measured."""

import document
import pytest
import sections
import table
import targets
from benchmark_processes import check_targets, rows_of
from targets import Measurements
from tasks import Entry
from training_race import Result


def made_up_measurements():
    def result(contestant, precision, *seconds, images=60_000):
        return Result(Entry(contestant, precision), images, list(seconds), others=[0.01])

    memory = [
        sections.Memory(Entry("ours"), images, [Result(Entry("ours"), images, resident=size, peak=size + 10)])
        for images, size in ((60_000, 860.0), (600, 800.0))
    ]
    return Measurements(
        races={
            "mlp": [
                result("ours", "float32", 2.0, 1.0, 9.0),
                result("ours", "bfloat16", 1.0),
                result("stock", "float32", 4.0),
                result("pytorch", "float32", 3.0),
                result("pytorch", "bfloat16", 1.25),
                result("floor", "float32", 1.0),
                result("floor", "bfloat16", 0.8),
            ],
            "cnn": [result("ours", "float32", 6.0)],
            "pipeline": [result("pipeline", "plain", 1.5, images=60_000)],
        },
        memory=memory,
    )


def test_targets_are_ratios_of_medians():
    expected = {
        "mlp, float32: epoch against stock `fit` in float32": (0.5, True),
        "mlp, bfloat16: epoch against stock `fit` in float32": (0.25, True),
        "mlp: time against PyTorch, each in its best precision": (0.8, True),
        "mlp, float32: share of the speed of its matrix products alone": (50.0, False),
        "mlp, bfloat16: share of the speed of its matrix products alone": (80.0, True),
        "the input pipeline alone against what the cnn takes": (4.0, True),
        "resident memory: 60,000 images minus 600": (60.0, True),
    }
    check_targets(targets.targets(made_up_measurements()), expected)


def test_document_shows_ratios_floors_and_verdicts():
    text = document.write([("cores", "2")], ["mnist: made up"], made_up_measurements(), quick=False, minutes=12.34)
    rows = rows_of(text)
    assert ["cores", "2"] in rows
    ours = next(row for row in rows if row[:2] == ["this project", "float32"])
    assert ours[2:7] == ["2.00", "1.00 to 9.00", "30,000", "0.50", "1.60"]
    assert ["mlp", "float32", "1.00", "2.00", "50 %", "25 %", "33 %"] in rows
    assert ["plain", "40,000", "10,000", "4.00"] in rows
    assert ["this project", "difference", "60.0", "60.0"] in rows
    verdicts = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert verdicts["resident memory: 60,000 images minus 600"] == ["≤ 70 MB", "60 MB", "yes"]
    assert verdicts["resnet20 forward: time against PyTorch, each in its best precision"] == [
        "reported (aim 1.5)",
        "not measured",
        "–",
    ]
    assert "quiet machine" not in text
    assert "12.3" in text


def test_document_warns_of_a_busy_machine_and_judges_no_quick_run():
    found = made_up_measurements()
    found.races["mlp"][0].others = [0.9, 0.7]
    assert "measure again on a quiet machine" in document.write([], [], found, quick=False, minutes=1.0)
    quick = document.write([], [], found, quick=True, minutes=1.0)
    assert "The numbers mean nothing" in quick
    assert "not judged" in quick
    assert "| yes" not in quick


def test_document_says_when_the_networks_differ():
    found = made_up_measurements()
    found.races["mlp"][0].weights, found.races["mlp"][2].weights = 5, 6
    assert "The networks differ: this project 5, Keras `fit` 6 weights." in document.write(
        [], [], found, quick=True, minutes=1.0
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0123456, "0.0123"), (1.5, "1.50"), (99.96, "100"), (12345.6, "12,346"), (1.2e-05, "0.0000120")],
)
def test_numbers_have_three_significant_digits(value, text):
    assert table.number(value) == text


def test_ratios_of_what_is_unknown_are_unknown():
    assert table.ratio(3.0, 2.0) == 1.5
    assert table.ratio(None, 2.0) is None
    assert table.ratio(3.0, None) is None
    assert table.ratio(3.0, 0.0) is None
    assert table.difference(3.0, 2.0) == 1.0
    assert table.difference(None, 2.0) is None
    assert table.least([None, 2.0, 1.0]) == 1.0
    assert table.least([None]) is None
    assert (table.times(None), table.percent(None), table.spread([])) == ("–", "–", "–")
    assert table.spread([2.0, 1.0]) == "1.00 to 2.00"


def test_markdown_pads_and_escapes():
    assert table.markdown(("name", "n"), [("a|b", "1"), ("c", "1,000")]).splitlines() == [
        "| name |     n |",
        "| ---- | ----: |",
        "| a\\|b |     1 |",
        "| c    | 1,000 |",
    ]
    with pytest.raises(ValueError, match="1 cells"):
        table.markdown(("name", "n"), [("a",)])
