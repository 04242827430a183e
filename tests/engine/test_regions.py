"""Duplicate regions: copies of one tower, grouped by what survives of them."""

from __future__ import annotations

from tests.engine.build import main_graph, run
from tfreuse.analysis.regions import Region, merged_regions


def tower(name: str, source: str = "x") -> str:
    return (
        f"{name}_k = ReadVariableOp(v) {{dtype: float}}\n"
        f"{name}_two = Const() {{dtype: float, value: tensor(float, [], 2.0)}}\n"
        f'{name}_c = Conv2D({source}, {name}_k) {{T: float, padding: "SAME", strides: [i: 1, 1, 1, 1]}}\n'
        f"{name}_y = Mul({name}_c, {name}_two) {{T: float}}\n"
    )


ARGUMENTS = "x = _Arg()\nz = _Arg()\nv = _Arg()\nargument x\nargument z\nargument v\n"


def regions(text: str) -> list[Region]:
    result = run(ARGUMENTS + text)
    forward = {edit.node: edit.other for edit in result.graphs[""].journal if edit.kind == "merge"}
    return merged_regions(main_graph(ARGUMENTS + text), forward)


def names(name: str) -> tuple[str, ...]:
    return f"{name}_k", f"{name}_two", f"{name}_c", f"{name}_y"


def test_a_tower_twice_is_one_region() -> None:
    found = regions(tower("a") + tower("b") + "y = Sub(a_y, b_y) {T: float}\noutput y = y")
    assert found == [Region(names("a"), (names("b"),))]


def test_a_tower_three_times_is_one_region_with_two_copies() -> None:
    found = regions(tower("a") + tower("b") + tower("c") + "y = AddN(a_y, b_y, c_y) {N: 3, T: float}\noutput y = y")
    assert found == [Region(names("a"), (names("b"), names("c")))]


def test_towers_that_only_share_weights_and_constants_are_no_region() -> None:
    found = regions(tower("a") + tower("b", "z") + "y = Sub(a_y, b_y) {T: float}\noutput y = y")
    assert sorted(region.survivor for region in found) == [("a_k",), ("a_two",)]


def test_two_towers_twice_are_two_regions_the_larger_one_first() -> None:
    small = "{0} = Exp(z) {{T: float}}\n"
    text = small.format("e") + tower("a") + small.format("f") + tower("b")
    found = regions(text + "y = AddN(a_y, b_y, e, f) {N: 4, T: float}\noutput y = y")
    assert found == [Region(names("a"), (names("b"),)), Region(("e",), (("f",),))]


def test_nothing_merged_is_no_region() -> None:
    assert regions(tower("a") + "output y = a_y") == []


def test_constants_alone_are_a_region_of_their_own() -> None:
    text = "a = Const() {dtype: float, value: tensor(float, [], 2.0)}\n"
    text += text.replace("a =", "b =") + "y = AddN(x, a, b) {N: 3, T: float}\noutput y = y"
    assert regions(text) == [Region(("a",), (("b",),))]
