"""The report's section on the library of functions: how many there are, who stands for whom, what repeats in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tfreuse.ir.attrs import Tensor
from tfreuse.ir.graph import Module
from tfreuse.pipeline.run import Result


def library_entry(results: Sequence[Result], sizes: tuple[int | None, int | None] = (None, None)) -> dict[str, Any]:
    """Sums and lists over the results; `sizes` are the bytes of the model's file before and after, where it has one."""
    merged = [
        {"function": name, "label": result.labels.get(name, ""), "into": other}
        for result in results
        for name, other in sorted(result.library.merged.items())
    ]
    constants = _repeated(result.after for result in results)
    return {
        "functions": {
            "before": sum(_functions(result.before) for result in results),
            "after": sum(_functions(result.after) for result in results),
        },
        "bytes": {"before": sizes[0], "after": sizes[1]},
        "merged": merged,
        "unreachable": sorted(name for result in results for name in result.library.removed),
        "shapes_stripped": any(result.library.without_shapes for result in results),
        "repeated_constants": {
            "count": sum(count - 1 for count in constants.values()),
            "bytes": sum(_size(tensor) * (count - 1) for tensor, count in constants.items()),
        },
    }


def weights_entry(repeated: Iterable[Any]) -> dict[str, Any]:
    """Weights that a checkpoint holds more than once (`bridge.checkpoint.Repeated`), and what sharing would save."""
    found = list(repeated)
    return {
        "repeated": [
            {"names": list(entry.names), "dtype": entry.dtype, "shape": list(entry.shape), "bytes": entry.bytes}
            for entry in found
        ],
        "bytes": sum(entry.saved for entry in found),
    }


def _functions(module: Module) -> int:
    return len((module.graphs.keys() | module.opaque.keys()) - {""})


def _repeated(modules: Iterable[Module]) -> Counter[Tensor]:
    """Constants that stand more than once, in one body or in several: a body can use none but its own."""
    found = Counter(
        attr.value
        for module in modules
        for graph in module.graphs.values()
        for node in graph.nodes.values()
        if node.op == "Const" and (attr := node.attrs.get("value")) is not None and isinstance(attr.value, Tensor)
    )
    return Counter({tensor: count for tensor, count in found.items() if count > 1})


def _size(tensor: Tensor) -> int:
    elements = tensor.elements
    return len(elements) if isinstance(elements, bytes) else sum(map(len, elements))
