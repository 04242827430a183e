"""What a program would do to the world outside of it: such a program is not run only to be compared."""

from __future__ import annotations

from tfreuse.ir.graph import Module
from tfreuse.ops.registry import Ops
from tfreuse.validate.draws import reached
from tfreuse.validate.signatures import Signature

_HARMLESS = frozenset(
    {
        "Assert", "CheckNumerics", "CheckNumericsV2", "DebugNanCount", "DebugNumericSummary", "DebugNumericSummaryV2",
        "DecodeProtoV2", "EncodeProto", "ImmutableConst", "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2", "MatchingFiles", "Print", "PrintV2", "ReadFile", "ReaderRead",
        "ReaderReadUpTo", "ReaderReadUpToV2", "ReaderReadV2", "RecordInput", "Restore", "RestoreSlice", "RestoreV2",
        "Skipgram",
    }
)  # fmt: skip
"""Ops that print, check or read; facts.txt calls what they do an effect on `@io`, as it calls writing a file."""


def deed(module: Module, ops: Ops, signature: Signature) -> str:
    """The first op that would write files, send to others or end the process; empty if there is none."""
    for function, names in reached(module, [value.node for _, value in signature.outputs]).items():
        for name in sorted(names):
            op = module.graphs[function].nodes[name].op
            targets = {access.target for access in ops.facts(op).accesses if access.mode == "write"}
            if targets & {"@network", "@abort"} or ("@io" in targets and op not in _HARMLESS):
                return op
    return ""
