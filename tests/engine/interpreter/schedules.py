"""What can be seen of a program, over all schedules that its edges allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from zlib import crc32

from tests.engine.interpreter.ops import AMBIENT, COMMUTING, COMMUTING_INTEGERS, READS
from tests.engine.interpreter.program import CHOICE, PORTS, Program, Step, Term

NOTHING = -1
"""What a step gives that does not run."""

Number = Callable[[Term], int]


class TooManySchedules(Exception):
    """The state space of the module is larger than the limit given."""


def outcomes(
    program: Program, terms: dict[Term, int], limit: int = 20_000, world: int = 0, every: bool = True
) -> set[Term]:
    """What can be seen of the program: its results and the last state of everything, for every schedule.

    `terms` numbers the terms; two programs to be compared must share it. With `every` off, a step that nothing can
    race with any more runs at once, which leaves out schedules that give no other outcome.

    Raises:
        TooManySchedules: if there are more than `limit` intermediate states.
    """
    live = program.live()
    steps = program.steps
    users: dict[int, list[int]] = {index: [] for index in live}
    for index in live:
        for source in {source for source, _ in steps[index].inputs} | steps[index].waits:
            users[source].append(index)
    rivals: dict[int, list[int]] = {}
    if not every:
        above = program.ancestors()
        rivals = {index: [] for index in live if steps[index].state}
        for one, other in program.conflicts():
            if one not in above[other]:
                rivals[one].append(other)
            if other not in above[one]:
                rivals[other].append(one)

    def number(term: Term) -> int:
        return terms.setdefault(term, len(terms))

    def settle(values: dict[int, tuple[int, ...]]) -> None:
        """Run everything without state that can run."""
        moved = True
        while moved:
            moved = False
            for index in sorted(live - values.keys()):
                step = steps[index]
                if not all(source in values for source, _ in step.inputs) or not step.waits <= values.keys():
                    continue
                if step.guards and not all(_holds(values, *guard, world) for guard in step.guards):
                    values[index] = (NOTHING,) * PORTS
                    moved = True
                elif not step.state:
                    values[index] = _evaluate(step, values, number, world)
                    moved = True

    start: dict[int, tuple[int, ...]] = {}
    settle(start)
    found: set[Term] = set()
    seen: set[Term] = set()
    work: list[tuple[dict[int, tuple[int, ...]], dict[str, int]]] = [(start, {})]
    while work:
        values, states = work.pop()
        ready = [
            index
            for index in live - values.keys()
            if steps[index].state
            and all(source in values for source, _ in steps[index].inputs)
            and steps[index].waits <= values.keys()
        ]
        if not ready:
            assert live == values.keys(), "a schedule got stuck: the graph has a cycle"
            results = tuple((label, values[step][port]) for label, (step, port) in sorted(program.results.items()))
            found.add((results, tuple(sorted(states.items()))))
            continue
        if not every:
            alone = (index for index in ready if all(rival in values for rival in rivals[index]))
            ready = [found for found in [next(alone, None)] if found is not None] or ready
        for index in ready:
            after, new_states = dict(values), dict(states)
            after[index] = _access(steps[index], values, new_states, number)
            settle(after)
            key: Term = (tuple(sorted(after.items())), tuple(sorted(new_states.items())))
            if key not in seen:
                seen.add(key)
                if len(seen) > limit:
                    raise TooManySchedules
                work.append((after, new_states))
    return found


def _holds(values: Mapping[int, tuple[int, ...]], predicate: tuple[int, int], wanted: bool, world: int) -> bool:
    value = values[predicate[0]][predicate[1]]
    return value != NOTHING and _decided(value, world) == wanted


def _decided(value: int, world: int) -> bool:
    """Which way a predicate of this value goes."""
    return value != NOTHING and bool(crc32(b"%d %d" % (value, world)) & 1)


def _evaluate(step: Step, values: Mapping[int, tuple[int, ...]], number: Number, world: int) -> tuple[int, ...]:
    operands = [values[source][port] for source, port in step.inputs]
    if step.constant is not None:
        return (number(step.constant),) * PORTS
    if step.op == "Identity":
        return (operands[0],) * PORTS
    if step.op == CHOICE:
        return (operands[1 if _decided(operands[0], world) else 2],) * PORTS
    if step.op in COMMUTING or (step.op in COMMUTING_INTEGERS and "int" in step.attrs):
        operands.sort()
    return tuple(number((step.op, step.attrs, port, *operands)) for port in range(PORTS))


def _access(
    step: Step, values: Mapping[int, tuple[int, ...]], states: dict[str, int], number: Number
) -> tuple[int, ...]:
    operands = [values[source][port] for source, port in step.inputs]
    state = states.get(step.state)
    if state is None:
        state = number(("initial", step.state))
    result = number((step.op, step.attrs, state, *operands[step.op not in AMBIENT :]))
    if step.op not in READS:
        states[step.state] = result
    return (result,) * PORTS
