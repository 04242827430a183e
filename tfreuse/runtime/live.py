"""Carries a pipeline's edits out on a live `FuncGraph`: duplicates are disconnected, never deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from tfreuse.analysis.effects import EFFECT, Effects, Summaries
from tfreuse.bridge.create import create_operation
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.module import MAIN, ops_of, read_module
from tfreuse.ir.graph import Graph, Module, Value
from tfreuse.ir.order import topological
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import Pipeline
from tfreuse.validate.proved import run_proved


class LiveGraph:
    """A `FuncGraph` behind automatic control dependencies.

    `manager` is the `AutomaticControlDependencies` of a trace whose control outputs are still to be copied from
    it, or None for a finished graph.
    """

    def __init__(self, graph: Any, manager: Any = None) -> None:
        self.graph = graph
        self._must_run: Any = (
            graph.control_outputs if manager is None else getattr(manager, "ops_which_must_run", set())
        )
        self._made: dict[str, Any] = {}

    def read(self) -> tuple[Module, Any]:
        """The graph and its functions as a module, and the op tables.

        Inputs, captured constants among them, are arguments; outputs are frozen, because callers hold them. What must
        run is a control output: whoever calls the function waits for that, and for no more.
        """
        graph_def = self.graph.as_graph_def()
        ops = ops_of(graph_def)
        inputs = dict.fromkeys(tensor.op.name for tensor in self.graph.inputs)
        outputs = {tensor.op.name for tensor in self.graph.outputs} - inputs.keys()
        module = read_module(graph_def, ops, arguments=inputs, frozen={MAIN: outputs})
        return with_outputs(module, self.graph, self.graph.outputs, self._must_run), ops

    def apply(self, before: Graph, after: Graph, effects: Effects) -> None:
        """Make the operations that `after` adds and rewire those that it changed; undone if one of the edits fails.
        What was made stays then, and nothing uses it.

        A write keeps waiting for disconnected reads: a closure may hold one, and a gradient may yet use it.
        """
        undo: list[Callable[[], None]] = []
        try:
            self._create(before, after)
            for name, new in after.nodes.items():
                old = before.nodes.get(name)
                if new is old or old is None:
                    continue
                op = self.graph.get_operation_by_name(name)
                self._move_inputs(op, old.inputs, new.inputs, undo)
                controls = new.controls | old.controls if effects.kind(old) == EFFECT else new.controls
                if controls != old.controls:
                    undo.append(self._control_setter(op, list(op.control_inputs)))
                    self._control_setter(op, [self._find(c) for c in sorted(controls)])()
        except Exception:
            for step in reversed(undo):
                step()
            raise
        self._set_must_run(before, after)

    def _create(self, before: Graph, after: Graph) -> None:
        for name in topological(after) if len(after.nodes.keys() - before.nodes.keys()) else ():
            if name not in before.nodes:
                node = after.nodes[name]
                inputs = [self._find(value.node).outputs[value.port] for value in node.inputs]
                self._made[name] = create_operation(self.graph, node, inputs)

    def _find(self, name: str) -> Any:
        """The operation of a node, by the name that the plan has for it."""
        made = self._made.get(name)
        return self.graph.get_operation_by_name(name) if made is None else made

    def _move_inputs(
        self, op: Any, old: tuple[Value, ...], new: tuple[Value, ...], undo: list[Callable[[], None]]
    ) -> None:
        for index, (was, value) in enumerate(zip(old, new, strict=True)):
            if was != value:
                tensor = op.inputs[index]
                undo.append(partial(op._update_input, index, tensor))
                op._update_input(index, self._find(value.node).outputs[value.port])

    def _control_setter(self, op: Any, controls: list[Any]) -> Callable[[], None]:
        def set_controls() -> None:
            op._remove_all_control_inputs()
            op._add_control_inputs(controls)

        return set_controls

    def _set_must_run(self, before: Graph, after: Graph) -> None:
        """Let survivors take the places of disconnected operations among those that must run."""
        was, now = ([name for _, name in graph.control_outputs] for graph in (before, after))
        find = self._find
        if isinstance(self._must_run, list):
            self._must_run[:] = map(find, now)
        else:
            self._must_run.difference_update(map(find, set(was).difference(now)))
            self._must_run.update(map(find, set(now).difference(was)))


def declared_outputs(func_graph: Any) -> list[Any]:
    """The output tensors that the function returns; TensorFlow adds others behind them once it is differentiated."""
    structure = tensorflow().nest.flatten(func_graph.structured_outputs, expand_composites=True)
    returned = [leaf for leaf in structure if leaf is not None]
    return list(func_graph.outputs[: len(returned)])


def with_outputs(module: Module, func_graph: Any, outputs: Iterable[Any], must_run: Iterable[Any]) -> Module:
    """The module with the outputs (tensors), control outputs (operations) and static shapes of a `FuncGraph`."""
    if MAIN not in module.graphs:
        return module

    def shape_of(value: Value) -> tuple[int, ...] | None:
        try:
            shape = func_graph.get_operation_by_name(value.node).outputs[value.port].shape
        except KeyError:  # a pass has added the node
            return None
        return None if shape.rank is None else tuple(-1 if size is None else size for size in shape.as_list())

    values = tuple((str(index), Value(tensor.op.name, tensor.value_index)) for index, tensor in enumerate(outputs))
    controls = tuple((name, name) for name in sorted(op.name for op in must_run))
    main = replace(module.graphs[MAIN], outputs=values, control_outputs=controls, shapes=shape_of)
    return replace(module, graphs={**module.graphs, MAIN: main})


def rewire(live: LiveGraph, pipeline: Pipeline, raise_failures: bool = False, proof: bool = True) -> Result:
    """Plan on the graph's protocol buffer, then edit the live graph; the plan is complete and proved before that.

    Raises:
        GraphError: if the graph cannot be read.
        ProofError: with `raise_failures`, if the plan is not proved.
    """
    module, ops = live.read()
    if MAIN not in module.graphs:
        return Result(module, module, ops, pipeline)
    library = frozenset(module.graphs) - {MAIN}
    result = run_proved(module, ops, pipeline, skip=library, raise_failures=raise_failures, proof=proof)
    result.labels[MAIN] = live.graph.name
    found = result.graphs[MAIN]
    if found.after is not found.before:
        live.apply(found.before, found.after, Effects(found.before, Summaries(module, ops)))
    return result
