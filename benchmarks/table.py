"""Numbers and Markdown tables, and nothing that knows what they mean."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "–"


def ratio(value: float | None, reference: float | None) -> float | None:
    """`value / reference`, or `None` where one of them is unknown or the reference is 0."""
    return None if value is None or not reference else value / reference


def difference(value: float | None, reference: float | None) -> float | None:
    """`value - reference`, or `None` where one of them is unknown."""
    return None if value is None or reference is None else value - reference


def least(values: Sequence[float | None]) -> float | None:
    """The smallest value that is known, or `None`."""
    return min((value for value in values if value is not None), default=None)


def number(value: float | None, digits: int = 3) -> str:
    """So many significant digits, never in scientific notation; a dash for what is unknown."""
    if value is None:
        return NOTHING
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:#.{digits}g}".rstrip(".")
    return f"{value:.{digits + 4}f}" if "e" in text else text


def spread(values: Sequence[float]) -> str:
    """Smallest and largest value."""
    return f"{number(min(values))} to {number(max(values))}" if values else NOTHING


def times(value: float | None) -> str:
    """A ratio with two decimals."""
    return NOTHING if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A share in whole per cent."""
    return NOTHING if value is None else f"{value:.0%}".replace("%", " %")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table, padded so that it can be read as it is.

    Args:
        header: names of the columns.
        rows: as many cells each; a bar in a cell is escaped.
        words: how many columns, from the left, hold words and stand left; the others stand right.
    """
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (header, *rows)]
    for row in cells:
        if len(row) != len(header):
            raise ValueError(f"a row has {len(row)} cells, the header {len(header)}: {row}")
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = []
    for row in (cells[0], rule, *cells[1:]):
        padded = [cell.ljust(widths[i]) if i < words else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)
