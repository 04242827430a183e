"""`make demo`: a small CNN in which work repeats is saved, optimised, and run before and after."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import tfreuse

ROUNDS = 30


class TwoHeads(tf.Module):
    """A classifier and a detector that each run the shared convolution tower on the same image."""

    def __init__(self) -> None:
        super().__init__()
        keras = tf.keras
        keras.utils.set_random_seed(7)
        self.tower = keras.Sequential(
            [
                keras.layers.Input([64, 64, 3]),
                keras.layers.Conv2D(32, 3, activation="relu"),
                keras.layers.Conv2D(32, 3, activation="relu"),
                keras.layers.Conv2D(64, 3, strides=2, activation="relu"),
            ]
        )
        self.classes = keras.layers.Dense(10)
        self.boxes = keras.layers.Dense(4)
        self.serve(tf.zeros([1, 64, 64, 3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32, "image")])
    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Class scores and a box; the tower is written twice, as people do."""
        scores = self.classes(tf.reduce_mean(self.tower(image), [1, 2]))
        box = self.boxes(tf.reduce_max(self.tower(image), [1, 2]))
        return {"scores": scores, "box": box}


def main() -> None:
    """Run the demonstration in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "before"), Path(folder, "after")
        model = TwoHeads()
        model.variables_of_layers = [
            v.value for layer in (model.tower, model.classes, model.boxes) for v in layer.weights
        ]
        tf.saved_model.save(model, str(source), signatures={"serving_default": model.serve})
        report = tfreuse.optimize_saved_model(source, target)
        print(report)
        before = tf.saved_model.load(str(source)).signatures["serving_default"]
        after = tf.saved_model.load(str(target)).signatures["serving_default"]
        image = tf.random.normal([4, 64, 64, 3], seed=1)
        first, second = before(image=image), after(image=image)
        equal = all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)
        ratio = _latency_ratio(lambda: before(image=image), lambda: after(image=image))
        print(f"\nlatency before / after: {ratio:.2f} (median of {ROUNDS} paired runs, batch 4)")
        print(f"outputs bit-equal: {'yes' if equal else 'NO'}")
        if not equal:
            raise SystemExit(1)


def _latency_ratio(before: Callable[[], object], after: Callable[[], object]) -> float:
    ratios = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        before()
        between = time.perf_counter()
        after()
        ratios.append((between - started) / (time.perf_counter() - between))
    return statistics.median(ratios)


if __name__ == "__main__":
    main()
