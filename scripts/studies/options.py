"""What `study.py run` passes to every study."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """Options of a study run.

    Attributes:
        fast: a cut of a few seconds, for tests; its numbers meet no expectation of the full study.
        seed: decides everything that is random.
        dataset: another data set than the study's own.
        data: a file or folder, for studies that take one.
        weights: a file of published weights, for studies that take one.
        backbone: another backbone, for studies that take one.
        settings: other settings by name, for studies that take some.
        output: the folder of all studies; a study that keeps a model does so below it.
    """

    fast: bool = False
    seed: int = 0
    dataset: str | None = None
    data: Path | None = None
    weights: Path | None = None
    backbone: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    output: Path = Path("runs/studies")

    @property
    def given(self) -> dict[str, Any]:
        """The options that change what is studied, by name, where they are given."""
        named = {name: getattr(self, name) for name in ("dataset", "data", "weights", "backbone")}
        return {name: value for name, value in named.items() if value is not None} | (
            {"set": self.settings} if self.settings else {}
        )

    @property
    def is_full(self) -> bool:
        """Whether this is the study as it is meant: no cut, and on its own data."""
        return not self.fast and not self.given

    def folder(self, name: str) -> Path:
        """Where a study is written: a cut, or one on other data, beside the full one, which it does not replace."""
        return self.output / (name if self.is_full else f"{name}-cut")

    def command(self, name: str) -> str:
        """The command line that repeats the study."""
        parts = [
            "python",
            "scripts/study.py",
            "run",
            name,
            "--seed",
            str(self.seed),
            *(["--fast"] if self.fast else []),
        ]
        for option, value in self.given.items():
            parts += [f"--{option}", *([f"{k}={v}" for k, v in value.items()] if option == "set" else [str(value)])]
        return shlex.join(parts)

    def dataset_or(self, default: str) -> str:
        """The data set that was given; without one the digits that scikit-learn brings in a cut, else the default."""
        return ("digits" if self.fast else default) if self.dataset is None else self.dataset


def local_folder(name: str) -> Path | None:
    """A folder of photographs beside the prepared data sets, `$TFDS_DATA_DIR/name`; `None` where there is none."""
    folder = Path(os.environ.get("TFDS_DATA_DIR", "")) / name
    return folder if os.environ.get("TFDS_DATA_DIR") and folder.is_dir() else None
