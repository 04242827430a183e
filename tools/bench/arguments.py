"""Options that take several values: `--batch 1 8` becomes `--batch 1 --batch 8`, which typer understands."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def spread(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """`arguments` with each of `options` repeated before each of its values."""
    spread_out: list[str] = []
    option, fresh = "", False
    for argument in arguments:
        if argument.startswith("-"):
            option, fresh = (argument, True) if argument in options else ("", False)
        elif option and not fresh:
            spread_out.append(option)
        else:
            fresh = False
        spread_out.append(argument)
    return spread_out
