"""Run in an interpreter that sees the plug-in distribution: golden files given as arguments are checked.

The files may hold ops of the plug-in, whose signatures TensorFlow would give if their library were loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tfreuse.ops.plugins import installed_facts
from tfreuse.ops.registry import Ops
from tfreuse.ops.schema import RESOURCE, Arg, OpSchema
from tfreuse.testing.golden import check_case, check_hashing, check_orders, read_case
from tfreuse.testing.schemas import snapshot

ONE_TO_ONE = {"inputs": (Arg("x", type_attr="T"),), "outputs": (Arg("y", type_attr="T"),)}
EXTRA = {
    "Neg": OpSchema("Neg", **ONE_TO_ONE),
    "ExampleScale": OpSchema("ExampleScale", **ONE_TO_ONE),
    "ExampleTally": OpSchema(
        "ExampleTally", (Arg("counter", type=RESOURCE),), (Arg("count", type=1),), is_stateful=True
    ),
}

if __name__ == "__main__":
    ops = Ops({**snapshot(), **EXTRA}.get, installed_facts())
    for path in sys.argv[1:]:
        case = read_case(Path(path))
        check_case(case, ops)
        check_hashing(case, ops)
        check_orders(case, ops)
