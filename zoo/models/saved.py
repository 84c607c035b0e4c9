"""Reads `.keras` files that nobody vouches for: no code runs, no other file is read, and memory is bounded by the file's size.

Keras's safe mode refuses most code; whatever a configuration names is looked at before Keras sees it, so that all is refused, by
every version of Keras. What a configuration or an HDF5 file merely declares, a layer of a trillion units or an array of which
nothing is stored, Keras would allocate; so arrays are measured before, and variables are counted while they are made.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import h5py
import keras
import tensorflow as tf

from zoo.errors import ZooError, one_line
from zoo.models import response_normalization as _registers  # noqa: F401  (the layer, so that files that have it load)
from zoo.storage import is_deep

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG = 64 * 2**20  # bytes
_SHARE = 8  # numbers for each that the file has: an optimizer's, which are not stored before it has learnt
_LISTED = {"num_thresholds", "num", "indices_or_sections"}  # of metrics and operations, which make lists in Python
_MOST_LISTED = 100_000
_SPARE = 2**20  # numbers that a model may have beside those: what Keras does not save
_CODE = {"Lambda", "__lambda__", "__typespec__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
_FUNCTIONS = ("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers")  # keras.*
_NO_FUNCTIONS = {"get", "serialize", "deserialize"}  # though they are there
_LOADING = threading.RLock()


def load_model_file(path: Path, *, compiled: bool = False) -> keras.Model:
    """The model of a `.keras` file, not compiled, or as it was when it was saved.

    Raises:
        ZooError: the file is missing, damaged or no model; or it holds code, refers to other files, or declares more numbers
            than it has.
    """
    try:
        stored = _check(path, compiled)
        with _at_most(_SHARE * stored + _SPARE):
            model = keras.saving.load_model(path, compile=compiled, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise ValueError("its configuration is that of something else")
        return model
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror or one_line(error)}") from None
    except Exception as error:  # of a dozen kinds: of ZIP, of HDF5, of layers whose options cannot be, MemoryError
        reason = one_line(error, 10_000).rpartition("Exception encountered: ")[2][:200]  # behind a page about Keras
        raise ZooError(f"{path} is no model that can be loaded: {reason}") from error


def _check(path: Path, compiled: bool) -> int:
    """How many numbers a file has; raises a ValueError that says what is wrong with it."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            is_part = member.filename in (_CONFIG, _WEIGHTS, "metadata.json") or member.filename.startswith("assets/")
            if not is_part or ".." in member.filename.split("/") or "\\" in member.filename:
                raise ValueError(f"{member.filename!r:.100} is no part of a model")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"{member.filename} is compressed, as Keras writes no part")
        if len(set(archive.namelist())) < len(archive.namelist()):
            raise ValueError("a part is there twice")
        if archive.getinfo(_CONFIG).file_size > _MOST_CONFIG:
            raise ValueError(f"its {_CONFIG} is larger than {_MOST_CONFIG:,} bytes")
        config = json.loads(archive.read(_CONFIG))
        stored = _count_stored(archive.read(_WEIGHTS))
    if not isinstance(config, dict) or is_deep(config):
        raise ValueError(f"its {_CONFIG} is no configuration of a model")
    _check_objects(config if compiled else config | {"compile_config": None})
    return stored


def _check_objects(config: dict[str, Any]) -> None:
    """Raises a ValueError unless all that a configuration has Keras make, wherever it stands, is a part of models."""
    left: list[Any] = [config]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            if "class_name" in value:
                _check_object(value)
            for name in _LISTED & value.keys():
                if isinstance(value[name], int | float) and not value[name] <= _MOST_LISTED:
                    raise ValueError(f"its {name} is {value[name]:,}, and Keras would make a list of so many")
            if isinstance(value.get("vocabulary"), str):
                raise ValueError(f"it reads another file, {value['vocabulary']!r:.100}")
            nodes = value.get("inbound_nodes")
            if isinstance(nodes, list) and not all(_has_tensor(node) for node in nodes):
                raise ValueError(f"its {value.get('name')!r:.100} computes on its own, without an input of the model")
            left.extend(value.values())


