"""An order for one node at a time that keeps few results in memory."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping


def frugal_order(
    wanted: Iterable[str],
    sources: Mapping[str, list[str]],
    needs: Mapping[str, Iterable[str]],
    sizes: Mapping[str, int],
    unknown: Container[str],
    pinned: Container[str],
    depth: Mapping[str, int],
) -> dict[str, int]:
    """The place of each node: depth first from `wanted`, each node just before it is needed, the deepest source first.

    A node that frees as many bytes as it takes goes as soon as it can: a weight's gradient, whose operand then need not
    wait. To find the best order is NP-complete (Sethi, "Complete register allocation problems", 1975); this one is
    linear. `needs` are the buffers that a node uses, by the node that made them; those `pinned` are never freed. Nodes
    whose size is `unknown` may take any.
    """
    users: dict[str, list[str]] = {name: [] for name in sources}
    waits = {name: len(found) for name, found in sources.items()}
    left: dict[str, set[str]] = {}
    for name, found in sources.items():
        for source in found:
            users[source].append(name)
        for buffer in needs[name]:
            left.setdefault(buffer, set()).add(name)
    at: dict[str, int] = {}

    def is_free(name: str) -> bool:
        """Whether the node can run, and frees what it takes."""
        if waits[name] or name in at or name in unknown:
            return False
        last = [buffer for buffer in needs[name] if len(left[buffer]) == 1 and buffer not in pinned]
        return sizes.get(name, 0) <= sum(sizes.get(buffer, 0) for buffer in last)

    def run(name: str) -> None:
        work = [name]
        while work:
            name = work.pop()
            if name in at:
                continue
            at[name] = len(at)
            for user in users[name]:
                waits[user] -= 1
            nearer = list(users[name])
            for buffer in needs[name]:
                left[buffer].discard(name)
                if len(left[buffer]) == 1:
                    nearer += left[buffer]
            work += [user for user in nearer if is_free(user)]

    work = list(wanted)[::-1]
    started: set[str] = set()
    while work:
        name = work[-1]
        if name in started:
            work.pop()
            run(name)
            continue
        started.add(name)
        work += sorted((source for source in sources[name] if source not in at), key=depth.__getitem__)
    return at
