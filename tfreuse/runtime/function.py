"""`@tfreuse.dedupe`: a `tf.function` whose traced graphs compute equal work once."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tfreuse.bridge.load import tensorflow
from tfreuse.errors import InputError
from tfreuse.pipeline.text import Pipeline, resolve_pipeline
from tfreuse.report.report import Report
from tfreuse.runtime.tracing import Recorder, Trace

_RECORDER = "_tfreuse_recorder"


def dedupe(
    func: Callable[..., Any] | None = None,
    *,
    pipeline: str | Pipeline | None = None,
    preset: str = "exact",
    on_error: str = "fallback",
    proof: bool = True,
    **tf_function_arguments: Any,
) -> Any:
    """Like `tf.function`, and work that the traced graph writes several times is computed once.

    Args:
        func: the Python function; without it, a decorator is returned.
        pipeline: passes as text (`dedupe-reads,cse{ops=Conv2D}`) or as a sequence; instead of `preset`.
        preset: the name of a pipeline, `exact` or `conv`.
        on_error: what an internal failure does. `fallback`: the trace is used as `tf.function` made it, with one
            warning and a failure in the report. `raise`: the error is raised.
        proof: prove each rewrite, and leave a graph whose proof is refused as it was.
        **tf_function_arguments: all of `tf.function`'s arguments.

    Returns:
        A `tf.types.experimental.PolymorphicFunction`, a subclass of what `tf.function` returns, with two more
        properties: `report`, the `tfreuse.Report` of the latest trace (None before the first), and `reports`,
        those of all traces.

    Raises:
        InputError: for an unknown preset, pass, option or `on_error`.
        TensorFlowMissingError: if TensorFlow cannot be imported.
    """
    if on_error not in ("fallback", "raise"):
        raise InputError(f"on_error takes 'fallback' or 'raise', not {on_error!r}")
    recorder = Recorder(resolve_pipeline(pipeline, preset), raise_failures=on_error == "raise", proof=proof)

    def decorate(function: Callable[..., Any]) -> Any:
        tf = tensorflow()
        made = tf.function(_body(function, recorder, tf_function_arguments), **tf_function_arguments)
        # TensorFlow rebuilds bound methods with type(f)(...) and tests isinstance(f, Function): a subclass passes
        # both. Changing the class keeps whatever this TensorFlow's tf.function did with its arguments.
        made.__class__ = _function_type(made.__class__)
        return made

    return decorate if func is None else decorate(func)


def _body(function: Callable[..., Any], recorder: Recorder, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    tf = tensorflow()
    run = function
    if arguments.get("autograph", True):
        run = _converted(function, arguments.get("experimental_autograph_options"))

    @functools.wraps(function)
    def body(*args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly():  # tf.config.run_functions_eagerly(True)
            return function(*args, **kwargs)
        if _in_keras_stateless_scope():
            return run(*args, **kwargs)
        with Trace(tf.compat.v1.get_default_graph(), recorder):
            return run(*args, **kwargs)

    # Tells autograph that `body` needs no conversion; the user's function is converted above, in its own context.
    body.autograph_info__ = {}  # type: ignore[attr-defined]  # a function takes any attribute
    setattr(body, _RECORDER, recorder)
    return body


def _converted(function: Callable[..., Any], options: Any) -> Callable[..., Any]:
    """The user's function, run by autograph as tf.function would; its errors are told once, by tf.function itself."""
    from tensorflow.python.autograph.core.converter import ConversionOptions
    from tensorflow.python.autograph.impl.api import converted_call
    from tensorflow.python.util import tf_decorator

    _, original = tf_decorator.unwrap(function)
    conversion = ConversionOptions(recursive=True, optional_features=options, user_requested=True)

    def call(*args: Any, **kwargs: Any) -> Any:
        return converted_call(original, args, kwargs, options=conversion)

    converted: Callable[..., Any] = tf_decorator.rewrap(function, original, tf_decorator.make_decorator(original, call))
    return converted


@functools.cache
def _function_type(base: Any) -> Any:
    class DedupedFunction(base):  # type: ignore[misc]  # the base is known only once TensorFlow is
        """A `tf.function` whose traces are rewired by tfreuse."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            # Keras 3 runs `call` of an unbuilt model in a StatelessScope to learn its shapes. A trace made there
            # would hold the initial weights as constants and be used again later, so none is made.
            if _in_keras_stateless_scope():
                return self.python_function(*args, **kwargs)
            return super().__call__(*args, **kwargs)

        @property
        def report(self) -> Report | None:
            """The report of the latest trace; None before the first."""
            reports = self.reports
            return reports[-1] if reports else None

        @property
        def reports(self) -> list[Report]:
            """The reports of all traces, oldest first."""
            return list(_recorder_of(self.python_function).reports)

    DedupedFunction.__qualname__ = "DedupedFunction"
    return DedupedFunction


def _recorder_of(function: Any) -> Recorder:
    """The recorder, through the wrappers that TensorFlow puts around bound methods."""
    while not hasattr(function, _RECORDER):
        function = function.__wrapped__
    found: Recorder = getattr(function, _RECORDER)
    return found


def _in_keras_stateless_scope() -> bool:
    module = sys.modules.get("keras.src.backend.common.stateless_scope")
    return module is not None and bool(module.in_stateless_scope())
