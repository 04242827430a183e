"""The errors that tfreuse raises; every message is one line that says what is wrong and what to do."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what a terminal would not show as it is (control codes, lone surrogates) written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TfreuseError(Exception):
    """Base of all errors raised on purpose."""

    def __init__(self, message: str = "") -> None:
        # What others raise, and is quoted here, may have several lines, and names in models any characters.
        super().__init__(printable(" ".join(message.split())))


class InputError(TfreuseError, ValueError):
    """What the user gave cannot be used: a path, an option, a model, an output name."""


class UnknownOpError(TfreuseError):
    """A node's op has no definition here, so its ports cannot be told."""

    def __init__(self, op: str, node: str) -> None:
        super().__init__(f"op {op!r} of node {node!r} is not registered in this TensorFlow")
        self.op = op
        self.node = node


class GraphError(TfreuseError):
    """A graph contradicts itself: a dangling input, a duplicate name, a cycle, a port out of range."""


class ProofError(TfreuseError):
    """A rewrite that is not proved to keep what a graph does; it was rolled back."""

    def __init__(self, graph: str, node: str, reason: str) -> None:
        place = f"node {node!r} of {graph or 'the main graph'}" if node else graph or "the main graph"
        super().__init__(f"the rewrite of {place} is not proved: {reason}")
        self.graph = graph
        self.node = node


class PipelineError(InputError):
    """A pipeline text names an unknown pass or option, or does not parse."""


class NotSupportedError(TfreuseError):
    """The request is understood, and tfreuse cannot carry it out without changing what the model does."""


class TensorFlowMissingError(TfreuseError, ImportError):
    """No TensorFlow is installed, or one that is too old."""


class VerificationError(TfreuseError):
    """The result was run and does not give what the original gives; nothing was written."""
