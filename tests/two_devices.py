"""Two logical CPUs for tests of devices and replicas: made by a conftest, before TensorFlow starts its devices."""

from __future__ import annotations

import contextlib
import os


def split_the_cpu() -> None:
    """Ask for two; devices that already run cannot be split, and `two_devices` says so then."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        )


def two_devices() -> list[str]:
    """Their names."""
    import tensorflow as tf

    assert len(tf.config.list_logical_devices("CPU")) == 2, "TensorFlow was started before conftest.py"
    return ["CPU:0", "CPU:1"]
