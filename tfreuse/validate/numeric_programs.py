"""Programs that can be run on feeds, from the same state each time: loaded models and concrete functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from tfreuse.bridge.load import tensorflow
from tfreuse.validate.compare import compare

State = dict[str, Any]
"""Values of variables and tables by name; of a table the sorted keys and their values."""


@dataclass(frozen=True)
class Outcome:
    """What one run gave: outputs and the state after it, or the class of the error that it raised."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    raised: str = ""
    message: str = ""


class Program(Protocol):
    """Something that can be run. `start` is the state that every run begins with; `blind` names state that cannot
    be compared, with the reason."""

    start: State
    blind: dict[str, str]

    def run(self, signature: str, feed: Mapping[str, Any]) -> Outcome:
        """Run one signature from the state `start`."""

    def close(self) -> None:
        """Put the state back and let go of everything."""


@contextmanager
def as_written() -> Iterator[None]:
    """Functions are instantiated without Grappler, which may fuse the one model and not the other."""
    tf = tensorflow()
    before = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})


class EagerProgram:
    """State handling of what runs eagerly: variables, and tables as `(handle, key type, value type, mutable)`."""

    shares_state: ClassVar[bool] = False
    """Whether the other program writes to the same variables."""

    def __init__(self, variables: Mapping[str, Any], tables: Mapping[str, tuple[Any, Any, Any, bool]]) -> None:
        self.blind: dict[str, str] = {}
        self._variables = {name: variable for name, variable in variables.items() if _has_value(variable)}
        self._tables = dict(tables)
        self._left: State | None = None  # the state in which the last run left the variables, if that is known
        self.start = self._state()

    def call(self, signature: str, feed: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs for a feed."""
        raise NotImplementedError  # each kind of program has its own

    def run(self, signature: str, feed: Mapping[str, Any]) -> Outcome:
        """Run one signature from the state `start`."""
        self._reset()
        self._left = None
        try:
            with as_written():
                outputs = {name: as_array(value) for name, value in self.call(signature, feed).items()}
        except Exception as error:  # noqa: BLE001  # that the original raises is an answer, whatever it raises
            return Outcome(raised=type(error).__name__, message=str(error))
        state = self._state()
        if not self.shares_state:
            self._left = state
        return Outcome(outputs, state)

    def close(self) -> None:
        """Put the state back."""
        self._reset()

    def _state(self) -> State:
        found: State = {name: as_array(variable) for name, variable in self._variables.items()}
        for name, (handle, key_type, value_type, _) in self._tables.items():
            export = tensorflow().raw_ops.LookupTableExportV2
            keys, values = export(table_handle=handle, Tkeys=key_type, Tvalues=value_type)
            found.update(sorted_table(name, keys.numpy(), values.numpy()))
        return found

    def _reset(self) -> None:
        for name, variable in self._variables.items():
            if self._left is None or compare(self.start[name], self._left[name]) is not None:
                variable.assign(self.start[name])
        for name, (handle, key_type, value_type, mutable) in self._tables.items():
            if mutable:
                tf = tensorflow()
                keys = tf.constant(self.start[f"{name} keys"], key_type)
                values = tf.constant(self.start[f"{name} values"], value_type)
                tf.raw_ops.LookupTableImportV2(table_handle=handle, keys=keys, values=values)


class LoadedModel(EagerProgram):
    """A SavedModel in `tf.saved_model.load`, run through its signatures."""

    def __init__(self, path: str, tags: list[str]) -> None:
        self._origin = path, tags
        self._load()

    def _load(self) -> None:
        path, tags = self._origin
        with as_written():
            self._root = tensorflow().saved_model.load(path, tags=tags)
        variables, tables, others = _trackables(self._root)
        super().__init__(variables, tables)
        self.blind.update(others)

    def run(self, signature: str, feed: Mapping[str, Any]) -> Outcome:
        """Run one signature; a model with state that cannot be put back is loaded anew."""
        if self.blind:
            self._load()
        return super().run(signature, feed)

    def call(self, signature: str, feed: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs of a signature."""
        function = self._root.signatures[signature]
        types = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
        fed = {name: tensorflow().constant(value, types.get(name)) for name, value in feed.items()}
        found: Mapping[str, Any] = function(**fed)
        return found


class Concrete(EagerProgram):
    """A concrete function; tensors of its arguments and results are called by their positions."""

    shares_state = True

    def __init__(self, function: Any) -> None:
        self._function = function
        super().__init__({f"{v.name} #{n}": v for n, v in enumerate(function.graph.variables)}, {})
        resources = [tensor for tensor in function.captured_inputs if tensor.dtype.name in ("resource", "variant")]
        known = {id(variable.handle) for variable in function.graph.variables}
        for number, tensor in enumerate(resources):
            if id(tensor) not in known:
                self.blind[f"capture {number}"] = "state that is no variable cannot be read from outside"

    def call(self, signature: str, feed: Mapping[str, Any]) -> Mapping[str, Any]:
        """The flat results by position."""
        tf = tensorflow()
        arguments, keywords = self._function.structured_input_signature
        names = iter(sorted(feed, key=int))

        def value(spec: Any) -> Any:
            return tf.constant(feed[next(names)], spec.dtype) if isinstance(spec, tf.TensorSpec) else spec

        filled = tf.nest.map_structure(value, arguments), tf.nest.map_structure(value, keywords)
        result = self._function(*filled[0], **filled[1])
        tensors = [leaf for leaf in tf.nest.flatten(result, expand_composites=True) if leaf is not None]
        return {str(number): leaf for number, leaf in enumerate(tensors)}


def as_array(value: Any) -> Any:
    """A tensor's value; what holds no array (a resource, a variant) by its type."""
    if hasattr(value, "numpy") and value.dtype.name not in ("resource", "variant"):
        value = value.numpy()
    if isinstance(value, (bytes, str)):
        return np.array(value, dtype=object)  # NumPy's own type for bytes drops zeros at the end
    if isinstance(value, (np.ndarray, np.generic)):  # a session gives scalars as such
        return np.asarray(value)
    return np.asarray(str(getattr(value, "dtype", type(value))))


def sorted_table(name: str, keys: Any, values: Any) -> State:
    """A table's content in an order of its own; tables list their keys in any."""
    order = sorted(range(len(keys)), key=lambda index: np.asarray(keys[index]).tolist())
    return {f"{name} keys": keys[order], f"{name} values": values[order]}


def _has_value(variable: Any) -> bool:
    try:
        variable.numpy()
    except Exception:  # noqa: BLE001  # not initialised, or held where it cannot be read: nothing to compare
        return False
    return True


def _trackables(root: Any) -> tuple[dict[str, Any], dict[str, tuple[Any, Any, Any, bool]], dict[str, str]]:
    """Variables, tables and other resources of a loaded model, by their paths."""
    tf = tensorflow()
    variables: dict[str, Any] = {}
    tables: dict[str, tuple[Any, Any, Any, bool]] = {}
    others: dict[str, str] = {}
    seen: set[int] = set()
    work: list[tuple[str, Any]] = [("", root)]
    for path, found in work:
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, tf.Variable):
            variables[path] = found
        elif hasattr(found, "_create_resource"):
            table = _table(found)
            if table is None:
                others[path] = "the state of a resource that is no variable and no table"
            else:
                tables[path] = table
        children = tf.train.TrackableView.children(found)
        work += [(f"{path}.{name}".lstrip("."), child) for name, child in sorted(children.items())]
    return variables, tables, others


def _table(found: Any) -> tuple[Any, Any, Any, bool] | None:
    tf = tensorflow()
    for concrete in getattr(found._create_resource, "concrete_functions", ()):
        for op in concrete.graph.get_operations():
            if "HashTable" in op.type and "key_dtype" in op.node_def.attr:
                attrs = op.node_def.attr
                types = tf.as_dtype(attrs["key_dtype"].type), tf.as_dtype(attrs["value_dtype"].type)
                return found.resource_handle, *types, "Mutable" in op.type
    return None
