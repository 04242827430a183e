"""Graphs of TensorFlow 1 in a session, started from the same state each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfreuse.bridge.load import tensorflow
from tfreuse.validate.numeric_programs import Outcome, State, as_array, sorted_table
from tfreuse.validate.signatures import Signature

_REFERENCES = ("Variable", "VariableV2")
_TABLES = ("HashTable", "MutableHashTable", "MutableDenseHashTable", "MutableHashTableOfTensors")


class SessionProgram:
    """A graph that `fill` puts into a session. `invent(shape, type, name)` gives variables values that have none."""

    def __init__(
        self,
        signatures: list[Signature],
        fill: Callable[[Any], None],
        invent: Callable[[tuple[int, ...], Any, str], Any] | None = None,
    ) -> None:
        v1 = tensorflow().compat.v1
        config = v1.ConfigProto(allow_soft_placement=True)
        # As the graph is written: without Grappler, and without the older optimizer, which merges equal nodes.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = v1.OptimizerOptions.L0
        self.blind: dict[str, str] = {}
        self._signatures = {signature.name: signature for signature in signatures}
        self._graph = tensorflow().Graph()
        self._session = v1.Session(graph=self._graph, config=config)
        self._read: dict[str, Any] = {}
        self._write: dict[str, tuple[Any, Any]] = {}
        self._exports: dict[str, tuple[Any, Any]] = {}
        self._imports: dict[str, tuple[Any, Any, Any]] = {}
        with self._graph.as_default():
            fill(self._session)
            for op in list(self._graph.get_operations()):
                if op.type in _REFERENCES or op.type == "VarHandleOp":
                    self._variable(op, invent)
                elif op.type.removesuffix("V2") in _TABLES:
                    self._table(op)
        self.start = self._state()

    def run(self, signature: str, feed: Mapping[str, Any]) -> Outcome:
        """Run one signature from the state `start`."""
        entry = self._signatures[signature]
        tensors = {given.name: f"{given.value.node}:{given.value.port}" for given in entry.inputs}
        fetched = {
            name: f"{value.node}:{value.port}" if self._graph.get_operation_by_name(value.node).outputs else value.node
            for name, value in entry.outputs
        }
        self._reset()
        try:
            found = self._session.run(fetched, {tensors[name]: value for name, value in feed.items()})
            outputs = {name: as_array(value) for name, value in found.items()}
        except Exception as error:  # noqa: BLE001  # that the original raises is an answer, whatever it raises
            return Outcome(raised=type(error).__name__, message=str(error))
        return Outcome(outputs, self._state())

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _variable(self, op: Any, invent: Callable[[tuple[int, ...], Any, str], Any] | None) -> None:
        tf, raw = tensorflow(), tensorflow().raw_ops
        tensor, dtype = op.outputs[0], tf.as_dtype(op.get_attr("dtype"))
        name = (op.get_attr("shared_name") or op.name.encode()).decode()
        given = tf.compat.v1.placeholder(dtype)
        if op.type == "VarHandleOp":
            ready = raw.VarIsInitializedOp(resource=tensor)
            value = raw.ReadVariableOp(resource=tensor, dtype=dtype)
            put = raw.AssignVariableOp(resource=tensor, value=given)
        else:
            ready = raw.IsVariableInitialized(ref=tensor)
            value, put = tensor, raw.Assign(ref=tensor, value=given, validate_shape=False).op
        if not self._session.run(ready):
            shape = tf.TensorShape(op.get_attr("shape"))
            if invent is None or not shape.is_fully_defined():
                return
            self._session.run(put, {given: invent(tuple(shape), dtype, name)})
        self._read[name] = value
        self._write[name] = put, given

    def _table(self, op: Any) -> None:
        tf, raw = tensorflow(), tensorflow().raw_ops
        old = not op.type.endswith("V2")
        types = op.get_attr("key_dtype"), op.get_attr("value_dtype")
        name = (op.get_attr("shared_name") or op.name.encode()).decode()
        export = raw.LookupTableExport if old else raw.LookupTableExportV2
        pair = export(table_handle=op.outputs[0], Tkeys=types[0], Tvalues=types[1])
        try:
            self._session.run(pair)
        except tf.errors.OpError as error:
            self.blind[name] = f"the table cannot be read ({type(error).__name__})"
            return
        self._exports[name] = pair
        if "Mutable" in op.type:
            given = [tf.compat.v1.placeholder(dtype) for dtype in types]
            put = raw.LookupTableImport if old else raw.LookupTableImportV2
            self._imports[name] = (put(table_handle=op.outputs[0], keys=given[0], values=given[1]), *given)

    def _state(self) -> State:
        found: State = {name: as_array(value).copy() for name, value in self._session.run(self._read).items()}
        for name, (keys, values) in self._session.run(self._exports).items():
            found.update(sorted_table(name, keys, values))
        return found

    def _reset(self) -> None:
        for name, (put, given) in self._write.items():
            self._session.run(put, {given: self.start[name]})
        for name, (put, keys, values) in self._imports.items():
            self._session.run(put, {keys: self.start[f"{name} keys"], values: self.start[f"{name} values"]})
