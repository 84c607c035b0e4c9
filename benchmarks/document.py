"""Measurements -> one Markdown document."""

from __future__ import annotations

from collections.abc import Sequence

from frame import opening, target_table
from table import NOTHING, difference, markdown, number, percent, ratio, spread, times
from targets import Measurements, pytorch_seconds, targets
from tasks import CONTESTANTS, TASKS
from training_race import Result

_QUICK = "small subsets, which only show that the benchmark works. The numbers mean nothing."
_RACE_HEADER = (
    "contestant",
    "precision",
    "s / epoch",
    "min to max",
    "images / s",
    "vs `fit` float32",
    "vs PyTorch's best",
    "first epoch, s",
    "resident, MB",
    "test accuracy",
)
_INTRODUCTION = """\
Every contestant has a process of its own, builds its model once, runs a first epoch (tracing, compilation), and then runs
when it is its turn: round robin, forth and back, the others asleep. An epoch is timed from the word "go" to its end; a table
shows the median of the rounds, smallest and largest value, and ratios of medians (below 1.00 is faster). All train the same
network with the same optimizer and batch size on the same images, and keep the epoch's loss and accuracy, except scikit-learn,
which keeps no accuracy and whose `SGDClassifier` takes a step after each image.

- **this project**: `zoo.build` and `zoo.train` on uint8 images (forward: `predict` over `split.batches`).
- **Keras `fit`**: stock layers, `compile` with its defaults, float32 arrays (forward: `predict`); bfloat16 is Keras's
  `mixed_bfloat16` policy.
- **tutorial pipeline**: stock layers on the tf.data pipeline of TFDS's Keras tutorial: map, cache, shuffle, batch, prefetch.
- **PyTorch**: eager loop, one thread a core, index batches from a uint8 tensor, channels last, fused optimizer;
  bfloat16 is autocast (forward: inference mode).
- **scikit-learn**: `partial_fit` of `SGDClassifier` and `MLPClassifier` on float32 arrays.
"""


def write(
    machine: Sequence[tuple[str, str]], sources: Sequence[str], found: Measurements, *, quick: bool, minutes: float
) -> str:
    """The document.

    Args:
        machine: what `machine.describe` gives.
        sources: a line about each kind of data.
        found: what was measured.
        quick: whether the small sizes were used.
        minutes: how long it took.
    """
    shares = [share for results in found.races.values() for result in results for share in result.others]
    introduction = "\n".join(f"- data: {source}" for source in sources) + f"\n\n{_INTRODUCTION}"
    title = "Training speed beside its peers"
    parts = opening(title, machine, shares, introduction, quick=_QUICK if quick else None, minutes=minutes)
    for name in found.races:
        if name not in ("pipeline", "first epoch"):
            parts += _race(name, found)
    parts += [*_floors(found), *_pipeline(found), *_startup(found), *_memory(found), *_targets(found, quick)]
    return "\n\n".join(parts) + "\n"


def _race(name: str, found: Measurements) -> list[str]:
    """One task: who took part, and how they compare."""
    results = [result for result in found.races[name] if result.entry.contestant != "floor"]
    stock, best = found.seconds(name, "stock", "float32"), pytorch_seconds(found, name)
    rows = [
        (
            CONTESTANTS[result.entry.contestant].title,
            result.entry.precision,
            result.problem or number(result.median),
            spread(result.seconds) if not result.problem else NOTHING,
            number(ratio(result.images, result.median)),
            times(ratio(result.median, stock)),
            times(ratio(result.median, best)),
            number(result.first),
            number(result.resident),
            NOTHING if result.accuracy is None else f"{result.accuracy:.4f}",
        )
        for result in results
    ]
    text = f"An epoch is {results[0].images:,} images.{_weights(results)}{_others(found.races[name])}"
    return [f"## {TASKS[name].title}", text, markdown(_RACE_HEADER, rows)]


