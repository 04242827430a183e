"""Finds passes by name: the built-in ones by file, those of other distributions by entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from tfreuse.errors import PipelineError
from tfreuse.pipeline.passes import Pass

BUILTIN = (
    "share-moving-windows",
    "hoist-loop-invariants",
    "hoist-common-branch-work",
    "inline",
    "dedupe-reads",
    "cse",
    "dedupe-constants",
    "share-overlap",
    "factor-gradients",
    "dce",
    "drop-orphans",
    "strip-shapes",
    "merge-functions",
)
GROUP = "tfreuse.passes"
"""Entry points of this group name `Pass` subclasses; the entry point's name is the pass's name."""


@cache
def pass_types() -> Mapping[str, Callable[[], type[Pass]]]:
    """All known passes by name; each is imported when it is called for.

    Raises:
        PipelineError: if two distributions, or a distribution and tfreuse, give one name.
    """
    loaders: dict[str, Callable[[], type[Pass]]] = {name: _builtin_loader(name) for name in BUILTIN}
    origins = dict.fromkeys(BUILTIN, "tfreuse")
    for point in entry_points(group=GROUP):
        origin = point.dist.name if point.dist else point.value
        if point.name in loaders:
            raise PipelineError(
                f"pass {point.name!r} comes from {origins[point.name]} and from {origin}; uninstall one of them"
            )
        loaders[point.name] = _plugin_loader(point, origin)
        origins[point.name] = origin
    return loaders


def find_pass(name: str) -> type[Pass]:
    """The pass of that name.

    Raises:
        PipelineError: if there is none, naming those that exist.
    """
    loader = pass_types().get(name)
    if loader is None:
        raise PipelineError(f"unknown pass {name!r}; there are {', '.join(sorted(pass_types()))}")
    return loader()


def _builtin_loader(name: str) -> Callable[[], type[Pass]]:
    def load() -> type[Pass]:
        module = import_module("tfreuse.passes." + name.replace("-", "_"))
        found: type[Pass] = getattr(module, "".join(part.capitalize() for part in name.split("-")))
        return found

    return load


def _plugin_loader(point: EntryPoint, origin: str) -> Callable[[], type[Pass]]:
    def load() -> type[Pass]:
        try:
            found = point.load()
        except Exception as error:  # whatever a third party's import raises is that pass's failure, not ours
            raise PipelineError(f"pass {point.name!r} of {origin} cannot be loaded: {error}") from error
        if not (isinstance(found, type) and issubclass(found, Pass)):
            raise PipelineError(f"pass {point.name!r} of {origin} is no subclass of tfreuse.pipeline.passes.Pass")
        if found.name() != point.name:  # print_pipeline would write a text that does not parse
            raise PipelineError(
                f"pass {point.name!r} of {origin} calls itself {found.name()!r}; both names must be the same"
            )
        return found

    return load
