"""Drops the static shapes that nodes record (`_output_shapes`); TensorFlow infers them anew when it loads a model."""

from __future__ import annotations

from dataclasses import dataclass

from tfreuse.pipeline.library import LibraryContext, LibraryEdits, LibraryPass


@dataclass(frozen=True)
class StripShapes(LibraryPass):
    """Of all nodes, in the main graph and in every function that can be read.

    The shapes of arguments stay. What Python code said by `set_shape` and no op tells is lost.
    """

    def rewrite(self, context: LibraryContext, edits: LibraryEdits) -> None:
        """Ask for it."""
        edits.strip_shapes()
