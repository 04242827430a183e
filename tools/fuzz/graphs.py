"""Random effectful graphs, quickly made from a seed: the programs of kind a."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tfreuse.ir.graph import Graph, Module, Value
from tools.fuzz.builder import Builder
from tools.fuzz.shapes import AMBIENT, ARGUMENTS, CALLS, READS, SHAPES, WRITES, Shape


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
