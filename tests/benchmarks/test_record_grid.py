"""The script that records the grid: what it cannot do ends in one line."""

import pytest
import record_grid

import zoo


def test_an_error_is_one_line_and_exit_code_1(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert record_grid.main(["--output", str(tmp_path / "file" / "grid.json.gz")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert "file" in err


@pytest.mark.parametrize(
    ("error", "code"), [(zoo.DataError("damaged"), 1), (OSError("no space"), 1), (zoo.UsageError("wrong"), 2)]
)
def test_the_kind_of_an_error_is_the_exit_code(monkeypatch, capsys, error, code):
    def fail(output, max_seconds):
        raise error

    monkeypatch.setattr(record_grid, "_record", fail)
    assert record_grid.main([]) == code
    assert capsys.readouterr().err == f"error: {error}\n"
