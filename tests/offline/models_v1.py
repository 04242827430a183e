"""TF1 models made with the SavedModel builder: reference or resource variables, collections, assets, two graphs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from tests.offline.models import BUILDERS, CONVOLUTIONS, normal, vocabulary

v1 = tf.compat.v1
SERVE, TRAIN = v1.saved_model.tag_constants.SERVING, v1.saved_model.tag_constants.TRAINING


@contextmanager
def switch_and_merge() -> Iterator[None]:
    """Loops and branches become Switch, Merge, Enter and Exit, as they were before TF2."""
    before = control_flow_util.ENABLE_CONTROL_FLOW_V2
    v1.disable_control_flow_v2()
    try:
        yield
    finally:
        if before:
            v1.enable_control_flow_v2()


def looped(image: Any, kernel: Any) -> Any:
    """A loop that convolves twice in each round and computes one number twice from a loop constant."""

    def body(step: Any, total: Any) -> Any:
        shift = tf.sin(tf.reduce_sum(kernel)) + tf.sin(tf.reduce_sum(kernel))
        sides = [tf.nn.conv2d(image, kernel, 1, "SAME") for _ in range(2)]
        return step + 1, total + sides[0] * sides[1] + shift

    start = (tf.constant(0), tf.zeros_like(tf.nn.conv2d(image, kernel, 1, "SAME")))
    return v1.while_loop(lambda step, _: step < 3, body, start)[1]


def branched(image: Any) -> Any:
    """A branch whose sides both compute twice, from constants that are equal inside and outside of it."""
    return v1.cond(
        tf.reduce_sum(image) > 0.0,
        lambda: tf.sin(image * 2.0) + tf.sin(image * 2.0),
        lambda: tf.cos(image * 2.0) * tf.cos(image * 2.0),
    ) + tf.sin(image * 2.0)


def build_graph(resource: bool) -> tuple[dict[str, Any], Any]:
    """Fills the default graph; gives its signatures and its initialising op."""
    info, signature = v1.saved_model.build_tensor_info, v1.saved_model.build_signature_def
    image = v1.placeholder(tf.float32, [None, 8, 8, 2], "image")
    text = v1.placeholder(tf.string, [None], "text")
    kernel = v1.get_variable("kernel", initializer=normal(3, 3, 2, 4, seed=1), use_resource=resource)
    steps = v1.get_variable("steps", initializer=0, trainable=False, use_resource=resource)

    sides = [tf.nn.conv2d(image, kernel, 1, "SAME") * float(i) for i in range(1, CONVOLUTIONS + 1)]
    features = tf.add_n(sides, name="features")
    left = tf.exp(image, name="left")
    right = tf.exp(image, name="right")
    words = tf.constant(vocabulary(), name="words")
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, words)
    rows = tf.lookup.TextFileInitializer(words, tf.string, 0, tf.int64, -1, delimiter=" ")
    table = tf.lookup.StaticHashTable(rows, -1)
    ids = tf.add(table.lookup(text), table.lookup(text), name="ids")

    # Two equal writes: they must both happen, though a reference variable's are not marked as stateful.
    train = tf.group([v1.assign_add(steps, 1) for _ in range(2)], name="train")
    v1.add_to_collection(v1.GraphKeys.TRAIN_OP, train)
    with tf.control_dependencies([train]):
        stepped = tf.identity(steps.read_value(), name="stepped")
    images, features_info = {"image": info(image)}, info(features)
    return {
        "serving_default": signature(images, {"features": features_info, "left": info(left), "right": info(right)}),
        "control": signature(images, {"looped": info(looped(image, kernel)), "branched": info(branched(image))}),
        "lookup": signature({"text": info(text)}, {"ids": info(ids)}),
        "step": signature({}, {"steps": info(stepped)}),
    }, v1.tables_initializer()


def save_v1(path: str, resource: bool, as_text: bool = False) -> None:
    """Two graphs in one SavedModel: one to train, with fewer signatures, and one to serve."""
    with switch_and_merge(), tf.Graph().as_default(), v1.Session() as session:
        signatures, start = build_graph(resource)
        session.run([v1.global_variables_initializer(), start])
        builder = v1.saved_model.Builder(path)
        collected = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
        only_step = {"step": signatures["step"]}
        builder.add_meta_graph_and_variables(
            session, [TRAIN], only_step, assets_collection=collected, main_op=start, saver=v1.train.Saver()
        )
        builder.add_meta_graph([SERVE], signatures, assets_collection=collected)
        builder.save(as_text=as_text)


BUILDERS["v1-reference"] = lambda path: save_v1(path, resource=False)
BUILDERS["v1-resource"] = lambda path: save_v1(path, resource=True)
BUILDERS["v1-text"] = lambda path: save_v1(path, resource=True, as_text=True)
