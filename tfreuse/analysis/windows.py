"""A family of windows in words and numbers, from which the report draws it."""

from __future__ import annotations

from tfreuse.analysis.families import Families, Family


def drawing(families: Families, family: Family) -> str:
    """How many windows there are, where they lie, and how often each element of their union was computed."""
    return ""
