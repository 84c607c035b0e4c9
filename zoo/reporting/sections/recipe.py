"""What reproduces a run: recipe, model, data and versions."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.reporting.formatting import settings_table
from zoo.reporting.inputs import RunLike, run_part
from zoo.reporting.section import Section


def recipe_section(run: RunLike) -> Section | None:
    """Tables of the settings; phases stand side by side."""
    recipes = [r for r in run.config.get("recipes") or [] if isinstance(r, Mapping)]
    phases = {f"phase {i + 1}" if len(recipes) > 1 else "value": recipe for i, recipe in enumerate(recipes)}
    model = {k: v for k, v in run_part(run, "model").items() if k != "keras"}  # a whole serialized model
    columns: dict[str, Mapping[str, Mapping[str, object]]] = {
        "Recipe": phases,
        "Model": {"value": model},
        "Data": {"value": run_part(run, "data")},
        "Versions": {"value": run_part(run, "versions")},
    }
    tables = {caption: settings_table(values) for caption, values in columns.items()}
    shown = [{"caption": caption, "table": table} for caption, table in tables.items() if table.rows]
    return Section("recipe", "Recipe and versions", {"tables": shown}) if shown else None
