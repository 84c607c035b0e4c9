"""A name of the table or a path -> a file that is there and is what it should be."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import UsageError, WeightsError, one_line, unknown_name
from zoo.storage import sha256_of_file
from zoo.weights.readers import Tensors, read_tensors
from zoo.weights.sources import SOURCES, Source

_CACHE = "keras-zoo"  # below Keras's own folder, ~/.keras unless KERAS_HOME says otherwise


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """A weight file that was read.

    Attributes:
        path: where it lies.
        sha256: of the whole file.
        source: the entry of the table that it is; for a file of one's own the first entry of the model with the same
            shortcuts, whose normalisation it is taken to expect.
        tensors: name -> array.
    """

    path: Path
    sha256: str
    source: Source
    tensors: Tensors

    @property
    def shortcut(self) -> str:
        """Which shortcuts the residual network has that the file is of."""
        return _shortcut(self.tensors)


def find_weights(model: str, weights: str | os.PathLike[str] | None) -> WeightFile | None:
    """The file that `weights` stands for, checked and read.

    Args:
        model: a name of the catalog.
        weights: `None`; a name of `SOURCES[model]`, looked for in the folder that ZOO_WEIGHTS_DIR names, then in the
            cache, then downloaded; or the path of a file.

    Raises:
        UsageError: neither a name of the table nor a file.
        WeightsError: the file cannot be downloaded or read, or its SHA-256 is not the published one.
    """
    if weights is None:
        return None
    sources = SOURCES[model]
    if isinstance(weights, str) and weights in sources:
        source = sources[weights]
        path = _local(source) or _download(source)
        digest = _checked(path, source)
        tensors = read_tensors(path)
    else:
        path = Path(weights).expanduser()
        if not _is_file(path):
            if path.suffix or len(path.parts) > 1:
                raise UsageError(f"{path}: no such weight file. Names of {model}: {', '.join(sources)}")
            raise unknown_name(f"file or weights of {model}", weights, sources)
        digest = sha256_of_file(path)
        tensors = read_tensors(path)
        published = [s for s in sources.values() if _is(digest, path, s)]
        alike = [s for s in sources.values() if s.shortcut in (None, _shortcut(tensors))]
        source = [*published, *alike][0]
    return WeightFile(path, digest, source, tensors)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _shortcut(tensors: Tensors) -> str:
    has_convolutions = any(".downsample." in name or ".shortcut." in name for name in tensors)
    return "projection" if has_convolutions else "zero_padding"


def _local(source: Source) -> Path | None:
    directory = os.environ.get("ZOO_WEIGHTS_DIR")
    path = Path(directory).expanduser() / source.file_name if directory else None
    return path if path is not None and path.is_file() else None


def _download(source: Source) -> Path:
    """From Keras's cache, or downloaded into it, with Keras's progress bar on standard error."""
    import zoo.startup as _startup  # noqa: F401  (before Keras)

    import keras

    fetch = functools.partial(keras.utils.get_file, source.file_name, origin=source.url, cache_subdir=_CACHE)
    try:
        with contextlib.redirect_stdout(sys.stderr), _patience():
            if source.sha256 and len(source.sha256) == 64:
                return Path(fetch(file_hash=source.sha256, hash_algorithm="sha256"))
            path = Path(fetch())
            if not _is(sha256_of_file(path), path, source):  # what a killed process left
                path = Path(fetch(force_download=True))
            return path
    except Exception as error:  # Keras raises bare Exceptions for what a network can do
        raise WeightsError(
            f"{source.file_name} cannot be downloaded from {source.url} ({one_line(error)}); put it "
            "into a folder and name that in ZOO_WEIGHTS_DIR, or give weights= the file's path"
        ) from None


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Lets a server that says nothing for a minute fail; Keras would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _checked(path: Path, source: Source) -> str:
    digest = sha256_of_file(path)
    if _is(digest, path, source):
        return digest
    wanted = f"SHA-256 {source.sha256}" if source.sha256 else f"{source.size:,} bytes"
    raise WeightsError(
        f"{path}: it has SHA-256 {digest} and {path.stat().st_size:,} bytes, the published file has {wanted}; "
        "it is incomplete or another one: delete it"
    )


def _is(digest: str, path: Path, source: Source) -> bool:
    """Whether a file is the published one, by as much as its publisher says of it."""
    if source.sha256 is None:
        return path.stat().st_size == source.size
    return digest.startswith(source.sha256)
