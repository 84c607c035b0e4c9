"""How every document of a benchmark begins and ends."""

from __future__ import annotations

from collections.abc import Sequence

from table import NOTHING, markdown, percent, times
from targets import Target

_NOISE = 0.05  # share of the cores that other programs may take before a document warns


def opening(
    title: str,
    machine: Sequence[tuple[str, str]],
    shares: Sequence[float],
    introduction: str,
    *,
    quick: str | None,
    minutes: float,
) -> list[str]:
    """The parts before the first section: title, warning, machine, introduction.

    Args:
        title: of the document.
        machine: what `machine.describe` gives.
        shares: of the cores that other programs took, one value a turn.
        introduction: what is measured, and how.
        quick: of a quick run, what it did and did not; `None` of others.
        minutes: how long it took.
    """
    parts = [f"# {title}"]
    if quick is not None:
        parts.append(f"**A quick run: {quick}**")
    elif shares and (share := sum(shares) / len(shares)) > _NOISE:
        parts.append(
            f"**Other programs took {percent(share)} of the cores meanwhile: measure again on a quiet machine.**"
        )
    return [
        *parts,
        markdown(("machine", ""), [*machine, ("minutes", f"{minutes:.1f}")], words=2),
        introduction.rstrip(),
    ]


def target_table(rows: Sequence[Target], quick: bool) -> str:
    """What is claimed, what was measured, and whether it holds; a quick run is not judged."""
    cells = [(target.claim, _promise(target), _value(target), _verdict(target, quick)) for target in rows]
    return markdown(("claim", "target", "measured", "met"), cells)


def _promise(target: Target) -> str:
    aim = f" (aim {target.aim})" if target.aim else ""
    if target.limit is None:
        return f"reported{aim}"
    return f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}".rstrip() + aim


def _value(target: Target) -> str:
    if target.measured is None:
        return "not measured"
    return f"{target.measured:.0f} {target.unit}" if target.unit else times(target.measured)


def _verdict(target: Target, quick: bool) -> str:
    if target.is_met is None:
        return NOTHING
    return "not judged" if quick else "yes" if target.is_met else "no"
