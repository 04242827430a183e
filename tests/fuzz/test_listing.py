"""How much of what MLIR keeps apart is equal once it is known what each op reads and writes."""

from __future__ import annotations

import pytest

from tools.fuzz.listing import Listing

READ = '%{0} = "tf.ReadVariableOp"(%arg{1}) {{device = ""}} : (tensor<*x!tf_type.resource>) -> tensor<*xf64>'
WRITE = '"tf.AssignVariableOp"(%arg{0}, %arg2) {{device = ""}} : (tensor<*x!tf_type.resource>, tensor<f64>) -> ()'
CALL = '%{0} = "tf.StatefulPartitionedCall"(%arg{1}, %arg{2}) <{{f = @{3}}}> : (tensor<f64>) -> tensor<f64>'
WHILE = '%{0}:2 = "tf.While"(%arg{1}, %arg{2}) <{{body = @{3}, cond = @{4}}}> : (tensor<f64>) -> tensor<f64>'
READER = [READ.format(0, 1), "return %0"]
WRITER = [READ.format(0, 0), WRITE.format(1), "return %0"]


def listing(*main: str, **functions: list[str]) -> Listing:
    lines = ["module {", '  func.func @"main"(%arg0: tensor<f64>) {', *(f"    {line}" for line in main), "  }"]
    for name, body in functions.items():
        lines += [f"  func.func private @{name}(%arg0: tensor<f64>) {{", *(f"    {line}" for line in body), "  }"]
    return Listing("\n".join(lines))


def reads(*between: str, **functions: list[str]) -> int:
    """How many of two equal reads of the first argument are left with these lines between."""
    return listing(READ.format("a", 0), *between, READ.format("b", 0), **functions).left()["ReadVariableOp"]


@pytest.mark.parametrize(
    ("between", "left"),
    [
        ([], 1),
        ([WRITE.format(1)], 1),
        ([WRITE.format(0)], 2),
        ([CALL.format("c", 1, 0, "reader")], 2),  # its own read, and one of the two
        ([CALL.format("c", 0, 1, "writer")], 2),
        ([CALL.format("c", 1, 0, "writer")], 3),
        ([WHILE.format("c", 1, 0, "writer", "reader")], 4),
        ([WHILE.format("c", 0, 1, "writer", "reader")], 3),
        ([CALL.format("c", 0, 1, "outer")], 2),
        ([CALL.format("c", 1, 0, "outer")], 3),
    ],
)
def test_reads_with_something_between(between: list[str], left: int) -> None:
    outer = [CALL.format("c", 0, 1, "writer"), "return %c"]
    assert reads(*between, reader=READER, writer=WRITER, outer=outer) == left


def test_an_attribute_of_tracing_tells_nothing_apart() -> None:
    traced = READ.format("b", 0).replace("{device", "{_has_manual_control_dependencies = true, device")
    found = listing(READ.format("a", 0), traced)
    assert (found.ops()["ReadVariableOp"], found.left()["ReadVariableOp"]) == (2, 1)
    other = READ.format("b", 0).replace('""', '"/device:CPU:1"')
    assert listing(READ.format("a", 0), other).left()["ReadVariableOp"] == 2


def test_calls_that_read_are_equal_if_their_functions_are() -> None:
    calls = [CALL.format("a", 0, 1, "one"), CALL.format("b", 0, 1, "two")]
    assert listing(*calls, one=READER, two=READER).left()["StatefulPartitionedCall"] == 1
    assert listing(*calls, one=READER, two=[READ.format(0, 0), "return %0"]).left()["StatefulPartitionedCall"] == 2
    assert listing(*calls, one=WRITER, two=WRITER).left()["StatefulPartitionedCall"] == 2
    apart = [calls[0], WRITE.format(1), calls[1]]
    assert listing(*apart, one=READER, two=READER).left()["StatefulPartitionedCall"] == 2


def test_functions_that_nothing_calls_do_not_count() -> None:
    found = listing(READ.format("a", 0), reader=READER)
    assert found.ops() == {"ReadVariableOp": 1}
    called = listing(CALL.format("a", 0, 1, "reader"), reader=READER)
    assert called.ops() == {"ReadVariableOp": 1, "StatefulPartitionedCall": 1}
