"""Windows of one value that overlap, with preset `fast`: clips of a video, crops of an image, frames of a signal.

The ideal twins compute the union once and cut, as one would by hand.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import tensorflow as tf

from tools.bench.data import four_ways, images, kernel, kernels, tower
from tools.bench.patterns import Variant, Variants

FRAMES, CLIP = 16, 8
CROP, OFFSETS = 40, (0, 8, 16, 24)
RATE, HOP, SECONDS = 4000, 1000, 8
"""Samples a second, samples from one window to the next (0.25 s), and the length of the signal."""


def _mean_clips(x: tf.Tensor, weights: Sequence[Any]) -> list[tf.Tensor]:
    clips = [tower(x[first : first + CLIP], weights) for first in range(FRAMES - CLIP + 1)]
    return [tf.reduce_mean(clip, [0, 1, 2]) for clip in clips]


def _cut_clips(y: tf.Tensor) -> list[tf.Tensor]:
    return [y[first : first + CLIP] for first in range(FRAMES - CLIP + 1)]


def sliding_clips(batch: int, weights: Sequence[Any] | None = None) -> Variants:
    """Nine clips of 8 frames out of 16, each through two convolutions: every frame up to eight times."""
    weights = weights or kernels(2)

    def program(x: tf.Tensor) -> list[tf.Tensor]:
        return _mean_clips(x, weights)

    def ideal(x: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_mean(clip, [0, 1, 2]) for clip in _cut_clips(tower(x, weights))]

    return four_ways(program, ideal, (images(FRAMES, side=32),), preset="fast")


def clips_in_a_loop(batch: int) -> Variants:
    """The same clips one after the other, in a loop over the first frame."""
    weights = kernels(2)
    count = FRAMES - CLIP + 1

    def program(x: tf.Tensor) -> tf.Tensor:
        means = tf.TensorArray(tf.float32, count)
        for first in tf.range(count):
            means = means.write(first, tf.reduce_mean(tower(x[first : first + CLIP], weights), [0, 1, 2]))
        return means.stack()

    def ideal(x: tf.Tensor) -> tf.Tensor:
        y, means = tower(x, weights), tf.TensorArray(tf.float32, count)
        for first in tf.range(count):
            means = means.write(first, tf.reduce_mean(y[first : first + CLIP], [0, 1, 2]))
        return means.stack()

    return four_ways(program, ideal, (images(FRAMES, side=32),), preset="fast")


def _valid(x: tf.Tensor, weights: Sequence[Any]) -> tf.Tensor:
    for weight in weights:
        x = tf.nn.relu(tf.nn.conv2d(x, weight, 1, "VALID"))
    return x


def overlapping_crops(batch: int, weights: Sequence[Any] | None = None) -> Variants:
    """Sixteen crops of 40 x 40 out of 64 x 64, each through two VALID convolutions."""
    weights = weights or kernels(2)
    places = [(row, column) for row in OFFSETS for column in OFFSETS]

    def program(x: tf.Tensor) -> list[tf.Tensor]:
        crops = [_valid(x[:, row : row + CROP, column : column + CROP], weights) for row, column in places]
        return [tf.reduce_mean(crop, [1, 2]) for crop in crops]

    def ideal(x: tf.Tensor) -> list[tf.Tensor]:
        y, size = _valid(x, weights), CROP - 4
        return [tf.reduce_mean(y[:, row : row + size, column : column + size], [1, 2]) for row, column in places]

    return four_ways(program, ideal, (images(batch),), preset="fast")


def _audio_weights() -> list[tf.Variable]:
    widths = [1, 32, 32, 32, 32]
    return [
        tf.Variable(tf.reshape(kernel(size, after, seed), [9, size, after]))
        for seed, (size, after) in enumerate(pairwise(widths))
    ]


def _audio(x: tf.Tensor, weights: Sequence[Any]) -> tf.Tensor:
    for weight in weights:
        x = tf.nn.relu(tf.nn.conv1d(x, weight, 1, "VALID"))
    return x


def audio_windows(batch: int, weights: Sequence[Any] | None = None) -> Variants:
    """Windows of 1 s, one each 0.25 s, through four Conv1D layers."""
    weights = weights or _audio_weights()
    starts = range(0, (SECONDS - 1) * RATE + 1, HOP)
    signal = np.random.default_rng(1).standard_normal((batch, SECONDS * RATE, 1), dtype=np.float32)

    def program(x: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_mean(_audio(x[:, start : start + RATE], weights), 1) for start in starts]

    def ideal(x: tf.Tensor) -> list[tf.Tensor]:
        y, length = _audio(x, weights), RATE - 8 * len(weights)
        return [tf.reduce_mean(y[:, start : start + length], 1) for start in starts]

    return four_ways(program, ideal, (tf.constant(signal),), preset="fast")


class _Model(tf.Module):
    """A pattern's program and its ideal twin as a model that is saved."""

    def __init__(self, variants: Variants, weights: Sequence[Any]) -> None:
        super().__init__()
        self.weights = weights
        (x,) = variants.plain.args
        signature = [tf.TensorSpec(x.shape, x.dtype, name="x")]
        self.plain, self.ideal = (
            tf.function(variant.call.python_function, input_signature=signature)
            for variant in (variants.plain, variants.ideal)
        )


def _saved(variants: Variants, weights: Sequence[Any]) -> Variants:
    """The same as a SavedModel, rewritten on disk by the command line."""
    folder, args = Path(mkdtemp(prefix="tfreuse-bench-")), variants.plain.args
    tf.saved_model.save(_Model(variants, weights), str(folder / "plain"))
    command = (sys.executable, "-m", "tfreuse.cli.main", "optimize", "--preset", "fast")
    subprocess.run([*command, str(folder / "plain"), str(folder / "fast")], check=True, stdout=subprocess.DEVNULL)
    plain, fast = (tf.saved_model.load(str(folder / name)) for name in ("plain", "fast"))
    return Variants(
        # The models are named, so that they live as long as their functions.
        plain=Variant(lambda x, loaded=plain: loaded.plain(x), args),
        tfreuse=Variant(lambda x, loaded=fast: loaded.plain(x), args),
        ideal=Variant(lambda x, loaded=plain: loaded.ideal(x), args),
        xla=variants.xla,
        exact=False,
    )


def saved_clips(batch: int) -> Variants:
    """The clips as a SavedModel."""
    weights = kernels(2)
    return _saved(sliding_clips(batch, weights), weights)


def saved_crops(batch: int) -> Variants:
    """The crops as a SavedModel."""
    weights = kernels(2)
    return _saved(overlapping_crops(batch, weights), weights)


def saved_audio(batch: int) -> Variants:
    """The windows of sound as a SavedModel."""
    weights = _audio_weights()
    return _saved(audio_windows(batch, weights), weights)
