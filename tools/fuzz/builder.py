"""Makes one graph node by node: copies of earlier nodes, control inputs, calls."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from random import Random

from tests.engine.generation import STATELESS, AutomaticControls
from tfreuse.ir.attrs import Attr, Attrs, Func, Tensor
from tfreuse.ir.graph import ARGUMENT_OP, Node, Value
from tools.fuzz.shapes import (
    AMBIENT,
    ARGUMENTS,
    CALLS,
    CHAINED,
    FLOAT,
    READS,
    RESOURCE,
    SIGNATURES,
    WRITES,
    Shape,
    types_of,
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
            self.nodes[name] = Node(name, ARGUMENT_OP, attrs=types_of(T=FLOAT if kind == "x" else RESOURCE))
            if kind == "x":
                self.values.append(Value(name))
            else:
                self.handles[kind].append(name)
        if self.shape.handles:
            shared = Attrs({"dtype": Attr("type", FLOAT), "shape": Attr("shape", ()), "shared_name": Attr("s", b"h")})
            source = self.rng.choice(["a", "h"])
            for name in ("h", "i"):
                self.nodes[name] = Node(name, "VarHandleOp", attrs=shared)
            self.nodes["j"] = Node("j", "Identity", (Value(source),), attrs=types_of(T=RESOURCE))
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
