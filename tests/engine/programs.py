"""Random small programs: reads, writes, draws, prints, calls, control edges and many duplicates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.engine import generation
from tests.engine.generation import STATELESS, AutomaticControls
from tfreuse.ir.attrs import Attr, Attrs, Func
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Module, Node, Value

FLOAT, RESOURCE = NUMBERS["float"], NUMBERS["resource"]
_T = Attrs({"T": Attr("type", FLOAT)})
_DTYPE = Attrs({"dtype": Attr("type", FLOAT)})
_GATHER = Attrs({"dtype": Attr("type", FLOAT), "Tindices": Attr("type", NUMBERS["int32"])})
_DRAW = Attrs({"dtype": Attr("type", FLOAT), "T": Attr("type", NUMBERS["int32"])})

_SIGNATURES: dict[str, tuple[str, Attrs, bool]] = {
    "Neg": ("x", _T, True),
    "AddV2": ("xx", _T, True),
    "Sub": ("xx", _T, True),
    "NoOp": ("", Attrs(), False),
    "ReadVariableOp": ("v", _DTYPE, True),
    "ResourceGather": ("vx", _GATHER, True),
    "AssignVariableOp": ("vx", _DTYPE, False),
    "AssignAddVariableOp": ("vx", _DTYPE, False),
    "PrintV2": ("x", Attrs(), False),
    "RandomUniform": ("x", _DRAW, True),
}
"""For each op its operands (x a value, v a variable), its attributes, and whether it gives a value."""

STATEFUL = ("ReadVariableOp", "ResourceGather", "AssignVariableOp", "AssignAddVariableOp", "PrintV2", "RandomUniform")
WRITES = ("AssignVariableOp", "AssignAddVariableOp")
OPS = (
    *("ReadVariableOp",) * 4, *("ResourceGather",) * 2, *WRITES, "Neg", "AddV2", "Sub", "NoOp", "PrintV2",
    "RandomUniform", "StatefulPartitionedCall",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shape(generation.Shape):
    """What programs to make, of the ops known here."""

    nodes: int = 9
    ops: tuple[str, ...] = OPS


class _Builder:
    def __init__(self, draw: st.DrawFn, shape: Shape, values: list[str], variables: list[str]) -> None:
        self.draw = draw
        self.shape = shape
        self.nodes: dict[str, Node] = {}
        self.values = values
        self.variables = variables
        self.automatic_controls = AutomaticControls()
        self.same: dict[str, str] = {}

    def pick(self, names: list[str]) -> str:
        return self.draw(st.sampled_from(names))

    def build(self, functions: dict[str, tuple[str, ...]], count: int) -> None:
        """Add `count` nodes; `functions` gives for each function the op kinds of its body."""
        stateful = 0
        ops = [op for op in self.shape.ops if functions or op != "StatefulPartitionedCall"]
        for number in range(count):
            copied = [node for node in self.nodes.values() if node.op in OPS]
            source = self.draw(st.sampled_from([None, *copied])) if copied else None
            op = self.pick(ops) if source is None else source.op
            weight = 2 if op == "StatefulPartitionedCall" else 1 if op in STATEFUL else 0
            if stateful + weight > self.shape.stateful:
                source, op, weight = None, "Neg", 0
            stateful += weight
            self.add(f"n{number}", op, source, functions)

    def add_handles(self) -> None:
        """A variable by its shared name and another node for the same one, and an Identity of a handle."""
        attrs = Attrs({"dtype": Attr("type", FLOAT), "shape": Attr("shape", ()), "shared_name": Attr("s", b"shared")})
        for name in ("h", "i"):
            self.nodes[name] = Node(name, "VarHandleOp", attrs=attrs)
        source = self.pick(["a", "h"])
        self.nodes["j"] = Node("j", "Identity", (Value(source),), attrs=Attrs({"T": Attr("type", RESOURCE)}))
        self.same = {"i": "h", "j": source}
        self.variables += ["h", "i", "j"]

    def add(self, name: str, op: str, source: Node | None, functions: dict[str, tuple[str, ...]]) -> None:
        if op == "StatefulPartitionedCall":
            function = self.pick(sorted(functions)) if source is None else source.attrs.value("f").name
            operands = ["x", "v", "v"]
            attrs = Attrs(
                {
                    "Tin": Attr("list", ("type", (FLOAT, RESOURCE, RESOURCE))),
                    "Tout": Attr("list", ("type", (FLOAT,))),
                    "f": Attr("func", Func(function, Attrs())),
                }
            )
            gives, kinds = True, functions[function]
        else:
            text, attrs, gives = _SIGNATURES[op]
            operands, kinds = list(text), (op,)
        inputs = self.operands(operands, source)
        controls = self.controls(source)
        if self.shape.ordered:
            controls |= self.automatic(name, kinds, inputs)
        self.nodes[name] = Node(name, op, tuple(Value(i) for i in inputs), frozenset(controls), attrs)
        if gives:
            self.values.append(name)

    def operands(self, kinds: list[str], source: Node | None) -> list[str]:
        names = []
        for index, kind in enumerate(kinds):
            if source is None:
                names.append(self.pick(self.variables if kind == "v" else self.values))
                continue
            before = source.inputs[index].node
            # A copy takes the operand itself, or another node of the same op in its place.
            op = self.nodes[before].op
            alike = [n for n in self.nodes if self.nodes[n].op == op and n in self.values and op != ARGUMENT_OP]
            names.append(self.pick([before, before, *alike]) if kind == "x" else before)
        return names

    def controls(self, source: Node | None) -> set[str]:
        names = [
            node.name
            for node in self.nodes.values()
            if node.op != ARGUMENT_OP
            and (
                self.shape.reads_order or node.op not in ("ReadVariableOp", "ResourceGather", "StatefulPartitionedCall")
            )
        ]
        chosen = self.draw(st.sets(st.sampled_from(names), max_size=2)) if names else set()
        if source is not None and self.draw(st.booleans()):
            chosen |= source.controls
        return chosen

    def automatic(self, name: str, kinds: tuple[str, ...], inputs: list[str]) -> set[str]:
        touched = [self.same.get(i, i) for i in inputs if i in self.variables]
        if not {"PrintV2", "RandomUniform"}.isdisjoint(kinds):
            touched.append(STATELESS)
        return self.automatic_controls.of(name, touched, writing=not set(WRITES).isdisjoint(kinds))


@st.composite
def modules(draw: st.DrawFn, shape: Shape = Shape()) -> Module:
    """A module with a main graph, called "", and the functions that it calls."""
    graphs: dict[str, Graph] = {}
    functions: dict[str, tuple[str, ...]] = {}
    if shape.calls:
        for name in ("f", "g")[: draw(st.integers(0, 2))]:
            inner = replace(shape, calls=False, kept=False, fed=False, handles=False, nodes=3, stateful=2)
            graph = _graph(draw, inner, name, {})
            graphs[name] = graph
            functions[name] = tuple(node.op for node in graph.nodes.values())
    main = _graph(draw, shape, "", functions)
    return Module({"": main, **graphs})


def _graph(draw: st.DrawFn, shape: Shape, name: str, functions: dict[str, tuple[str, ...]]) -> Graph:
    arguments = ("x", "a", "b")
    builder = _Builder(draw, shape, ["x"], ["a", "b"])
    for argument in arguments:
        dtype = FLOAT if argument == "x" else RESOURCE
        builder.nodes[argument] = Node(argument, ARGUMENT_OP, attrs=Attrs({"T": Attr("type", dtype)}))
    if shape.handles:
        builder.add_handles()
    builder.build(functions, draw(st.integers(1 if name else 2, shape.nodes)))
    own = [node for node in builder.nodes if node not in arguments]
    values = builder.values
    labels = list(own) if not name else ["out"]
    outputs = tuple((label, Value(label)) for label in labels if label in values)
    if name:
        outputs = (("out", Value(draw(st.sampled_from(values)))),)
    controls = tuple((node, node) for node in own if node not in values or builder.nodes[node].op in STATEFUL)
    fed = [draw(st.sampled_from(values))] if shape.fed else []
    kept = frozenset(draw(st.sets(st.sampled_from(own), max_size=2))) if shape.kept else frozenset()
    order = draw(st.permutations(own)) if draw(st.booleans()) else own
    nodes = {node: builder.nodes[node] for node in [*arguments, *order]}
    kept = kept.intersection(values)
    return Graph(name, nodes, tuple(dict.fromkeys([*arguments, *fed])), outputs, controls, kept)
