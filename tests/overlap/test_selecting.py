"""Selections as TensorFlow lowers them, told by the pass and by the proof, element by element against running them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Summaries
from tfreuse.analysis.lanes import Lanes
from tfreuse.analysis.selections import View
from tfreuse.bridge.module import MAIN, ops_of, read_module
from tfreuse.ir.graph import Graph, Value
from tfreuse.runtime.live import with_outputs
from tfreuse.validate.forms import Form
from tfreuse.validate.selections import Selections

SHAPE = (6, 5, 7, 2)
X: Any = tf.reshape(tf.range(float(np.prod(SHAPE))), SHAPE)
"""Each element is its own number."""


def traced(select: Callable[[Any], Any]) -> tuple[Graph, Lanes, Selections]:
    """The graph of a selection of `X`, and what the pass and the proof make of it."""
    graph = tf.function(select).get_concrete_function(tf.TensorSpec(SHAPE, tf.float32)).graph
    graph_def = graph.as_graph_def()
    ops = ops_of(graph_def)
    module = read_module(graph_def, ops, arguments=[graph.inputs[0].op.name])
    module = with_outputs(module, graph, graph.outputs, graph.control_outputs)
    main = module.graphs[MAIN]
    analyses = Analyses(main, Summaries(module, ops))
    lanes = Lanes(main, ops, analyses.congruence, analyses.kinds, analyses.order, frozenset())
    classes = {name: 8 * number for number, name in enumerate(main.nodes)}
    forms = Selections(main, main, classes, lambda name: main.nodes[name].op != "_Arg", lambda node: (node.op,))
    return main, lanes, forms


def picked(view: View) -> np.ndarray:
    """The elements that a view says."""
    found = np.empty(view.sizes, np.float32)
    tables = dict(view.tables)
    for at in product(*map(range, view.sizes)):
        source = []
        for axis in range(view.rank):
            if axis in tables:
                source.append(tables[axis].start + sum(steps[at[place]] for place, steps in tables[axis].along))
            else:
                source.append(at[view.whole.index(axis)])
        found[at] = X.numpy()[tuple(source)]
    return found


def told(form: Form) -> np.ndarray:
    """The elements that a form says; its coordinates are those of `X`."""
    lengths = [length or 0 for length in form.lengths]
    found = np.empty(lengths, np.float32)
    for at in product(*map(range, lengths)):
        source = [
            place.constant + sum(int(numbers[at[axis]]) for axis, numbers in place.along) for place in form.places
        ]
        found[at] = X.numpy()[tuple(source)]
    return found


def check(select: Callable[[Any], Any]) -> Counter[str]:
    """Compare both accounts of every output with what TensorFlow gives; the ops of the graph."""
    main, lanes, forms = traced(select)
    outputs = [value for _, value in main.outputs]
    for value, expected in zip(outputs, tf.nest.flatten(select(X)), strict=True):
        node = main.nodes[value.node]
        value = node.inputs[0] if node.op == "Identity" else value
        view, form = lanes.views.get(value) or lanes.view(value), forms.form(Value(*value))
        base = None if view is None else lanes.terms.all[view.term].base
        assert view is not None and base is not None and lanes.shape_of(base) == SHAPE, f"{node}: {view}"
        assert base.node == "x" or main.nodes[base.node].inputs[0] == Value("x")  # a copy of it, as tf.signal.frame has
        np.testing.assert_array_equal(picked(view), expected)
        whole = forms.form(base)
        assert form is not None and whole is not None and form.term == whole.term, f"{node}: {form}"
        np.testing.assert_array_equal(told(form), expected)
    return Counter(node.op for node in main.nodes.values())


SELECTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "slice": ("Slice", lambda x: tf.slice(x, [1, 0, 2, 0], [3, -1, 4, -1])),
    "split": ("Split", lambda x: tf.split(x, 3)),
    "split on the last axis": ("Split", lambda x: tf.split(x, 2, axis=-1)),
    "split by sizes": ("SplitV", lambda x: tf.split(x, [1, -1, 2], axis=2)),
    "unstack": ("Unpack", lambda x: tf.unstack(x, axis=1)),
    "gather": ("GatherV2", lambda x: tf.gather(x, [4, 1, 1, 3])),
    "gather windows": ("GatherV2", lambda x: tf.gather(x, [[0, 1, 2], [2, 3, 4]], axis=2)),
    "gather one": ("GatherV2", lambda x: tf.gather(x, 3, axis=1)),
    "tile": ("Tile", lambda x: tf.tile(x, [3, 1, 2, 1])),
    "repeat": ("Tile", lambda x: tf.repeat(x, 3, axis=0)),
    "concat": ("ConcatV2", lambda x: tf.concat([x[1:3], x[4:], x[:2]], 0)),
    "stack": ("Pack", lambda x: tf.stack([x[0:4], x[1:5], x[2:6]])),
    "stack of frames": ("Pack", lambda x: tf.stack([x[:, 3], x[:, 1]], axis=1)),
    "clips to rows": ("Reshape", lambda x: tf.reshape(tf.stack([x[i : i + 3] for i in range(4)]), [12, 5, 7, 2])),
    "rows to clips": ("Reshape", lambda x: tf.reshape(tf.gather(x, [0, 1, 1, 2]), [2, 2, 5, 7, 2])),
    "frame": ("GatherV2", lambda x: tf.signal.frame(x, 4, 2, axis=0)),
    "frame in time": ("GatherV2", lambda x: tf.signal.frame(x, 3, 1, axis=2)),
    "patches": (
        "ExtractImagePatches",
        lambda x: tf.image.extract_patches(x, [1, 3, 2, 1], [1, 1, 2, 1], [1] * 4, "VALID"),
    ),
    "patches with a rate": (
        "ExtractImagePatches",
        lambda x: tf.image.extract_patches(x, [1, 2, 3, 1], [1] * 4, [1, 2, 3, 1], "VALID"),
    ),
    "bounding box": ("Slice", lambda x: tf.image.crop_to_bounding_box(x, 1, 2, 3, 4)),
    "central crop": ("Slice", lambda x: tf.image.central_crop(x, 0.6)),
    "transposed": ("Transpose", lambda x: tf.transpose(x[1:4], [0, 2, 1, 3])),
    "with an axis": ("ExpandDims", lambda x: tf.expand_dims(x[:, 2:4], 1)),
    "without an axis": ("Squeeze", lambda x: tf.squeeze(x[:, 2:3], [1])),
}  # fmt: skip


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_selection(name: str) -> None:
    op, select = SELECTIONS[name]
    assert check(select)[op] >= 1


def test_strided_slices_with_all_masks() -> None:
    source = random.Random(7)
    counts: Counter[str] = Counter()
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    while counts["compared"] < 120:
        length = source.randrange(1, 6)
        masks = {name: source.randrange(1 << length) & source.randrange(1 << length) for name in names}
        masks["ellipsis"] = 1 << source.randrange(length) if source.random() < 0.3 else 0
        numbers = {
            key: [source.randrange(low, high) for _ in range(length)] for key, (low, high) in
            {"begin": (-6, 6), "end": (-8, 9)}.items()
        }  # fmt: skip
        strides = [1 if masks["shrink_axis"] >> n & 1 else source.choice([1, 1, 2, -1, -2]) for n in range(length)]
        masked = {f"{name}_mask": mask for name, mask in masks.items()}

        def select(x: Any, n: Any = numbers, s: Any = strides, m: Any = masked) -> Any:
            return tf.strided_slice(x, n["begin"], n["end"], s, **m)

        try:
            if not tf.size(select(X)) or select(X).shape == X.shape:  # nothing, or everything
                continue
        except (ValueError, tf.errors.InvalidArgumentError):  # more axes than there are, or a row beyond the end
            continue
        check(select)
        counts.update(["compared", *(name for name, mask in masks.items() if mask)])
    print(counts)
    assert min(counts[name] for name in names) >= 20


def test_what_is_taken_whole_still_tells_values_apart() -> None:
    def select(x: Any) -> Any:
        one = tf.reduce_max(x[0:3, 4:5], 0, keepdims=True)
        again = tf.reduce_max(x[0:4][0:3, 3:5][:, 1:], 0, keepdims=True)
        turned = tf.reduce_max(tf.transpose(x[4:5, 0:3], [1, 0, 2, 3]), 0, keepdims=True)
        moved = tf.reduce_max(x[1:4, 4:5], 0, keepdims=True)
        longer = tf.reduce_max(x[0:4, 4:5], 0, keepdims=True)
        return one, again, turned, moved, longer

    main, _, forms = traced(select)
    one, again, *others = [main.nodes[value.node].inputs[0].node for _, value in main.outputs]
    assert forms.are_equal(one, again)
    assert not any(forms.are_equal(one, other) for other in others)
