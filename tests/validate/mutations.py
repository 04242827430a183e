"""Random wrong rewrites of random programs, each with a witness that is right, missing or a lie."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st

from tests.engine.build import EXACT
from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.pipeline.run import run_pipeline
from tfreuse.pipeline.text import parse_pipeline
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import witness_of
from tfreuse.validate.witness import Witness

EDITS = (
    *("merge",) * 6, *("operand",) * 2, "drop control", "drop control", "add control", "swap", "drop output",
    "move output", "remove", "equal", "stands for",
)  # fmt: skip


class Mutation:
    """Edits of one graph; `witness` collects what a buggy pass would claim of them."""

    def __init__(self, draw: st.DrawFn, before: Graph, start: Graph, witness: Witness) -> None:
        self._draw = draw
        self._before = before
        self._nodes = dict(start.nodes)
        self._outputs = start.outputs
        self._controls = start.control_outputs
        self.stands_for = dict(witness.stands_for)
        self.equal = dict(witness.equal)
        self.done: Counter[str] = Counter()

    def result(self) -> tuple[Graph, Witness]:
        """The graph after, and the witness."""
        after = self._before.evolve(self._nodes, self._outputs, self._controls)
        return after, Witness(self.stands_for, self.equal)

    def apply(self, kind: str) -> None:
        """One edit; nothing where the graph has no place for it."""
        done = getattr(self, "_" + kind.replace(" ", "_"))()
        self.done[kind] += bool(done)

    def _pick(self, names: list[str]) -> str:
        return self._draw(st.sampled_from(names)) if names else ""

    def _own(self) -> list[str]:
        return [name for name in self._nodes if name not in self._before.arguments]

    def _alike(self, name: str) -> list[str]:
        """Nodes with the op of `name`, those with its operands first and twice."""
        node = self._nodes[name]
        alike = [n for n in self._own() if n != name and self._nodes[n].op == node.op]
        near = [n for n in alike if self._nodes[n].inputs == node.inputs]
        return near * 3 + alike

    def _merge(self) -> bool:
        pairs = [name for name in self._own() if self._alike(name)]
        duplicate = self._pick(pairs)
        if not duplicate:
            return False
        survivor = self._pick(self._alike(duplicate))
        self._redirect(duplicate, survivor)
        how = self._draw(st.sampled_from(["gone", "gone", "gone", "left", "alias"]))
        old = self._nodes[duplicate]
        if self._draw(st.sampled_from([False, False, True])):
            kept = self._nodes[survivor]
            self._nodes[survivor] = kept._replace(controls=(kept.controls | old.controls) - {survivor})
        if how == "gone" and duplicate not in self._before.kept:
            del self._nodes[duplicate]
        elif how != "left":
            attrs = Attrs({"T": Attr("type", 1)})
            controls = old.controls if self._draw(st.booleans()) else frozenset()
            self._nodes[duplicate] = Node(duplicate, "Identity", (Value(survivor),), controls, attrs)
        if self._draw(st.sampled_from([True, True, True, False])):
            self.stands_for[duplicate] = survivor
        return True

    def _redirect(self, duplicate: str, survivor: str) -> None:
        for name, node in self._nodes.items():
            inputs = tuple(Value(survivor, v.port) if v.node == duplicate else v for v in node.inputs)
            controls = frozenset(survivor if c == duplicate else c for c in node.controls) - {name}
            if name != duplicate and (inputs, controls) != (node.inputs, node.controls):
                self._nodes[name] = node._replace(inputs=inputs, controls=controls)
        self._outputs = tuple(
            (label, Value(survivor, v.port) if v.node == duplicate else v) for label, v in self._outputs
        )
        ends = {survivor if name == duplicate else name: label for label, name in reversed(self._controls)}
        self._controls = tuple((label, name) for name, label in ends.items())

    def _operand(self) -> bool:
        name = self._pick([name for name in self._own() if self._nodes[name].inputs])
        if not name:
            return False
        inputs = list(self._nodes[name].inputs)
        index = self._draw(st.integers(0, len(inputs) - 1))
        source = inputs[index].node
        other = self._pick(self._alike(source) if source not in self._before.arguments else [])
        if not other:
            return False
        inputs[index] = Value(other, inputs[index].port)
        self._nodes[name] = self._nodes[name]._replace(inputs=tuple(inputs))
        return True

    def _drop_control(self) -> bool:
        edges = [f"{name} {control}" for name in self._own() for control in sorted(self._nodes[name].controls)]
        if not edges:
            return False
        name, control = self._pick(edges).split()
        self._nodes[name] = self._nodes[name]._replace(controls=self._nodes[name].controls - {control})
        return True

    def _add_control(self) -> bool:
        name, control = self._pick(self._own()), self._pick(self._own())
        if not name or name == control:
            return False
        self._nodes[name] = self._nodes[name]._replace(controls=self._nodes[name].controls | {control})
        return True

    def _swap(self) -> bool:
        name = self._pick([n for n in self._own() if self._nodes[n].op in ("AddV2", "Sub")])
        if not name:
            return False
        self._nodes[name] = self._nodes[name]._replace(inputs=self._nodes[name].inputs[::-1])
        return True

    def _drop_output(self) -> bool:
        label = self._pick([label for label, _ in self._controls])
        self._controls = tuple(entry for entry in self._controls if entry[0] != label)
        return bool(label)

    def _move_output(self) -> bool:
        label = self._pick([label for label, value in self._outputs if value.node not in self._before.arguments])
        if not label:
            return False
        other = self._pick(self._alike(dict(self._outputs)[label].node))
        self._outputs = tuple((k, Value(other) if k == label and other else v) for k, v in self._outputs)
        return bool(other)

    def _remove(self) -> bool:
        used = {v.node for n in self._nodes.values() for v in n.inputs} | {v.node for _, v in self._outputs}
        used = used.union(self._before.kept, *(n.controls for n in self._nodes.values()))
        name = self._pick([name for name in self._own() if name not in used])
        if name:
            del self._nodes[name]
            self._controls = tuple(entry for entry in self._controls if entry[1] != name)
        return bool(name)

    def _claim(self, claims: dict[str, str]) -> bool:
        name = self._pick([name for name in self._own() if self._alike(name)])
        if name:
            claims[name] = self._pick(self._alike(name))
        return bool(name)

    def _equal(self) -> bool:
        return self._claim(self.equal)

    def _stands_for(self) -> bool:
        return self._claim(self.stands_for)


@st.composite
def rewrites(draw: st.DrawFn, modules: st.SearchStrategy[Module]) -> tuple[Module, Graph, Witness, Counter[str]]:
    """A module, a main graph that some rewrite made of it, its witness, and the edits made."""
    module = draw(modules)
    graph = draw(st.sampled_from(sorted(module.graphs)))
    before = start = module.graphs[graph]
    witness = Witness({}, {})
    if draw(st.sampled_from([True, False, False])):  # on top of a right rewrite
        found = run_pipeline(module, snapshot_ops(), parse_pipeline(EXACT)).graphs[graph]
        start, witness = found.after, witness_of(found)
    mutation = Mutation(draw, before, start, witness)
    for kind in draw(st.lists(st.sampled_from(EDITS), min_size=1, max_size=3)):
        mutation.apply(kind)
    after, witness = mutation.result()
    return module, after, witness, mutation.done
