"""What each op does, read from `facts.txt` and `commutative.txt`; both are allowlists reviewed by hand.

An op without a row has unknown effects: it conflicts with everything and is never merged. The registry's
`is_stateful` is no substitute (docs/explanation/soundness.md says where it is silent or wrong).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tfreuse.errors import InputError
from tfreuse.ir.dtypes import number_of

KINDS = frozenset({"pure", "allocates", "calls", "control", "opaque", "unknown", "effects"})
FLAGS = frozenset({"raises", "stateless-random", "quantization-unit", "cheap-large", "variant"})


@dataclass(frozen=True)
class Access:
    """One access to state: `mode` is "read" or "write"; `target` an input's declared name or an "@ambient"."""

    mode: str
    target: str


@dataclass(frozen=True)
class Facts:
    """What an op does.

    `kind` is one of `KINDS`: *pure* (a function of operands and attributes), *effects* (only the listed
    `accesses`), *allocates* (creates an identity), *calls* (does what its functions do), *control* (TF1 control
    flow), *opaque* (its value comes from outside), *unknown*.
    `flags`: *raises* (may fail depending on values, so it may not run where it did not run before),
    *stateless-random*, *quantization-unit*, *cheap-large* (cheap to recompute, large to keep), *variant*.
    """

    op: str
    kind: str
    accesses: tuple[Access, ...] = ()
    flags: frozenset[str] = frozenset()


def parse_facts(text: str, where: str = "op facts") -> dict[str, Facts]:
    """Rows `Op effect... flag...`, `#` starts a comment; errors begin with `where`.

    Raises:
        InputError: naming the row that does not parse or stands twice.
    """
    rows: dict[str, Facts] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        op, *rest = words
        if op in rows:
            raise InputError(f"{where}: {op} has two rows; keep one")
        accesses = tuple(_access(word) for word in rest if ":" in word)
        kinds = [word for word in rest if word in KINDS]
        flags = frozenset(word for word in rest if word in FLAGS)
        if len(kinds) + len(accesses) + len(flags) != len(rest) or len(kinds) > 1 or not (kinds or accesses):
            raise InputError(f"{where}: cannot read the row {line.strip()!r}")
        rows[op] = Facts(op, kinds[0] if kinds else "effects", accesses, flags)
    return rows


def parse_commutative(text: str) -> dict[str, frozenset[int]]:
    """Rows `Op dtype...`: the element types for which swapping two operands cannot change the result.

    Raises:
        InputError: naming an unknown type.
    """
    rows: dict[str, frozenset[int]] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            try:
                rows[words[0]] = frozenset(number_of(name) for name in words[1:])
            except KeyError as error:
                raise InputError(f"commutative ops: unknown type {error} in {line.strip()!r}") from None
    return rows


@cache
def builtin_facts() -> Mapping[str, Facts]:
    """The rows of `facts.txt`."""
    return parse_facts(_read("facts.txt"))


@cache
def builtin_commutative() -> Mapping[str, frozenset[int]]:
    """The rows of `commutative.txt`."""
    return parse_commutative(_read("commutative.txt"))


def merge_facts(base: Mapping[str, Facts], extra: Iterable[Facts], origin: str) -> dict[str, Facts]:
    """`base` with the rows that a third party adds; it may not change a row that exists.

    Raises:
        InputError: naming the op that is known already.
    """
    merged = dict(base)
    for facts in extra:
        if facts.op in merged:
            raise InputError(f"op facts of {origin}: {facts.op} has a row already; remove it there")
        merged[facts.op] = facts
    return merged


def _access(word: str) -> Access:
    mode, _, target = word.partition(":")
    if mode not in ("reads", "writes") or not target:
        raise InputError(f"op facts: cannot read the effect {word!r}")
    return Access("read" if mode == "reads" else "write", target)


def _read(name: str) -> str:
    return (resources.files("tfreuse.ops") / name).read_text("utf-8")
