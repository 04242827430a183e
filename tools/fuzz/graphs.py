"""Random effectful graphs, quickly made from a seed: the programs of kind a."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from random import Random

from tests.engine import generation
from tests.engine.generation import STATELESS, AutomaticControls
from tfreuse.ir.attrs import Attr, Attrs, Func, Tensor
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.ir.graph import ARGUMENT_OP, Graph, Module, Node, Value

FLOAT, INT, LONG, RESOURCE = (NUMBERS[name] for name in ("float", "int32", "int64", "resource"))


def _types(**types: int) -> Attrs:
    return Attrs({name: Attr("type", number) for name, number in types.items()})


@dataclass(frozen=True)
class Signature:
    """Operands (x a value, v a variable, t a table), attributes, how many outputs."""

    operands: str
    attrs: Attrs
    outputs: int = 1


_LOOKUP = _types(Tin=FLOAT, Tout=FLOAT)
_GATHER = _types(dtype=FLOAT, Tindices=FLOAT)
SIGNATURES = {
    "Neg": Signature("x", _types(T=FLOAT)),
    "Exp": Signature("x", _types(T=FLOAT)),
    "Identity": Signature("x", _types(T=FLOAT)),
    "AddV2": Signature("xx", _types(T=FLOAT)),
    "Sub": Signature("xx", _types(T=FLOAT)),
    "Maximum": Signature("xx", _types(T=FLOAT)),
    "Split": Signature("xx", Attrs({"T": Attr("type", FLOAT), "num_split": Attr("i", 2)}), 2),
    "NoOp": Signature("", Attrs(), 0),
    "ReadVariableOp": Signature("v", _types(dtype=FLOAT)),
    "ResourceGather": Signature("vx", _GATHER),
    "VariableShape": Signature("v", _types(out_type=INT)),
    "LookupTableFindV2": Signature("txx", _LOOKUP),
    "LookupTableSizeV2": Signature("t", Attrs()),
    "AssignVariableOp": Signature("vx", _types(dtype=FLOAT), 0),
    "AssignAddVariableOp": Signature("vx", _types(dtype=FLOAT), 0),
    "ResourceScatterAdd": Signature("vxx", _GATHER, 0),
    "LookupTableInsertV2": Signature("txx", _LOOKUP, 0),
    "StatefulUniform": Signature("vxx", _types(dtype=FLOAT, shape_dtype=FLOAT)),
    "RandomUniform": Signature("x", _types(dtype=FLOAT, T=FLOAT)),
    "PrintV2": Signature("x", Attrs(), 0),
    "Timestamp": Signature("", Attrs()),
}
CALLS = ("StatefulPartitionedCall", "PartitionedCall", "If", "StatelessIf", "While", "StatelessWhile")
READS = ("ReadVariableOp", "ResourceGather", "VariableShape", "LookupTableFindV2", "LookupTableSizeV2")
WRITES = ("AssignVariableOp", "AssignAddVariableOp", "ResourceScatterAdd", "LookupTableInsertV2", "StatefulUniform")
AMBIENT = ("RandomUniform", "PrintV2", "Timestamp")
PURE = ("Neg", "Exp", "Identity", "AddV2", "Sub", "Maximum", "Split", "Const", "NoOp")
MEMORY = (
    *("ReadVariableOp",) * 3, "ResourceGather", "AssignVariableOp", "AssignAddVariableOp", "Neg", "LookupTableFindV2",
)  # fmt: skip
CHAINED = (*("ReadVariableOp",) * 6, "LookupTableSizeV2", "AssignVariableOp", "AssignVariableOp")
EVERYTHING = (*READS, *READS, "ReadVariableOp", *WRITES, *AMBIENT, *PURE, "Neg", "AddV2", *CALLS, *CALLS[::2])
ARGUMENTS = {"x": "x", "a": "v", "b": "v", "t": "t"}


@dataclass(frozen=True, kw_only=True)
class Shape(generation.Shape):
    """What graphs to make."""

    name: str
    nodes: int = 12
    aliased: bool = False
    """Whether two arguments may be one variable."""
    chance: float = 0.6
    """How often a node gets control inputs at random."""
    indirect: bool = False
    """Whether nodes that must wait for others may do so by way of any third."""
    ops: tuple[str, ...] = EVERYTHING


SHAPES = (
    Shape(name="ordered", ordered=True, nodes=16, stateful=12, chance=0.3),
    Shape(name="ordered", ordered=True, nodes=10, chance=0.3),
    Shape(name="handles", ordered=True, handles=True, chance=0.3),
    Shape(name="aliased", ordered=True, reads_order=False, aliased=True, nodes=10, stateful=5),
    Shape(name="fed", ordered=True, fed=True, chance=0.3),
    Shape(name="racing", nodes=10, stateful=5),
    Shape(name="memory", calls=False, kept=False, stateful=6, ops=MEMORY),
    Shape(
        name="chained",
        ordered=True,
        calls=False,
        kept=False,
        nodes=12,
        stateful=12,
        chance=0.5,
        indirect=True,
        ops=CHAINED,
    ),
    Shape(name="indirect", ordered=True, chance=0.4, indirect=True),
    Shape(name="any argument", reads_order=False, aliased=True, nodes=9, stateful=5),
)


@dataclass
class Builder:
    """One graph in the making."""

    rng: Random
    shape: Shape
    functions: dict[str, tuple[str, ...]]
    nodes: dict[str, Node] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    handles: dict[str, list[str]] = field(default_factory=lambda: {"v": [], "t": []})
    same: dict[str, str] = field(default_factory=dict)
    automatic_controls: AutomaticControls = field(default_factory=AutomaticControls)
    stateful: int = 0
    above: dict[str, set[str]] = field(default_factory=dict)

    def start(self) -> None:
        for name, kind in ARGUMENTS.items():
            self.nodes[name] = Node(name, ARGUMENT_OP, attrs=_types(T=FLOAT if kind == "x" else RESOURCE))
            if kind == "x":
                self.values.append(Value(name))
            else:
                self.handles[kind].append(name)
        if self.shape.handles:
            shared = Attrs({"dtype": Attr("type", FLOAT), "shape": Attr("shape", ()), "shared_name": Attr("s", b"h")})
            source = self.rng.choice(["a", "h"])
            for name in ("h", "i"):
                self.nodes[name] = Node(name, "VarHandleOp", attrs=shared)
            self.nodes["j"] = Node("j", "Identity", (Value(source),), attrs=_types(T=RESOURCE))
            self.same = {"i": "h", "j": source}
            self.handles["v"] += ["h", "i", "j"]

    def add(self, name: str) -> None:
        """One node more: often a copy of an earlier one, with the same operands or with others that are alike."""
        rng = self.rng
        copied = [node for node in self.nodes.values() if node.op in SIGNATURES or node.op in (*CALLS, "Const")]
        source = rng.choice(copied) if copied and rng.random() < 0.55 else None
        op = source.op if source else rng.choice(self.shape.ops)
        if op in CALLS and not (self.functions and self.shape.calls):
            source, op = None, "AddV2"
        weight = 3 if op.endswith(("If", "While")) else 2 if op in CALLS else op in (*READS, *WRITES, *AMBIENT)
        if self.stateful + weight > self.shape.stateful:
            source, op, weight = None, rng.choice(("Neg", "AddV2", "Split")), 0
        self.stateful += weight
        if op in CALLS:
            operands, attrs, outputs, kinds = self.call(op, source)
        elif op == "Const":
            attrs = source.attrs if source else self.constant()
            operands, outputs, kinds = "", 1, (op,)
        else:
            signature = SIGNATURES[op]
            operands, attrs, outputs, kinds = signature.operands, signature.attrs, signature.outputs, (op,)
        inputs = [self.operand(kind, source.inputs[place] if source else None) for place, kind in enumerate(operands)]
        controls = self.controls(source)
        if self.shape.ordered:
            needed = self.automatic(name, kinds, inputs)
            controls |= self.by_way(needed, {*controls, *(value.node for value in inputs)})
        sources = {*controls, *(value.node for value in inputs)}
        self.above[name] = sources.union(*(self.above.get(source, ()) for source in sources))
        self.nodes[name] = Node(name, op, tuple(inputs), frozenset(controls), attrs)
        if op.endswith("While"):
            outputs = 1  # the others are handles
        self.values += [Value(name, port) for port in range(outputs)]

    def constant(self) -> Attrs:
        data = struct.pack("<f", self.rng.choice([0.0, -0.0, 1.0]))
        return Attrs({"dtype": Attr("type", FLOAT), "value": Attr("tensor", Tensor(FLOAT, (), data))})

    def call(self, op: str, source: Node | None) -> tuple[str, Attrs, int, tuple[str, ...]]:
        """Operands, attributes, outputs, and the ops in the bodies."""
        names = sorted(self.functions)
        count = 1 if op.endswith("Call") else 2
        bodies = [self.rng.choice(names) for _ in range(count)]
        keys = {1: ("f",), 2: ("cond", "body") if op.endswith("While") else ("then_branch", "else_branch")}[count]
        attrs = {key: Attr("func", Func(body, Attrs())) for key, body in zip(keys, bodies, strict=True)}
        types = tuple(FLOAT if kind == "x" else RESOURCE for kind in ARGUMENTS.values())
        if op.endswith("While"):
            attrs["cond"] = Attr("func", Func(f"{bodies[0]}_test", Attrs()))
            attrs["body"] = Attr("func", Func(f"{bodies[1]}_loop", Attrs()))
            attrs["T"] = Attr("list", ("type", types))
        else:
            attrs |= {"Tin": Attr("list", ("type", types)), "Tout": Attr("list", ("type", (FLOAT, FLOAT)))}
        if op.endswith("If"):
            attrs["Tcond"] = Attr("type", FLOAT)
        found = source.attrs if source else Attrs(attrs)
        kinds = [kind for function in found.functions for kind in self.functions[function.name.split("_")[0]]]
        return "x" * op.endswith("If") + "".join(ARGUMENTS.values()), found, 2, tuple(kinds)

    def operand(self, kind: str, before: Value | None) -> Value:
        rng = self.rng
        if kind != "x":
            return before if before and rng.random() < 0.9 else Value(rng.choice(self.handles[kind]))
        if before is None or rng.random() < 0.1:
            return rng.choice(self.values[-6:] if rng.random() < 0.5 else self.values)
        if rng.random() < 0.6:
            return before
        op = self.nodes[before.node].op
        alike = [value for value in self.values if self.nodes[value.node].op == op and value.port == before.port]
        return rng.choice(alike or [before])

    def controls(self, source: Node | None) -> set[str]:
        rng = self.rng
        chosen: set[str] = set()
        if rng.random() < self.shape.chance:
            names = [
                node.name
                for node in self.nodes.values()
                if node.op != ARGUMENT_OP and (self.shape.reads_order or node.op not in (*READS, *CALLS))
            ]
            chosen.update(rng.choices(names, k=rng.randint(1, 2)) if names else ())
        if source is not None and rng.random() < 0.5 * (self.shape.ops is not CHAINED):
            chosen |= source.controls
        return chosen

    def automatic(self, name: str, kinds: tuple[str, ...], inputs: list[Value]) -> set[str]:
        handles = {*self.handles["v"], *self.handles["t"]}
        touched = [self.same.get(value.node, value.node) for value in inputs if value.node in handles]
        if not set(AMBIENT).isdisjoint(kinds):
            touched.append(STATELESS)
        return self.automatic_controls.of(name, touched, writing=not set(WRITES).isdisjoint(kinds))

    def by_way(self, needed: set[str], sources: set[str]) -> set[str]:
        """Control inputs behind all that are needed; where the shape says so, others that wait for those."""
        if not self.shape.indirect:
            return needed
        covered = sources.union(*(self.above.get(source, ()) for source in sources))
        found: set[str] = set()
        for name in self.rng.sample(sorted(needed), len(needed)):
            if name not in covered:
                chosen = self.rng.choice([name, *(node for node, above in self.above.items() if name in above)])
                found.add(chosen)
                covered |= {chosen, *self.above[chosen]}
        return found


def make(seed: int) -> tuple[Shape, Module]:
    """The shape and the module of a seed: a main graph, called "", and the functions that it calls."""
    rng = Random(seed)
    shape = rng.choice(SHAPES)
    graphs: dict[str, Graph] = {}
    functions: dict[str, tuple[str, ...]] = {}
    if shape.calls:
        for number, name in enumerate(("f", "g", "h")[: rng.randint(1, 3)]):
            inner = replace(shape, kept=False, fed=False, handles=False, nodes=rng.randint(1, 3), stateful=2)
            # The second may call the first; the rest stay small, for the schedules' sake.
            graph = _graph(rng, inner, name, functions if number == 1 else {})
            graphs |= _variants(rng, graph)
            kinds = [node.op for node in graph.nodes.values()]
            functions[name] = (*kinds, *(op for called in _called(graph) for op in functions[called.split("_")[0]]))
    main = _graph(rng, shape, "", functions)
    if rng.random() < 0.5:
        main = main.evolve({name: main.nodes[name] for name in rng.sample(list(main.nodes), len(main.nodes))})
    used = set(_called(main))
    for graph in reversed(list(graphs.values())):
        used |= set(_called(graph)) if graph.name in used else set()
    return shape, Module({"": main, **{name: graph for name, graph in graphs.items() if name in used}})


def _called(graph: Graph) -> list[str]:
    return [function.name for node in graph.nodes.values() for function in node.attrs.functions]


def _variants(rng: Random, graph: Graph) -> dict[str, Graph]:
    """The function itself, as a loop's condition, and as a loop's body, which gives the handles on."""
    value = graph.outputs[0][1]
    test = replace(graph, name=f"{graph.name}_test", outputs=(("out", value),))
    handles = tuple((name, Value(name)) for name in list(ARGUMENTS)[1:])
    loop = replace(graph, name=f"{graph.name}_loop", outputs=(("out", value), *handles))
    return {one.name: one for one in (graph, test, loop)}


def _graph(rng: Random, shape: Shape, name: str, functions: dict[str, tuple[str, ...]]) -> Graph:
    builder = Builder(rng, shape, functions)
    builder.start()
    for number in range(shape.nodes if name else rng.randint(3, shape.nodes)):
        builder.add(f"n{number}")
    own = [node for node in builder.nodes if node not in ARGUMENTS]
    values = builder.values
    valued = {value.node for value in values}
    if name:
        outputs = tuple((label, rng.choice(values[-4:])) for label in ("out", "more"))
    else:
        chosen = [value for value in values if value.node in own]
        chosen += rng.choices(chosen or values, k=rng.randint(0, 2))  # outputs repeat
        outputs = tuple((f"o{number}", value) for number, value in enumerate(chosen))
    effects = {*READS, *WRITES, *AMBIENT, *CALLS}
    controls = tuple((node, node) for node in own if node not in valued or builder.nodes[node].op in effects)
    fed = [rng.choice(values).node] if shape.fed else []
    kept = frozenset(rng.sample(sorted(valued.intersection(own)), k=min(2, len(valued.intersection(own)))))
    return Graph(
        name,
        builder.nodes,
        tuple(dict.fromkeys([*ARGUMENTS, *fed])),
        outputs,
        controls,
        kept if shape.kept and rng.random() < 0.5 else frozenset(),
    )
