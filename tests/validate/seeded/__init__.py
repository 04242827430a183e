"""Rewrites that are wrong on purpose, and beside them right ones of the same kind, as text.

`== NAME: wrong` or `right` begins a case: the graph (arguments x, z, v and u are there already; `out` lists outputs
and `run` control outputs; `{F}` and `{D}` stand for the type float), then, each behind `--`, what the rewrite did:

    merge D S    every use of D uses S, D is gone, and the witness says so
    quiet D S    the same without a word in the witness
    leave D S    as `merge`, and D stays as it was
    alias D S    as `merge`, and D stays as an `Identity` of S
    node LINE    a node in the place of the one of that name, or a new one
    drop N       N is gone, as a node and a control output
    lose N       N is no control output any more
    move L = V   the output L is V
    unfed N      N is no argument any more
    claim D S    the witness says that S stands for D
    sum N A B    the witness says that N is the sum of A and B (`A:1` is output 1 of A)
    equal A B    the witness says that the reads A and B see one state
    in G         what follows is done to the function G, which the proof is then asked about
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from tfreuse.ir.attrs import Attr, Attrs
from tfreuse.ir.graph import Graph, Module, Node, Value
from tfreuse.ir.parse import parse_graph, parse_module
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.touches import Touches
from tfreuse.validate.translation import prove
from tfreuse.validate.witness import Refusal, Witness

ARGUMENTS = "".join(
    f'{name} = _Arg() {{T: {dtype}}}\nargument {name}\n'
    for name, dtype in {"x": "float", "z": "float", "v": "resource", "u": "resource"}.items()
)  # fmt: skip
SHORT = {"{F}": "{T: float}", "{D}": "{dtype: float}", "{V}": "{T: resource}"}


@dataclass
class Case:
    """A module, and what a rewrite did to one of its graphs."""

    name: str
    is_right: bool
    before: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)

    def module(self) -> Module:
        """The module before."""
        lines = []
        for line in self.before:
            word, _, names = line.partition(" ")
            if word == "out":
                lines += [f"output {name} = {name}" for name in names.split()]
            elif word == "run":
                lines += [f"control {name} = {name}" for name in names.split()]
            else:
                lines.append(line)
        text = "\n".join(lines)
        for short, long in SHORT.items():
            text = text.replace(short, long)
        return parse_module(f'graph ""\n{ARGUMENTS}{text}')

    def rewritten(self) -> tuple[Graph, Witness]:
        """The graph after, and the witness."""
        graphs = self.module().graphs
        edit = Edit(graphs[""])
        for line in self.edits:
            if line.startswith("in "):
                edit = Edit(graphs[line[3:]])
            else:
                edit.apply(line)
        return edit.graph, Witness(edit.claims, edit.equal, sums=edit.sums)

    def refusal(self) -> Refusal | None:
        """What the proof says."""
        module = self.module()
        after, witness = self.rewritten()
        return prove(module.graphs[after.name], after, witness, Touches(module, snapshot_ops()), snapshot_ops())


class Edit:
    """A graph under the edits of a case."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.claims: dict[str, str] = {}
        self.equal: dict[str, str] = {}
        self.sums: dict[str, tuple[Value, ...]] = {}

    def apply(self, line: str) -> None:
        """Carry out one line."""
        word, _, rest = line.partition(" ")
        names = rest.split()
        nodes = dict(self.graph.nodes)
        if word in ("merge", "quiet", "leave", "alias"):
            nodes = self._redirected(*names)
            if word in ("merge", "quiet"):
                del nodes[names[0]]
            if word == "alias":
                nodes[names[0]] = Node(names[0], "Identity", (Value(names[1]),), attrs=Attrs({"T": Attr("type", 1)}))
        if word in ("merge", "leave", "alias", "claim"):
            self.claims[names[0]] = names[1]
        elif word == "equal":
            self.equal[names[0]] = names[1]
        elif word == "sum":
            pairs = [name.partition(":") for name in names[1:]]
            self.sums[names[0]] = tuple(Value(name, int(port or 0)) for name, _, port in pairs)
        elif word == "node":
            for short, long in SHORT.items():
                rest = rest.replace(short, long)
            nodes.update(parse_graph(rest).nodes)
        elif word == "drop":
            del nodes[rest]
        elif word == "move":
            moved = parse_graph(f"output {rest}").outputs
            outputs = tuple((label, dict(moved).get(label, value)) for label, value in self.graph.outputs)
            self.graph = replace(self.graph, outputs=outputs)
        elif word == "unfed":
            self.graph = replace(self.graph, arguments=tuple(a for a in self.graph.arguments if a != rest))
        if word in ("drop", "lose"):
            left = tuple(entry for entry in self.graph.control_outputs if entry[1] != rest)
            self.graph = replace(self.graph, control_outputs=left)
        self.graph = self.graph.evolve(nodes)

    def _redirected(self, old: str, new: str) -> dict[str, Node]:
        nodes = {}
        for name, node in self.graph.nodes.items():
            inputs = tuple(Value(new, value.port) if value.node == old else value for value in node.inputs)
            controls = frozenset(new if control == old else control for control in node.controls) - {name}
            nodes[name] = node if name == old else node._replace(inputs=inputs, controls=controls)
        outputs = tuple((label, Value(new, v.port) if v.node == old else v) for label, v in self.graph.outputs)
        ends = {new if name == old else name: label for label, name in self.graph.control_outputs}
        controls_out = tuple((label, name) for name, label in ends.items())
        self.graph = replace(self.graph, outputs=outputs, control_outputs=controls_out)
        return nodes


def read_cases() -> dict[str, Case]:
    """All cases by name."""
    cases: dict[str, Case] = {}
    for path in sorted(Path(__file__).parent.glob("*.txt")):
        case = Case("", False)
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("== "):
                name, _, kind = line[3:].rpartition(": ")
                assert name not in cases and kind in ("right", "wrong"), line
                case = cases[name] = Case(name, kind == "right")
            elif line.startswith("-- "):
                case.edits.append(line[3:])
            elif line.strip() and not line.startswith("#"):
                case.before.append(line)
    return cases
