"""Saved models of decorated functions, loaded back."""

from __future__ import annotations

import inspect
import os
import tempfile

import keras
import tensorflow as tf

from tests.scenarios.custom_gradients import scaled_gradient
from tests.scenarios.keras_models import twice_model
from tests.scenarios.observe import caught, expect, names, whole
from tests.scenarios.registry import Decorate, scenario


def saved_and_loaded(module, **options):
    """Save a trackable to a folder of its own and load it from there."""
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, **options)
        return tf.saved_model.load(folder)


@scenario
def saved_model(decorate: Decorate):
    """Call, signatures and argument names, state, table and gradient of a loaded module."""

    class Service(tf.Module):
        def __init__(self):
            super().__init__(name="service")
            self.weight = tf.Variable(whole(2, 2, seed=1), name="weight")
            self.calls = tf.Variable(0.0, trainable=False, name="calls")
            rows = tf.lookup.KeyValueTensorInitializer(tf.constant(["a", "b"]), tf.constant([1.0, 2.0]))
            self.table = tf.lookup.StaticHashTable(rows, 0.0)

        @decorate
        def __call__(self, x, training=False):
            product = tf.matmul(x, self.weight) + tf.matmul(x, self.weight)
            return product * 10.0 if training else product

        @decorate(input_signature=[tf.TensorSpec([None, 2], name="pixels"), tf.TensorSpec([None], tf.string)])
        def serve(self, x, words):
            self.calls.assign_add(1.0)
            factor = self.table.lookup(words) + self.table.lookup(words)
            return {"scores": self(x) + self(x), "factor": factor, "calls": self.calls + self.calls}

    service = Service()
    x, words = tf.constant(whole(3, 2, seed=2)), tf.constant(["a", "z"])
    first = [service(x), service(x, training=True), service.serve(x, words)]
    loaded = saved_and_loaded(service, signatures={"serving_default": service.serve})
    serving = loaded.signatures["serving_default"]
    restored = loaded.__call__.concrete_functions + loaded.serve.concrete_functions
    with tf.GradientTape() as tape:
        again = [loaded(x), loaded(x, training=True), loaded.serve(x, words)]
    slope = tape.gradient(again, loaded.weight)
    served = serving(pixels=x, words=words)
    expect(again[:2], [2.0 * x.numpy() @ service.weight.numpy(), 20.0 * x.numpy() @ service.weight.numpy()])
    expect(again[2]["factor"], [2.0, 0.0])
    expect([again[2]["calls"], served["calls"]], [4.0, 6.0])
    expect(slope[:, 0], 26.0 * x.numpy().sum(axis=0))
    loaded.weight.assign(tf.zeros([2, 2]))
    expect(loaded(x), tf.zeros([3, 2]))
    return {
        "results": [first, again, dict(sorted(served.items())), slope],
        "signature": [str(serving.structured_input_signature), sorted(serving.structured_outputs)],
        "restored": sorted(str(found.structured_input_signature) for found in restored),
        "variables": [sorted(names(found.variables)) for found in (serving, *restored)],
        "refused": caught(lambda: loaded(x, training="maybe")),
    }


@scenario
def saved_custom_gradient(decorate: Decorate):
    """Custom gradients saved with the model, at the top, in a loop and in a branch."""
    five, seven = scaled_gradient(5.0), scaled_gradient(7.0)

    class Claims(tf.Module):
        def __init__(self):
            super().__init__(name="claims")
            self.weight = tf.Variable(2.0)

        @decorate(input_signature=[tf.TensorSpec([])])
        def straight(self, x):
            return five(x * self.weight) + five(x * self.weight) + seven(x * self.weight)

        @decorate(input_signature=[tf.TensorSpec([])])
        def exponential(self, x):
            y = tf.math.log1p(x * self.weight) * 0.0 + x * self.weight
            return five(y) * five(y)

    module = Claims()
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    loaded = saved_and_loaded(module, options=options)
    x = tf.constant(3.0)
    results = []
    for source in (module, loaded):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            outputs = [source.straight(x), source.exponential(x)]
        results.append([outputs, [tape.gradient(output, [x, source.weight]) for output in outputs]])
    expect(results[0], [[54.0, 324.0], [[34.0, 51.0], [360.0, 540.0]]])
    expect(results[1], results[0], "after loading")
    return results


@scenario
def keras_export(decorate: Decorate):
    """Exported models and archives with a decorated endpoint."""
    model = twice_model(decorate)
    x = tf.constant(whole(3, 2, seed=3))
    before = model(x)

    @decorate(input_signature=[tf.TensorSpec([None, 2], name="pixels")])
    def scores(x):
        return model(x) + model(x)

    with tempfile.TemporaryDirectory() as folder:
        whole_model, archive_path = os.path.join(folder, "model"), os.path.join(folder, "archive")
        signature = [keras.InputSpec(shape=(None, 2), dtype="float32", name="pixels")]
        if "input_signature" in inspect.signature(model.export).parameters:
            model.export(whole_model, input_signature=signature)
        else:  # Keras 3.3: the same by hand
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint("serve", model.__call__, [tf.TensorSpec([None, 2], name="pixels")])
            archive.write_out(whole_model)
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("scores", scores)
        archive.write_out(archive_path)
        loaded, other = tf.saved_model.load(whole_model), tf.saved_model.load(archive_path)
        layer = keras.layers.TFSMLayer(whole_model, call_endpoint="serve")
    serving = loaded.signatures["serving_default"]
    expect(before, 2.0 * (x.numpy() @ model.hidden.kernel.numpy()) @ model.head.kernel.numpy() + 1.0)
    results = [loaded.serve(x), serving(pixels=x), other.scores(x), layer(x)]
    expect(results[0], before)
    expect(results[2], 2.0 * before)
    return (
        results,
        str(serving.structured_input_signature),
        str(other.signatures["serving_default"].inputs[0].name),
    )
