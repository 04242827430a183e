"""Short cuts for tests that write graphs as text."""

from __future__ import annotations

from tfreuse.analysis.analyses import Analyses
from tfreuse.analysis.effects import Effects, Summaries
from tfreuse.ir.graph import Graph, Module
from tfreuse.ir.parse import parse_module
from tfreuse.ops.registry import Ops
from tfreuse.pipeline.run import Result
from tfreuse.pipeline.text import PRESETS, parse_pipeline
from tfreuse.testing.schemas import snapshot_ops
from tfreuse.validate.proved import run_proved

EXACT = PRESETS["exact"]


def module(text: str) -> Module:
    """The module that `text` describes; its first line may be left out for the main graph."""
    text = text.strip()
    return parse_module(text if text.startswith("graph ") else f'graph ""\n{text}')


def main_graph(text: str) -> Graph:
    """The main graph of the module that `text` describes."""
    return module(text).graphs[""]


def run(text: str, pipeline: str = EXACT, ops: Ops | None = None) -> Result:
    """What `pipeline` makes of the module."""
    return run_proved(module(text), ops or snapshot_ops(), parse_pipeline(pipeline), raise_failures=True)


def analyses(text: str, ops: Ops | None = None) -> Analyses:
    """The analyses of the main graph."""
    found = module(text)
    return Analyses(found.graphs[""], Summaries(found, ops or snapshot_ops()))


def effects(text: str, ops: Ops | None = None) -> Effects:
    """The effects of the main graph's nodes."""
    return analyses(text, ops).effects
