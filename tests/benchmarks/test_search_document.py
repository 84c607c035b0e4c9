"""The document of the benchmark of searches says what was measured."""

import pytest
import search_document
import search_targets
from benchmark_processes import check_targets, rows_of
from search_race import Result
from search_targets import Measurements
from search_tasks import Entry, Found, Trial

ONE_BY_ONE = search_targets.ONE_BY_ONE


def made_up(contestant, *seconds, scores=(0.5, 0.9), **facts):
    entry = contestant if isinstance(contestant, Entry) else Entry(contestant)
    trials = [Trial({"l2": float(i), "combination": i}, score, 5) for i, score in enumerate(scores)]
    return Result(entry, list(seconds), [Found(trials, **facts) for _ in seconds], others=[0.01])


def made_up_measurements():
    return Measurements(
        {
            "softmax": [
                made_up("ours", 1.0, 2.0, 9.0, traces=1, signatures=1),
                made_up(ONE_BY_ONE, 3.0, scores=(0.501, 0.897)),
                made_up("stock", 12.0, scores=(0.51, 0.9)),
            ],
            "cnn": [
                made_up("ours", 20.0, scores=(0.5, 0.9), traces=3, signatures=2),
                made_up(Entry("ours", "bfloat16"), 10.0),
                made_up("stock", 30.0, scores=(0.93, 0.5)),
                Result(Entry("ray"), problem="ray is not installed"),
            ],
            "memory": [
                made_up(ONE_BY_ONE, 1.0, curve=[800.0] + [805.0] * 49),
                made_up(ONE_BY_ONE._replace(at_once=2), 1.0, curve=[700.0] * 50, workers=[900.0, 890.0]),
                made_up("stock", 1.0, curve=[800.0 + 3 * i for i in range(50)]),
            ],
        }
    )


def test_targets_are_ratios_of_medians():
    expected = {
        "softmax grid: times as fast as Keras Tuner": (6.0, False),
        "softmax grid, trials one by one: times as fast as Keras Tuner": (4.0, False),
        "softmax grid: rank among our cells of the one that is best one by one": (1, True),
        "softmax grid: rank among our cells of the one that is best in Keras Tuner": (1, True),
        "softmax grid: points by which a cell's accuracy differs at most from the one trained by itself": (0.3, False),
        "softmax grid: points by which a cell's accuracy differs at most from Keras Tuner's": (1.0, None),
        "cnn, float32: times as fast as Keras Tuner": (1.5, True),
        "cnn, bfloat16 against float32: times as fast as Keras Tuner": (3.0, True),
        "memory: the one process from the first to the last of 50 trials": (5.0, True),
        "memory: the process above two workers from the first to the last of 50 trials": (0.0, True),
        "traces beyond one for each structure of models": (1, False),
        "softmax: points of our best score below Keras Tuner's, unless the best cell is the same": (0.0, True),
        "cnn: points of our best score below Keras Tuner's, unless the best cell is the same": (3.0, False),
    }
    check_targets(search_targets.targets(made_up_measurements()), expected)


def test_ranks_and_differences_of_cells_are_by_means_over_repeats():
    ours = made_up("ours", 1.0, 1.0, scores=(0.5, 0.9, 0.8))
    other = made_up("stock", 1.0, scores=(0.5, 0.8, 0.9))
    other.found.append(Found([Trial({"l2": 2.0, "combination": 2}, 0.7, 5)]))
    found = Measurements({"softmax": [ours, other]})
    assert found.rank_of_best("softmax", search_targets.STOCK) == 1
    other.found.pop()
    assert found.rank_of_best("softmax", search_targets.STOCK) == 2
    assert found.farthest_cell("softmax", search_targets.STOCK) == pytest.approx(10)
    assert found.rank_of_best("softmax", ONE_BY_ONE) is None
    assert found.farthest_cell("softmax", ONE_BY_ONE) is None


def test_best_cell_is_by_the_mean_over_repeats():
    result = made_up("ours", 1.0, 1.0)
    result.found = [Found([Trial({"a": 1}, 0.9, 1), Trial({"a": 2}, 0.8, 1)]), Found([Trial({"a": 1}, 0.5, 1)])]
    assert [(cell.values, cell.score) for cell in result.cells()] == [({"a": 2}, 0.8), ({"a": 1}, 0.7)]
    assert result.best == 0.7


def test_document_shows_ratios_growth_and_verdicts():
    text = search_document.write([("cores", "2")], made_up_measurements(), quick=False, minutes=12.34)
    rows = rows_of(text)
    ours = next(row for row in rows if row[:2] == ["this project", "float32"])
    assert ours[2:8] == ["2.00", "1.00 to 9.00", "6.00", "1.00", "2", "10"]
    assert ours[10:] == ["0.9000", "0.7000"]
    assert any(row[:3] == ["Ray Tune", "float32", "ray is not installed"] for row in rows)
    assert ["Keras Tuner", "147", "800", "827", "857", "887", "917", "947", "–"] in rows
    assert ["this project, one by one, 2 at once", "0.00", *["700"] * 6, "900"] in rows
    assert ["cnn", "this project", "float32", "2", "2", "3"] in rows
    verdicts = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert verdicts["cnn, float32: times as fast as Keras Tuner"] == ["≥ 1.3", "1.50", "yes"]
    assert "quiet machine" not in text


def test_document_warns_of_a_busy_machine():
    found = made_up_measurements()
    found.races["cnn"][0].others = [0.9, 0.7]
    assert "measure again on a quiet machine" in search_document.write([], found, quick=False, minutes=1.0)