def _check_object(value: dict[str, Any]) -> None:
    kind, module = value["class_name"], value.get("module")
    name, registered = (value.get("config"),) * 2 if kind == "function" else (kind, value.get("registered_name", kind))
    if not isinstance(name, str) or not isinstance(module, str | None) or not isinstance(registered, str | None):
        raise ValueError(f"it names no class: {name!r:.100}")
    if name in _CODE:
        raise ValueError(f"it holds code, {name}")
    if name in _VALUES or (registered and keras.saving.get_registered_object(registered) is not None):
        return
    package, _, part = (module or "").partition(".")
    if kind == "function":
        is_known = module == "builtins" or (package == "keras" and part.split(".")[0] in _FUNCTIONS)
        is_known = is_known and name not in _NO_FUNCTIONS
    else:  # a class, with a capital letter; so are functions that make whole networks and fetch their weights
        is_known = package == "keras" and name[:1].isupper() and "applications" not in part.split(".")
    if not (is_known and name.isidentifier()):
        raise ValueError(
            f"it has {name[:100]!r} of {module!r:.100}, which is no part of Keras's models; if it is yours, register it"
        )


def _has_tensor(value: Any) -> bool:
    """Whether a layer is called with an output of another one."""
    if isinstance(value, dict) and "class_name" in value:
        return bool(value["class_name"] == "__keras_tensor__")
    return any(
        map(_has_tensor, value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    )


def _count_stored(content: bytes) -> int:
    """How many numbers an HDF5 file holds; a ValueError where it refers elsewhere or declares what it does not hold."""
    count, size, seen = 0, 0, set()
    with h5py.File(io.BytesIO(content), "r") as file:
        groups = [file["/"]]
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name!r:.100} in its {_WEIGHTS} is a link to elsewhere")
                member = group[name]
                place = h5py.h5o.get_info(member.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if isinstance(member, h5py.Group):
                    groups.append(member)
                    continue
                if not isinstance(member, h5py.Dataset) or member.external or member.is_virtual:
                    raise ValueError(f"{name!r:.100} in its {_WEIGHTS} is no array of its own")
                count, size = count + member.size, size + member.nbytes
                if member.nbytes > member.id.get_storage_size() or size > len(content):
                    raise ValueError(f"{name!r:.100} in its {_WEIGHTS} declares more numbers than it has")
    return count


@contextlib.contextmanager
def _at_most(most: int) -> Iterator[None]:
    """Raises a ValueError as soon as this thread has made models of more numbers, before they are allocated."""
    made, thread = 0, threading.get_ident()

    def count(shape: Any) -> None:
        nonlocal made
        if threading.get_ident() == thread:
            made += abs(math.prod(size for size in shape if size is not None))
            if not made <= most:  # NaN is not
                raise ValueError(f"its layers declare more than {most:,} numbers, and the file has much fewer")

    def variable(
        self: Any, make: Callable[..., None], initializer: Any, shape: Any = None, *args: Any, **kw: Any
    ) -> None:
        known = getattr(initializer, "shape", ()) if shape is None else shape
        count((known,) if isinstance(known, int) else known)
        make(self, initializer, shape, *args, **kw)

    def states(self: Any, make: Callable[..., Any], batch_size: Any) -> Any:
        if self.stateful and isinstance(batch_size, int):  # Keras allocates them before it makes variables of them
            with tf.Graph().as_default():
                for state in tf.nest.flatten(make(self, batch_size)):
                    count(state.shape)
        return make(self, batch_size)

    def moments(self: Any, build: Callable[..., None], input_shape: Any) -> None:
        if self.input_mean is not None and input_shape is not None:  # Keras repeats them for all places that it keeps
            count([2, *(input_shape[axis] for axis in self.axis)])
        build(self, input_shape)

    with _LOADING, contextlib.ExitStack() as undo:
        for owner, name, counted in (
            (keras.Variable, "__init__", variable),
            (keras.layers.RNN, "get_initial_state", states),
            (keras.layers.Normalization, "build", moments),
        ):
            original = getattr(owner, name)
            undo.callback(setattr, owner, name, original)
            setattr(owner, name, functools.partialmethod(counted, original))
        try:
            yield
        finally:
            thread = -1  # layers keep their `build`
