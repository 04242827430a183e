"""Op facts that other distributions add by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from tfreuse.errors import InputError
from tfreuse.ops.facts import Facts, builtin_facts, merge_facts, parse_facts

GROUP = "tfreuse.ops"
"""Entry points of this group name a text of rows in the form of `facts.txt`."""


@cache
def installed_facts() -> Mapping[str, Facts]:
    """The built-in rows and those of installed distributions.

    Raises:
        InputError: if an entry point gives no text, rows that do not parse, or an op that is known already.
    """
    facts: Mapping[str, Facts] = builtin_facts()
    for point in entry_points(group=GROUP):
        origin = point.dist.name if point.dist else point.value
        where = f"op facts {point.name!r} of {origin}"
        try:
            text = point.load()
        except Exception as error:  # a third party's import may raise anything
            raise InputError(f"{where} cannot be loaded: {error}") from error
        if not isinstance(text, str):
            raise InputError(f"{where} must be a text of rows")
        facts = merge_facts(facts, parse_facts(text, where).values(), origin)
    return facts
