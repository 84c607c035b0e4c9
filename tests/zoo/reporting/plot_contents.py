"""Figures, their drawings, and the data that go with them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

from matplotlib.figure import Figure

from zoo.reporting.plots import Plot, plot_markup


def figure_of(draw, **size) -> Figure:
    figure = Figure(layout="constrained", **({"figsize": (4, 3)} | size))
    draw(figure.add_subplot())
    return figure


def svg_of(markup: str) -> ET.Element:
    return ET.fromstring(re.search(r"<svg.*?</svg>", markup, re.DOTALL)[0])


def panels_of(markup: str) -> list[dict]:
    return json.loads(re.search(r'application/json">(.*?)</script>', markup, re.DOTALL)[1])


def marks_of(figure: Figure, name: str = "plot") -> list[dict]:
    (panel,) = panels_of(plot_markup(Plot(name, "A caption", figure)))
    return panel["marks"]
