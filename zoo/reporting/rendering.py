"""The Jinja2 environment that every page shares."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from zoo.reporting.plots import plot_markup


def render_template(name: str, context: Mapping[str, Any]) -> str:
    """Renders a template of `zoo/reporting/templates`, autoescape on; an undefined name is an error.

    The filter `drawn` makes SVG of a `Plot`, `data_uri` an address of bytes.

    Args:
        name: the template's file name.
        context: its variables. Text is escaped; only `markupsafe.Markup` goes in as it is.

    Raises:
        jinja2.UndefinedError: when the template asks for a variable that is not there.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"drawn": plot_markup, "data_uri": data_uri}
    return environment.get_template(name).render(context)


def data_uri(content: bytes, media_type: str) -> str:
    """Bytes as a `data:` address, for pictures inside the page."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