def _weights(results: Sequence[Result]) -> str:
    """How many weights the networks have; they are the same network, so it is one number unless something is wrong."""
    counts = {result.weights: CONTESTANTS[result.entry.contestant].title for result in results if result.weights}
    if len(counts) > 1:
        return (
            " The networks differ: " + ", ".join(f"{title} {count:,}" for count, title in counts.items()) + " weights."
        )
    return "".join(f" The network has {count:,} trainable weights." for count in counts)


def _others(results: Sequence[Result]) -> str:
    """What other programs took of the machine meanwhile: on a quiet one nearly nothing, else the times mean little."""
    worst = max(results, key=lambda result: max(result.others, default=0.0))
    shares = [share for result in results for share in result.others]
    if not shares:
        return ""
    where = f"{CONTESTANTS[worst.entry.contestant].title} {worst.entry.precision}"
    average = percent(sum(shares) / len(shares))
    return f" Other programs took {average} of the cores meanwhile, at most {percent(max(shares))} ({where})."


def _floors(found: Measurements) -> list[str]:
    rows = []
    for name, results in found.races.items():
        for result in results:
            if result.entry.contestant == "floor":
                ours = found.seconds(name, "ours", result.entry.precision)
                others = [found.seconds(name, peer, result.entry.precision) for peer in ("stock", "pytorch")]
                shares = [percent(ratio(result.median, seconds)) for seconds in (ours, *others)]
                floor = result.problem or number(result.median)
                rows.append((name, result.entry.precision, floor, number(ours), *shares))
    if not rows:
        return []
    header = ("task", "precision", "products alone, s", "this project, s", "its share", "Keras `fit`", "PyTorch")
    text = (
        "The matrix products and convolutions of an epoch run alone in TensorFlow, forward and backward, at the same batch; "
        "a share is their time against that of a whole epoch. 100 % would be an epoch without any overhead."
    )
    return ["## Floors", text, markdown(header, rows)]


def _pipeline(found: Measurements) -> list[str]:
    if "pipeline" not in found.races:
        return []
    taken = found.rate("cnn", "ours")
    rows = []
    for result in found.races["pipeline"]:
        rate = ratio(result.images, result.median)
        rows.append((result.entry.precision, result.problem or number(rate), number(taken), times(ratio(rate, taken))))
    header = ("augmentation", "images / s", "the cnn takes at most, images / s", "ratio")
    results = found.races["pipeline"]
    text = f"A pass is {results[0].images:,} images.{_others(results)}"
    return [f"## {TASKS['pipeline'].title}", text, markdown(header, rows)]


def _startup(found: Measurements) -> list[str]:
    if not found.startup:
        return []
    commands = [(f"`{t.what}`", t.problem or number(t.median), spread(t.seconds)) for t in found.startup]
    rows = [
        (
            CONTESTANTS[result.entry.contestant].title,
            result.problem or number(result.first),
            number(result.median),
            number(difference(result.first, result.median)),
        )
        for result in found.races.get("first epoch", [])
    ]
    images = found.races["first epoch"][0].images if rows else 0
    header = ("mlp, float32", "first epoch, s", "second epoch, s", "tracing and compilation, s")
    return [
        f"## {TASKS['first epoch'].title}",
        markdown(("command", "seconds", "min to max"), commands),
        f"The first epoch ({images:,} images) in a fresh process, after imports and building:",
        markdown(header, rows),
    ]


def _memory(found: Measurements) -> list[str]:
    if not found.memory:
        return []
    rows = []
    for entry in dict.fromkeys(row.entry for row in found.memory):
        title = CONTESTANTS[entry.contestant].title
        for row in found.memory:
            if row.entry == entry:
                rows.append((title, f"{row.images:,}", row.problem or number(row.resident), number(row.peak)))
        rows.append((title, "difference", number(found.growth(entry)), number(found.growth(entry, peak=True))))
    header = ("contestant", "images", "resident at the end, MB", "peak, MB")
    return [f"## {TASKS['memory'].title}", markdown(header, rows)]


def _targets(found: Measurements, quick: bool) -> list[str]:
    return ["## Targets", target_table(targets(found), quick)]
