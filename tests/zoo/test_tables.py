from __future__ import annotations

import csv

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.tables import read_table, write_table

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\x00", exclude_categories=["Cs", "Cc"]), max_size=12
)


@pytest.mark.parametrize(
    "attack", ["x\r=1+1", "x\n=1+1", "=1+1", "+A1", "-A1", "@SUM(A1)", '=HYPERLINK("x")', "'=1+1", "\tx"]
)
def test_no_cell_and_no_heading_begins_a_formula(tmp_path, attack):
    path = write_table(tmp_path / "t.csv", pd.DataFrame({"file": [attack, "cat"], attack: [1.5, 2.5]}))
    cells = [cell for row in csv.reader(path.open(newline="")) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell]
    back = read_table(path, text=("file",))
    assert back["file"].tolist() == [attack, "cat"]
    assert back[attack].tolist() == [1.5, 2.5]


def test_numbers_stay_numbers(tmp_path):
    table = pd.DataFrame({"class": ["-1", "+5", "-.5e-3", "1"], "loss": [-1.5, 2, 3, float("nan")]})
    path = write_table(tmp_path / "t.csv", table)
    assert path.read_text().splitlines()[1:] == ["-1,-1.5", "+5,2.0", "-.5e-3,3.0", "1,"]
    pd.testing.assert_frame_equal(read_table(path, text=("class",)), table)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5))
def test_names_come_back_as_they_were(tmp_path_factory, rows):
    table = pd.DataFrame(rows, columns=["name", "value"])
    path = write_table(tmp_path_factory.mktemp("t") / "t.csv", table)
    assert read_table(path, text=("name",))["name"].tolist() == table["name"].tolist()


def test_names_like_missing_values_stay_names(tmp_path):
    names = ["nan", "NA", "", "None", "01"]
    path = write_table(tmp_path / "t.csv", pd.DataFrame({"true": names, "p": 0.5}))
    assert read_table(path, text=("true", "file"))["true"].tolist() == names
