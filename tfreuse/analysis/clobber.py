"""Values whose buffer an in-place op overwrites: merging two of them would let the updates clobber each other."""

from __future__ import annotations

from collections.abc import Container

from tfreuse.ir.graph import ARGUMENT_OP, Graph, Node
from tfreuse.ops.registry import Ops
from tfreuse.ops.schema import RESOURCE


def clobbered(graph: Graph, ops: Ops, overwriting: Container[str]) -> frozenset[str]:
    """Names of the nodes that feed an op which may overwrite an operand, directly or through others.

    A producer counts from any distance, because a buffer may be forwarded from node to node. `overwriting` are
    functions that do such a thing to an argument. Other ops, unknown ones too, reuse an operand's buffer only
    where nobody else holds it (`OpKernelContext::forward_input`).
    """
    work = [value.node for node in overwriters(graph, ops, overwriting) for value in node.inputs]
    found: set[str] = set()
    while work:
        name = work.pop()
        if name not in found:
            found.add(name)
            work.extend(value.node for value in graph.nodes[name].inputs)
    return frozenset(found)


def overwriters(graph: Graph, ops: Ops, overwriting: Container[str]) -> list[Node]:
    """The nodes that may overwrite an operand: ops that work in place, and calls of functions that do."""
    suspects = [op for op in graph.by_op if op in overwriting or _may_overwrite(op, ops)]
    found = [graph.nodes[name] for op in suspects for name in graph.by_op[op]]
    return found + [node for node in graph.naming if any(func.name in overwriting for func in node.attrs.functions)]


def _may_overwrite(op: str, ops: Ops) -> bool:
    if op == ARGUMENT_OP:
        return False
    facts = ops.facts(op)
    schema = ops.schema(op)
    written = {access.target for access in facts.accesses if access.mode == "write"}
    if schema is None or not written:
        return False
    return any(arg.name in written and arg.type != RESOURCE and not arg.is_ref for arg in schema.inputs)
