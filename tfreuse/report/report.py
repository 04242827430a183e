"""The report that users hold: JSON made on demand, printed as a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class Report:
    """What was merged, what it saves, what was not merged and why.

    The JSON (`to_dict`, `to_json`) follows `tfreuse/report/schema.json` and is built when it is first asked for;
    `print(report)` shows it as a table.
    """

    def __init__(self, build: Callable[[], dict[str, Any]]) -> None:
        self._build: Callable[[], dict[str, Any]] | None = build
        self._data: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        if self._data is None:
            assert self._build is not None
            self._data = self._build()
            self._build = None  # lets go of the graphs
        return self._data

    def to_json(self, indent: int | None = 2) -> str:
        """The report as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)

    @property
    def merged(self) -> int:
        """How many nodes were merged away."""
        return int(self.to_dict()["totals"]["merged"])

    @property
    def missed(self) -> list[dict[str, Any]]:
        """What was not merged and why, over all functions."""
        return [entry for function in self.to_dict()["functions"] for entry in function["missed"]]

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Failures: passes that were rolled back, or an optimisation that was given up."""
        return [remark for remark in self.to_dict()["remarks"] if remark["kind"] == "failure"]

    def __str__(self) -> str:
        from tfreuse.report.table import render

        return render(self.to_dict())

    def __repr__(self) -> str:
        return f"<tfreuse.Report: {self.merged} nodes merged>"
