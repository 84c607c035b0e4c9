"""Pages of plots and tables for a browser."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from zoo.reporting import rendering
from zoo.reporting.formatting import Table
from zoo.reporting.plots import Plot, plot_markup

PAGE = """{% extends "base.html" %}
{% import "tables.html" as tables %}
{% block head %}<style>{% include "plots.css" %}</style>{% endblock %}
{% block main %}
<section><h2>Plots</h2>{{ plots }}</section>
<section><h2>Trials</h2>{{ tables.data(table, -1, "Trials", trial_column) }}</section>
{% endblock %}
{% block scripts %}
<script>{% include "plots.js" %}</script>
<script>{% include "tables.js" %}</script>
{% endblock %}"""
NO_TABLE = Table(["name"], [["a"]], [False])


def write_page(path: Path, plots: list[Plot], table: Table = NO_TABLE, trial_column: int = -1) -> Path:
    templates = Path(rendering.__file__).parent / "templates"
    loader = jinja2.ChoiceLoader([jinja2.DictLoader({"page.html": PAGE}), jinja2.FileSystemLoader(templates)])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    markup = Markup("\n").join(plot_markup(plot) for plot in plots)
    context = {"title": "Plots", "plots": markup, "table": table, "trial_column": trial_column}
    path.write_text(environment.get_template("page.html").render(context), encoding="utf-8")
    return path


def assert_quiet(found) -> None:
    assert (found.errors, found.requests) == ([], [])
