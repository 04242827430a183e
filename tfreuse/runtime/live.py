"""Carries a pipeline's edits out on a live `FuncGraph`: duplicates are disconnected, never deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from functools import partial
from typing import Any

from tfreuse.analysis.effects import EFFECT, Effects, Summaries
from tfreuse.analysis.inlinable import CALLS
from tfreuse.analysis.movable import BRANCHES, LOOPS
from tfreuse.bridge.load import tensorflow
from tfreuse.bridge.module import MAIN, ops_of, read_module
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.order import topological
from tfreuse.pipeline.motion import first_origin
from tfreuse.pipeline.moves import MotionPass
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import Pipeline
from tfreuse.runtime.called import may_be_held, with_bodies
from tfreuse.runtime.live_branches import replace_branch, retire, with_branches
from tfreuse.runtime.live_loops import widen_loop, with_loops
from tfreuse.runtime.new_ops import create_op
from tfreuse.validate.proved import run_proved

Bodies = Mapping[str, tuple[Graph, Graph]]


class LiveGraph:
    """A `FuncGraph` behind automatic control dependencies.

    `manager` is the `AutomaticControlDependencies` of a trace whose control outputs are still to be copied from
    it, or None for a finished graph.
    """

    def __init__(self, graph: Any, manager: Any = None) -> None:
        self.graph = graph
        self._created: dict[str, Any] = {}
        self._gradients: dict[str, Any] = {}
        self._may_be_held = True
        self._must_run: Any = (
            graph.control_outputs if manager is None else getattr(manager, "ops_which_must_run", set())
        )

    def read(self, moves: bool = True) -> tuple[Module, Any]:
        """The graph and its functions as a module, and the op tables; with what passes that `moves` work have to know.

        Inputs, captured constants among them, are arguments; outputs are frozen, because callers hold them. What must
        run is a control output: whoever calls the function waits for that, and for no more.
        """
        graph_def = self.graph.as_graph_def()
        ops = ops_of(graph_def)
        inputs = dict.fromkeys(tensor.op.name for tensor in self.graph.inputs)
        outputs = {tensor.op.name for tensor in self.graph.outputs} - inputs.keys()
        module = read_module(graph_def, ops, arguments=inputs, frozen={MAIN: outputs})
        self._may_be_held = MAIN not in module.graphs or may_be_held(module, self.graph)
        if moves:
            module = with_branches(with_loops(module, self.graph), self.graph)
        module, self._gradients = with_bodies(module, ops, self.graph)
        return with_outputs(module, self.graph, self.graph.outputs, self._must_run, self._created), ops

    def apply(self, before: Graph, after: Graph, effects: Effects, bodies: Bodies | None = None) -> None:
        """Rewire the operations that `after` changed, and make those that are new; undone whole if an edit fails.

        `bodies` has for new bodies of loops and branches the body before and after. Loops change last, when nothing
        else can fail; a branch gives way to a new operation, and its graphs go with it.

        A write keeps waiting for disconnected reads: a closure may hold one, and a gradient may yet use it. That does
        not go for calls where nothing can hold one, because they may be expensive. What was made before an edit failed
        stays, disconnected.
        """
        undo: list[Callable[[], None]] = [self._created.clear]
        made = {name for name, node in after.nodes.items() if name not in before.nodes or _is_another(node, before)}
        replaced = made & before.nodes.keys()
        idle = {n for n, node in before.nodes.items() if node.op in CALLS and (n in replaced or n not in after.nodes)}
        if self._may_be_held:
            idle = set()

        def controls_of(name: str) -> frozenset[str]:
            old, new = before.nodes.get(name), after.nodes[name]
            waits_on = old is not None and old.op == new.op and effects.kind(old) == EFFECT
            return new.controls | (old.controls - idle) if old is not None and waits_on else new.controls

        try:
            if made:
                for name in topological(after):
                    if name in made:
                        self._create(after.nodes[name], controls_of(name), bodies or {}, undo)
            for name, new in after.nodes.items():
                old = before.nodes.get(name)
                if old is None or name in replaced or (new is old and not (replaced and _uses(new, replaced))):
                    continue
                op = self._find(name)
                self._move_inputs(op, old.inputs, new.inputs[: len(old.inputs)], undo)
                controls = controls_of(name)
                if controls != old.controls or not replaced.isdisjoint(controls):
                    undo.append(self._control_setter(op, list(op.control_inputs)))
                    self._control_setter(op, [self._find(c) for c in sorted(controls)])()
            self._widen_loops(before, after, bodies or {})
        except Exception:  # raised again once the edits are undone
            for step in reversed(undo):
                step()
            raise
        self._set_must_run(before, after)
        for name in replaced:
            if before.nodes[name].op in BRANCHES:
                retire(self.graph.get_operation_by_name(name))

    def _find(self, name: str) -> Any:
        """The operation that stands for a node; one that was made may have had to take another name."""
        return self._created[name] if name in self._created else self.graph.get_operation_by_name(name)

    def _create(self, node: Node, waits: frozenset[str], bodies: Bodies, undo: list[Callable[[], None]]) -> None:
        inputs = [self._find(value.node).outputs[value.port] for value in node.inputs]
        controls = [self._find(control) for control in sorted(waits)]
        if node.op in BRANCHES and node.attrs.functions[0].name in bodies:
            old = self.graph.get_operation_by_name(node.name)
            op = replace_branch(old, node, inputs, controls, bodies, undo)
        else:
            op = create_op(self.graph, node, inputs, controls)
        self._created[node.name] = op
        if node.op in CALLS:
            op._gradient_function = self._gradients.get(node.attrs.functions[0].name)

    def _widen_loops(self, before: Graph, after: Graph, bodies: Bodies) -> None:
        for name, new in after.nodes.items():
            old = before.nodes.get(name)
            if old is not None and new.op in LOOPS and len(new.inputs) > len(old.inputs):
                tensors = [self._find(v.node).outputs[v.port] for v in new.inputs[len(old.inputs) :]]
                widen_loop(self._find(name), tensors, *bodies[new.attrs.value("body").name])

    def _move_inputs(
        self, op: Any, old: tuple[Value, ...], new: tuple[Value, ...], undo: list[Callable[[], None]]
    ) -> None:
        for index, (was, value) in enumerate(zip(old, new, strict=True)):
            if was != value or value.node in self._created:
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
        was = [self.graph.get_operation_by_name(name) for _, name in before.control_outputs]
        now = [self._find(name) for _, name in after.control_outputs]
        if isinstance(self._must_run, list):
            self._must_run[:] = now
        else:
            self._must_run.difference_update(set(was).difference(now))
            self._must_run.update(set(now).difference(was))


def _is_another(node: Node, before: Graph) -> bool:
    """Whether the node needs an operation of its own: of another op, or a branch with more operands."""
    old = before.nodes[node.name]
    return node.op != old.op or (node.op in BRANCHES and len(node.inputs) > len(old.inputs))


def _uses(node: Node, names: Set[str]) -> bool:
    return not names.isdisjoint({*node.controls, *(value.node for value in node.inputs)})


def declared_outputs(func_graph: Any) -> list[Any]:
    """The output tensors that the function returns; TensorFlow adds others behind them once it is differentiated."""
    structure = tensorflow().nest.flatten(func_graph.structured_outputs, expand_composites=True)
    returned = [leaf for leaf in structure if leaf is not None]
    return list(func_graph.outputs[: len(returned)])


def with_outputs(
    module: Module,
    func_graph: Any,
    outputs: Iterable[Any],
    must_run: Iterable[Any],
    created: Mapping[str, Any] | None = None,
) -> Module:
    """The module with the outputs (tensors), control outputs (operations) and static shapes of a `FuncGraph`.

    `created` are operations made for new nodes, by name; it may be filled later.
    """
    if MAIN not in module.graphs:
        return module

    def shape_of(value: Value) -> tuple[int, ...] | None:
        try:
            op = (created or {}).get(value.node) or func_graph.get_operation_by_name(value.node)
            shape = op.outputs[value.port].shape
        except (KeyError, IndexError):  # a new node that is not made yet, a new output of a loop
            return None
        return None if shape.rank is None else tuple(-1 if size is None else size for size in shape.as_list())

    values = tuple((str(index), Value(tensor.op.name, tensor.value_index)) for index, tensor in enumerate(outputs))
    controls = tuple((name, name) for name in sorted(op.name for op in must_run))
    main = replace(module.graphs[MAIN], outputs=values, control_outputs=controls, shapes=shape_of)
    return replace(module, graphs={**module.graphs, MAIN: main})


def rewire(
    live: LiveGraph,
    pipeline: Pipeline,
    raise_failures: bool = False,
    proof: bool = True,
    max_memory_growth: str | int | None = None,
) -> Result:
    """Plan on the graph's protocol buffer, then edit the live graph; the plan is complete and proved before that.

    Raises:
        GraphError: if the graph cannot be read.
        ProofError: with `raise_failures`, if the plan is not proved.
    """
    module, ops = live.read(moves=any(isinstance(step, MotionPass) for step in pipeline))
    if MAIN not in module.graphs:
        return Result(module, module, ops, pipeline)
    library = frozenset(module.graphs) - {MAIN}
    result = run_proved(
        module,
        ops,
        pipeline,
        skip=library,
        raise_failures=raise_failures,
        proof=proof,
        max_memory_growth=max_memory_growth,
    )
    result.labels[MAIN] = live.graph.name
    found = result.graphs[MAIN]
    if found.after is not found.before:
        after = result.after.graphs
        made = result.origins.keys() & after.keys()
        bodies = {new: (module.graphs[first_origin(result.origins, new)], after[new]) for new in made}
        live.apply(found.before, found.after, Effects(found.before, Summaries(module, ops)), bodies)
    return result
