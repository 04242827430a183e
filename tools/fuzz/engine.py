"""Kind a: random graphs without TensorFlow, judged by the reference interpreter and by the proof."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from tests.engine.interpreter import Term, TooManySchedules, expand, named_resources, outcomes
from tfreuse.ir.dtypes import NUMBERS
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.text import print_module
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import PRESETS, parse_pipeline
from tfreuse.testing.golden import constant_hashes
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved
from tools.fuzz.graphs import make
from tools.fuzz.outcome import Failure, Outcome

OPS = snapshot_ops()
EXACT = PRESETS["exact"]
OTHERS = ("dedupe-reads", "cse,dce", "cse{ops=Neg+AddV2},dce", "dedupe-reads,dce,cse,dce")
LIMIT = 400
"""Schedules' intermediate states: a case with more is left to the proof alone."""
STEPS = 120
"""Steps of a case with its calls expanded: one with more is left to the proof alone."""
WORLDS = 3
EVERY = 6
"""One case in so many is also run with a constant hash, a second time, and in another order of nodes."""

Judge = Callable[[Module], str]


def check(seed: int, preset: str = "exact") -> Outcome:
    """Make the case of a seed and judge what a preset makes of it, or a part of `exact`."""
    rng = Random(~seed)
    shape, module = make(seed)
    pipeline = rng.choice((*(PRESETS[preset],) * 6, *OTHERS))
    extra = rng.randrange(EVERY) if rng.randrange(2) else -1

    def judge(candidate: Module) -> str:
        return judged(candidate, pipeline, shape.aliased, shape.fed, extra)[0]

    problem, result = judged(module, pipeline, shape.aliased, shape.fed, extra)
    if problem:
        return Outcome(0, Failure("a", seed, f"{problem} ({shape.name})", pipeline, module, judge))
    assert result is not None
    return Outcome(merges(result), digest=_digest(result))


def judged(
    module: Module, pipeline: str = EXACT, aliased: bool = False, fed: bool = False, extra: int = -1
) -> tuple[str, Result | None]:
    """What is wrong with what `pipeline` makes of the module, in a few words, or nothing; and the result.

    `aliased` says whether two arguments may be one variable, `fed` whether values that are fed may also be computed.
    """
    steps = parse_pipeline(pipeline)
    try:
        result = run_proved(module, OPS, steps, raise_failures=True)
    except Exception as error:  # whatever the engine raises is a finding
        return f"{type(error).__name__}", None
    if result.after is not result.before and (problem := _seen(module, result.after, aliased, fed)):
        return problem, result
    if extra == 0:
        with constant_hashes():
            other = run_proved(module, OPS, steps, raise_failures=True).after
        if print_module(other) != print_module(result.after):
            return "another result with a constant hash", result
    elif extra == 1:
        again = run_proved(result.after, OPS, steps, raise_failures=True).after
        if print_module(again) != print_module(result.after):
            return "a second run changes something", result
    elif extra == 2:
        other = run_proved(_reversed(module), OPS, steps, raise_failures=True).after
        if problem := _seen(module, other, aliased, fed):
            return f"{problem}, nodes reversed", result
    return "", result


def merges(result: Result) -> int:
    """How many nodes the passes merged."""
    return sum(edit.kind in ("merge", "alias") for found in result.graphs.values() for edit in found.journal)


def _seen(before: Module, after: Module, aliased: bool, fed: bool) -> str:
    """Whether anything can be seen of `after` that cannot be seen of `before`."""
    for one, other in [(before, after), *([(_unfed(before), _unfed(after))] if fed else [])]:
        for resources in _resources(one.graphs[""], aliased):
            programs = expand(one, "", resources), expand(other, "", resources)
            if len(programs[0].steps) > STEPS:
                continue
            for world in range(WORLDS if programs[0].has_branches() else 1):
                terms: dict[Term, int] = {}
                try:
                    was, now = (outcomes(program, terms, LIMIT, world, every=False) for program in programs)
                except TooManySchedules:
                    continue
                if not now <= was:
                    return "a new outcome"
    return ""


def _resources(graph: Graph, aliased: bool) -> Iterator[dict[str, str]]:
    handles = [name for name in graph.arguments if graph.nodes[name].attrs.value("T") == NUMBERS["resource"]]
    variables = tuple(name for name in handles if name != "t")
    for names in named_resources(variables) if aliased else [{name: name for name in variables}]:
        yield {**names, **({"t": "t"} if "t" in handles else {})}


def _unfed(module: Module) -> Module:
    main = module.graphs[""]
    kept = tuple(name for name in main.arguments if main.nodes[name].op == "_Arg")
    return Module({**module.graphs, "": replace(main, arguments=kept)})


def _reversed(module: Module) -> Module:
    graphs = {name: graph.evolve(dict(reversed(graph.nodes.items()))) for name, graph in module.graphs.items()}
    return Module(graphs)


def _digest(result: Result) -> str:
    """The same on every machine and for every hash seed."""
    lines = [f"{remark.id} {remark.nodes}" for remark in result.remarks.items]
    text = "\n".join([print_module(result.after), *lines])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
