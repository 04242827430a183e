"""How results of ops come by their memory, read from `buffers.txt`: for estimates, and for who sees a TF1 reference."""

from __future__ import annotations

from functools import cache
from importlib import resources

VIEW, REUSES, MAY_VIEW = "view", "reuses", "may-view"


@cache
def buffer_ops(kind: str) -> frozenset[str]:
    """The ops of one kind: `VIEW` (the result is operand 0's buffer), `REUSES` (it may take over an operand's buffer),
    `MAY_VIEW` (for some operands it is a part of an operand's buffer).

    A kernel takes a buffer over (`forward_input_or_allocate_output` in op_kernel.h) where nobody else holds it and
    the sizes are equal.
    """
    found = set()
    for line in (resources.files("tfreuse.ops") / "buffers.txt").read_text("utf-8").splitlines():
        words = line.split("#", 1)[0].split()
        if kind in words[1:]:
            found.add(words[0])
    return frozenset(found)
