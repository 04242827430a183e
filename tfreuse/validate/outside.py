"""What a program would do to the world outside of it: such a program is not run only to be compared."""

from __future__ import annotations

import re

from tfreuse.ir.graph import Module
from tfreuse.ops.registry import Ops
from tfreuse.validate.draws import reached
from tfreuse.validate.signatures import Signature

_HARMLESS = frozenset(
    {
        "Assert", "CheckNumerics", "CheckNumericsV2", "DebugNanCount", "DebugNumericSummary", "DebugNumericSummaryV2",
        "DecodeProtoV2", "EncodeProto", "ImmutableConst", "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2", "MatchingFiles", "Print", "PrintV2", "ReadFile", "RecordInput", "Restore",
        "RestoreSlice", "RestoreV2", "Skipgram",
    }
)  # fmt: skip
"""Ops that print, check or read; facts.txt calls what they do an effect on `@io`, as it calls writing a file."""


_WAITING = re.compile("Dequeue|Unstage|TakeMany|TakeGradient|ReaderRead")
"""Ops that wait until another run, which does not come, puts something in."""


def deed(module: Module, ops: Ops, signature: Signature) -> str:
    """Why the program is not run: an op would write files, send to others, end the process or wait for ever."""
    for function, names in reached(module, [value.node for _, value in signature.outputs]).items():
        for name in sorted(names):
            op = module.graphs[function].nodes[name].op
            targets = {access.target for access in ops.facts(op).accesses if access.mode == "write"}
            if targets & {"@network", "@abort"} or ("@io" in targets and op not in _HARMLESS):
                return f"{op} acts on the world outside of the model"
            if _WAITING.search(op):
                return f"{op} may wait for ever"
    return ""
