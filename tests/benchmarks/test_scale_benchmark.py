"""The benchmark of sizes: its measurements measure what they say, and its tables say what was measured.

Nothing here asserts on wall time.
"""

import pytest
import scale
import scale_document
import scale_folder
import scale_search
from benchmark_processes import rows_of
from scale import Found


@pytest.mark.parametrize("arguments", [("--only", "nonsense"), ("--repeats", "0")])
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, arguments):
    assert scale.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


@pytest.mark.parametrize("method", ["exhausted", "halving"])
def test_a_search_is_measured_and_resumed(tmp_path, method):
    first = scale_search.run(method, 15, tmp_path / "search", (4, 8, 16))
    assert [len(first["windows"][size]) for size in (4, 8, 16)] == [2, 4, 7]
    assert all(gap > 0 for window in first["windows"].values() for gap in window)
    assert set(first["resident"]) == {1, 4, 8, 15}
    again = scale_search.run(method, 16, tmp_path / "search", (4, 8, 16))
    assert again["windows"] == {4: [], 8: [], 16: []}  # one trial alone, and nothing before it
    assert 0 < again["first"] < again["seconds"]
    assert again["journal"] > first["journal"]


def test_folders_are_measured(tmp_path):
    scale_folder.make(tmp_path / "pictures", 100)
    found = scale_folder.measure(tmp_path / "pictures", in_memory=False)
    assert found["files"] == 100  # no two the same
    assert 60 <= found["images"] <= 80
    assert len(found["passes"]) == 4


def made_up(others=0.01):
    windows = {"100": [1.0, 2.0, 3.0], "1000": [2.0], "10000": [4.0, 4.0, 5.0]}
    resident = {"1": 500.0, "100": 510.0, "9999": 650.0}
    search = {"windows": windows, "longest": 9.0, "resident": resident, "seconds": 30.0, "peak": 700.0}
    resumed = {"first": 4.5, "journal": 25e6, "load": 1.0, "tables": 2.0, "windows": {}, "resident": {}, "peak": 800.0}
    folder = {"files": 1000, "images": 500, "load": 1.0, "passes": [0.5, 0.1, 0.1, 0.3], "resident": [100.0, 120.0]}
    many = {**folder, "files": 100_000, "images": 50_000, "load": 200.0, "passes": [50.0, 10.0, 10.0, 10.0]}
    pages = {
        "write_search": 5000.0,
        "write_images": 900.0,
        "megabytes": 12.0,
        "sort": 400.0,
        "brush": 800.0,
        "open": 1.0,
    }
    return {
        "random": [Found({"random, search": search, "random, resumed": resumed}, others=[others])],
        "gp": [Found(problem="failed: it broke", failed=True)],
        "folder": [Found({"1000 streamed": folder, "100000 streamed": many}, others=[others])],
        "report": [Found({"report": pages}, others=[others])],
    }


def test_the_document_shows_medians_ratios_and_verdicts():
    text = scale_document.write([("cores", "2")], made_up(), quick=False, minutes=1.0)
    rows = rows_of(text)
    assert ["random", "100 / 1,000 / 10,000", "2.00", "2.00", "4.00", "4.90", "9.00", "2.00"] in rows
    assert ["random", "10,000", "25.0", "4.50", "1.00", "2.00", "150", "800"] in rows
    assert ["streamed", "1,000", "1,000", "1,000", "200", "20.0"] in rows
    assert ["streamed", "100,000", "2,000", "1,000", "200", "20.0"] in rows
    assert any("failed: it broke" in row for row in rows)
    verdicts = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert verdicts["random: the next of 10,000 trials"] == ["≤ 20 ms", "4 ms", "yes"]
    assert verdicts["random: resuming 10,000 trials"] == ["≤ 5000 ms", "4500 ms", "yes"]
    assert verdicts["100,000 images streamed: looking through, an image against one of 1,000"] == [
        "≤ 1.25",
        "2.00",
        "no",
    ]
    assert verdicts["10,000 rows are sorted"] == ["≤ 1000 ms", "400 ms", "yes"]
    assert verdicts["swarm: the next of 10,000 trials"][1:] == ["not measured", "–"]
    assert "quiet machine" not in text
    assert "quiet machine" in scale_document.write([], made_up(others=0.5), quick=False, minutes=1.0)
    assert "not judged" in scale_document.write([], made_up(), quick=True, minutes=1.0)


def test_without_a_measure_of_memory_there_is_a_dash():
    found = made_up()
    for one in found["folder"]:
        for answer in one.answers.values():
            answer["resident"] = [None, None]
    rows = rows_of(scale_document.write([], found, quick=False, minutes=1.0))
    assert ["streamed", "1,000", "1,000", "1,000", "200", "–"] in rows


def test_the_titles_of_a_quick_run_have_its_sizes():
    text = scale_document.write([], {}, quick=True, minutes=1.0)
    for claim in (
        "swarm: the next of 256 trials",
        "400 images streamed: first pass, an image against one of 100",
        "40 rows are sorted",
    ):
        assert claim in text
    assert ",000" not in text.split("## Targets")[1]
