"""A SavedModel as a TF1 program writes it to go on training: every kind of collection, three graphs, assets, queues."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from typing import Any

import tensorflow as tf

import tfreuse
from tests.offline.models_v1 import switch_and_merge
from tests.tf1.programs import image, normal, variable

v1 = tf.compat.v1
Keys = v1.GraphKeys
TRAIN, SERVE, MOBILE = ("train",), ("serve",), ("serve", "mobile")
KINDS = {"reference": False, "resource": True}
WORDS = ("ant", "bee")

_ROOT = tempfile.TemporaryDirectory(prefix="tf1-models-")


def _features(pixels: Any, resource: bool) -> Any:
    """One layer three times, and the same layer twice in a loop and in a branch."""
    kernel = variable("kernel", 3, 3, 2, 2, resource=resource)

    def layer(value: Any) -> Any:
        return tf.nn.conv2d(value, kernel, 1, "SAME")

    side = layer(pixels) * layer(pixels) + layer(pixels)
    looped = v1.while_loop(lambda k, _: k < 2, lambda k, v: (k + 1, layer(v) + layer(v)), (0, pixels))[1]
    branch = v1.cond(tf.reduce_sum(pixels) > 0.0, lambda: layer(pixels) - 2.0 * layer(pixels), lambda: pixels)
    return tf.identity(side + 0.1 * looped + branch, "features")


def _partitioned(resource: bool) -> Any:
    """A variable in two parts, which the saver joins again."""
    rows = v1.get_variable(
        "rows",
        initializer=lambda shape, dtype, partition_info=None: tf.constant(normal(*shape, seed=5), dtype),
        shape=[4, 2],
        partitioner=v1.fixed_size_partitioner(2),
        use_resource=resource,
    )
    return tf.nn.embedding_lookup(rows, [0, 3]) * tf.nn.embedding_lookup(rows, [0, 3])


def _fill(resource: bool, words: str) -> tuple[dict[str, Any], Any]:
    """Fills the default graph; gives its signatures and what initialises its tables."""
    info, signature = v1.saved_model.build_tensor_info, v1.saved_model.build_signature_def
    pixels, _ = image()
    steps = v1.train.get_or_create_global_step()
    features = _features(pixels, resource)
    loss = tf.reduce_mean(features**2) + tf.reduce_sum(_partitioned(resource))
    average = variable("average", resource=resource)
    v1.add_to_collection(Keys.UPDATE_OPS, v1.assign(average, 0.9 * average + 0.1 * loss, name="update"))
    with tf.control_dependencies(v1.get_collection(Keys.UPDATE_OPS)):
        train = v1.train.MomentumOptimizer(0.01, 0.9).minimize(loss, global_step=steps, name="step")
    v1.add_to_collection(Keys.TRAIN_OP, train)
    v1.add_to_collection(Keys.LOSSES, loss)
    v1.summary.scalar("loss", tf.exp(loss) + tf.exp(loss))
    v1.add_to_collection(Keys.SUMMARY_OP, v1.summary.merge_all())

    queue = v1.FIFOQueue(4, [tf.float32], [[]], name="queue")
    number = tf.sin(average) + tf.sin(average)
    v1.train.add_queue_runner(v1.train.QueueRunner(queue, [queue.enqueue(number, "put"), queue.enqueue(number)]))
    tf.identity(queue.dequeue(), "taken")

    asset = tf.constant(words, name="words")
    v1.add_to_collection(Keys.ASSET_FILEPATHS, asset)
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(asset, tf.string, 0, tf.int64, -1, delimiter=" "), -1
    )
    text = v1.placeholder(tf.string, [None], "text")
    ids = tf.identity(table.lookup(text) * table.lookup(text), "ids")
    inputs = {"image": info(pixels)}
    return {
        "serving_default": signature(inputs, {"features": info(features), "loss": info(loss)}),
        "lookup": signature({"text": info(text)}, {"ids": info(ids)}),
    }, v1.tables_initializer()


@cache
def saved(kind: str) -> str:
    """The folder of the model with variables of a kind of `KINDS`."""
    path, words = os.path.join(_ROOT.name, kind), os.path.join(_ROOT.name, "words.txt")
    with open(words, "w") as file:
        file.write("\n".join(WORDS) + "\n")
    with switch_and_merge(), tf.Graph().as_default(), v1.Session() as session:
        signatures, start = _fill(KINDS[kind], words)
        session.run([v1.global_variables_initializer(), start])
        starts = {
            "main_op" if KINDS[kind] else "legacy_init_op": start
        }  # the later graphs find it in their collections
        builder, assets = v1.saved_model.Builder(path), v1.get_collection(Keys.ASSET_FILEPATHS)
        builder.add_meta_graph_and_variables(
            session, TRAIN, signatures, assets_collection=assets, saver=v1.train.Saver(), **starts
        )
        builder.add_meta_graph(SERVE, signatures, assets_collection=assets)
        builder.add_meta_graph(MOBILE, {"lookup": signatures["lookup"]}, assets_collection=assets)
        builder.save()
    return path


@cache
def optimized(kind: str) -> tuple[str, Any]:
    """The folder of the model with equal work shared, verified, and the report."""
    path = os.path.join(_ROOT.name, f"{kind}-optimized")
    return path, tfreuse.optimize_saved_model(saved(kind), path, verify=3)


def opened(path: str, tags: tuple[str, ...] = TRAIN) -> Any:
    """A session with the model loaded, and nothing optimised by TensorFlow."""
    from tests.tf1.sessions import config

    session = v1.Session(graph=tf.Graph(), config=config())
    with session.graph.as_default():
        v1.saved_model.load(session, tags, path)
    return session
