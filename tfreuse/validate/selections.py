"""The lemma of selections, checked: a value cut out of a computation on a union is the one that a window gave.

Nothing of the rewrite is believed. Both values are told as elements of terms (`tfreuse.validate.forms`), the old one
in the graph before, the new one through the nodes that were added, and must come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from tfreuse.ir.graph import Graph, Node, Value
from tfreuse.ops.elements import BINARY, REDUCTIONS, UNARY
from tfreuse.ops.integers import Integers
from tfreuse.validate.form_broadcast import beside_of, of_rank
from tfreuse.validate.form_choices import CHOICES, chosen
from tfreuse.validate.form_dilated import between, span
from tfreuse.validate.form_gathers import gathered, patches
from tfreuse.validate.form_kinds import ROW, WHOLE, Kind, kinds_of
from tfreuse.validate.forms import Form, Numbers, Place, TermTable, place, reshaped
from tfreuse.validate.stated import Shape, stated


class Selections:
    """Forms of the values of `before` and of the nodes that `after` has in addition.

    `classes` has a number for every node before; `is_pure` says which of them are functions of their operands;
    `meaning` gives what op, device and attributes of a node mean.
    """

    def __init__(
        self,
        before: Graph,
        after: Graph,
        classes: Mapping[str, int],
        is_pure: Callable[[str], bool],
        meaning: Callable[[Node], Hashable],
    ) -> None:
        self._before = before
        self._nodes: dict[str, Node] = {**after.nodes, **before.nodes}
        self._classes, self._is_pure, self._meaning = classes, is_pure, meaning
        self._integers = Integers(self._nodes, before.arguments)
        self._terms = TermTable()
        self._forms: dict[Value, Form | None] = {}
        self._leaves: dict[int, Form] = {}
        self._alike: dict[int, list[str]] = {}

    def are_equal(self, old: str, new: str) -> bool:
        """Whether two nodes are proved to have the same first output."""
        one, other = self.form(Value(old)), self.form(Value(new))
        return one is not None and one == other

    def form(self, value: Value) -> Form | None:
        """The form of a value, those of its operands first; None for a new node that is not understood."""
        work = [value]
        while work:
            at = work[-1]
            if at in self._forms:
                work.pop()
                continue
            node = self._nodes[at.node]
            missing = (
                [] if self._is_outside(node) else [operand for operand in node.inputs if operand not in self._forms]
            )
            if missing and len(work) <= len(self._nodes):
                work += missing
                continue
            work.pop()
            self._forms[at] = self._compute(node, at.port)
        return self._forms[value]

    def _is_outside(self, node: Node) -> bool:
        """Whether a node of the graph before is taken as it is."""
        return node.name in self._before.nodes and not self._is_pure(node.name)

    def _compute(self, node: Node, port: int) -> Form | None:
        is_old = node.name in self._before.nodes
        if self._is_outside(node):
            return self._leaf(node, port)
        forms = [self._forms.get(operand) for operand in node.inputs]
        found: Form | None = None
        stated = self.shape(Value(node.name, port))
        if node.op in CHOICES:
            found = chosen(node, port, forms, self._integers, stated)
        elif node.op == "GatherV2":
            found = gathered(node, forms[0], self._integers)
        elif node.op == "ExtractImagePatches":
            found = patches(node, forms[0])
        elif node.op == "BatchToSpaceND":
            found = self._dilated(node)
        elif port == 0 and (not is_old or any(form is not None and not self._is_leaf(form) for form in forms)):
            found = self._applied(node, forms)
        if not is_old:
            return found
        return found if found is not None and _agree(found, stated) else self._leaf(node, port)

    def _is_leaf(self, form: Form) -> bool:
        """Whether it is a value of the graph before, all of it."""
        return self._leaves.get(form.term) == form

    def _leaf(self, node: Node, port: int) -> Form | None:
        shape = self.shape(Value(node.name, port))
        if shape is None or 0 in shape:
            return None
        term = self._terms.number(("value", self._classes[node.name] + port))
        whole = _whole(term, tuple(None if size < 0 else size for size in shape))
        return self._leaves.setdefault(term, whole)

    def shape(self, value: Value) -> Shape | None:
        """The static shape of a value before, as the graph states it of this value or of one that is equal to it."""
        found = self._stated(value)
        if found is None and value.node in self._classes:
            if not self._alike:
                for name in self._before.nodes:
                    self._alike.setdefault(self._classes[name], []).append(name)
            alike = self._alike.get(self._classes[value.node] + value.port, ())
            found = next(filter(None, (self._stated(Value(other)) for other in alike)), None)
        return found

    def _stated(self, value: Value) -> Shape | None:
        return stated(self._before, value) if value.node in self._before.nodes else None

    def _others(self, values: Iterable[Value]) -> tuple[int, ...] | None:
        """The classes of operands that are taken as they are; they must have been there before."""
        found = []
        for value in values:
            if value.node not in self._before.nodes:
                return None
            found.append(self._classes[value.node] + value.port)
        return tuple(found)

    def _applied(self, node: Node, forms: list[Form | None]) -> Form | None:
        if node.op in UNARY or node.op in BINARY:
            return self._elementwise(node, forms)
        form, others = forms[0] if forms else None, self._others(node.inputs[1:])
        if form is None or others is None:
            return None
        if node.op in REDUCTIONS:
            axes = self._integers.list_of(node.inputs[1])
            return None if axes is None else self._reduced(node, form, {axis % len(form.lengths) for axis in axes})
        if node.op in ("Pad", "PadV2", "MirrorPad"):
            pads = self._integers.list_of_pairs(node.inputs[1])
            if pads is None or len(pads) != len(form.lengths):
                return None
            padded: list[Kind] = [ROW if pair == (0, 0) else WHOLE for pair in pads]
            return self._term(node, form, padded, ("others", *others))
        taps = self.shape(node.inputs[1]) if len(node.inputs) > 1 else None
        kinds = kinds_of(node, len(form.lengths), taps)
        return None if kinds is None else self._term(node, form, kinds, ("others", *others))

    def _dilated(self, node: Node) -> Form | None:
        nodes = span(node, self._nodes)
        form = None if nodes is None else self._forms.get(nodes[0].inputs[0])
        if nodes is None or form is None or any(self._is_outside(step) for step in nodes):
            return None
        if self._is_leaf(form) and node.name in self._before.nodes:
            return None
        found = between(nodes, form.lengths, self._integers, self.shape)
        others = None if found is None else self._others(found.others)
        if found is None or others is None:
            return None
        meanings = tuple(self._meaning(step) for step in nodes)
        return self._term(node, form, found.kinds, ("dilated", meanings, found.numbers, others))

    def _elementwise(self, node: Node, forms: list[Form | None]) -> Form | None:
        rank = max((len(form.lengths) for form in forms if form is not None), default=-1)
        forms = [None if form is None else of_rank(form, rank) for form in forms]
        full = [form for form in forms if form is not None]
        first = min(full, key=lambda form: form.lengths.count(1), default=None)  # others may be repeated along an axis
        if first is None:
            return None
        kinds: list[Kind] = [ROW] * rank
        parts: list[Hashable] = []
        for value, form in zip(node.inputs, forms, strict=True):
            beside = None if form is None else beside_of(first, form)
            if form is not None and beside is not None:
                found, first = beside
                parts.append(("term", form.term, found))
                continue
            known = self._others([value])
            shape = self.shape(value)
            if known is None or shape is None or len(shape) > rank:
                return None
            for back, size in enumerate(reversed(shape), 1):
                if size != 1:
                    kinds[-back] = WHOLE
                    if first.lengths[-back] != (None if size < 0 else size):
                        return None
            parts.append(("value", *known))
        return self._term(node, first, kinds, tuple(parts))

    def _reduced(self, node: Node, form: Form, axes: set[int]) -> Form | None:
        kinds: list[Kind] = [WHOLE if axis in axes else ROW for axis in range(len(form.lengths))]
        found = self._term(node, form, kinds, (), keeps=False)
        if found is None or node.attrs.value("keep_dims"):
            return found
        return reshaped(found, tuple(length for axis, length in enumerate(found.lengths) if axis not in axes))

    def _term(self, node: Node, form: Form, kinds: list[Kind], more: Hashable, keeps: bool = True) -> Form | None:
        """The form of an op's result. Along a row axis it keeps its coordinates; along a window it moves from one to
        the next; what is taken whole becomes part of the term, and, if it `keeps` the axis, a coordinate of its own.
        """
        # Axes count from the last one: in a union of lines, axes of length 1 may stand where the windows have none.
        key: list[Any] = ["op", self._meaning(node), form.term, more]
        rank = len(form.lengths)
        alongs: list[dict[int, Numbers]] = [dict(at.along) for at in form.places]
        lengths, wholes, spent = list(form.lengths), list[int](), set[int]()
        for axis, kind in enumerate(kinds):
            if kind == ROW:
                continue
            run = form.along(axis)
            if not isinstance(kind, str):
                size, stride, dilation = kind
                reach, length = (size - 1) * dilation + 1, form.lengths[axis]
                steps = [numbers for _, numbers in run if isinstance(numbers, range)]
                if length is not None and length >= reach and (len(run) == len(steps) == 1 or length == 1):
                    count = (length - reach) // stride + 1
                    if run:
                        step = steps[0].step
                        alongs[run[0][0]][axis] = range(0, step * stride * count, step * stride)
                        if reach > 1:
                            key.append((axis - rank, "window", run[0][0], step))
                    lengths[axis] = count
                    continue
            key.append((axis - rank, "whole", form.lengths[axis], tuple(run)))
            wholes.append(axis)
            spent.update(number for number, _ in run)
            for along in alongs:
                along.pop(axis, None)
        # A coordinate taken whole from 0 says nothing more, and a deep network has one for each layer.
        gone = {number for number in spent if not alongs[number] and not form.places[number].constant}
        key.append(("gone", *sorted(gone)))
        fresh = tuple(self._length(node, axis, form.lengths[axis]) for axis in wholes) if keeps else ()
        term = self._terms.number(tuple(key), fresh)
        pairs = enumerate(zip(form.places, alongs, strict=True))
        places = [place(at.constant, along) for number, (at, along) in pairs if number not in gone]
        for number, axis in enumerate(wholes):
            lengths[axis] = self._terms.fresh[term][number] if keeps else 1
            if keeps:
                places.append(_run_of(axis, lengths[axis], f"new axis {number} of term {term}"))
        return Form(term, tuple(lengths), tuple(places))

    def _length(self, node: Node, axis: int, old: int | None) -> int | None:
        """The length that an op gives to an axis that it takes whole; None where that is not known."""
        stated = self.shape(Value(node.name))
        if stated is not None and stated[axis] >= 0:
            return stated[axis]
        if node.op in UNARY or node.op in BINARY or node.op in ("BiasAdd", "Softmax", "LogSoftmax"):
            return old
        taps = self.shape(node.inputs[1]) if node.op in ("Conv2D", "Conv3D") else None
        channel = 1 if node.attrs.value("data_format", b"").startswith(b"NC") else -1
        is_channel = taps is not None and axis == channel % len(taps)
        return taps[-1] if taps is not None and is_channel and taps[-1] >= 0 else None


def _run_of(axis: int, length: int | None, name: str) -> Place:
    return place(0, {axis: name if length is None else range(length)})


def _whole(term: int, lengths: tuple[int | None, ...]) -> Form:
    places = (_run_of(axis, length, f"axis {axis} of term {term}") for axis, length in enumerate(lengths))
    return Form(term, lengths, tuple(places))


def _agree(form: Form, stated: Shape | None) -> bool:
    """Whether a form has the shape that the graph states."""
    if stated is None:
        return True
    if len(stated) != len(form.lengths):
        return False
    return all(length is None or size < 0 or size == length for length, size in zip(form.lengths, stated, strict=True))
