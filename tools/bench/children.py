"""Runs a module of this package in a fresh process and reads the JSON that it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def ask(module: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `python -m tools.bench.<module>` to `request` (with an `output` path added).

    Raises RuntimeError, with the end of the process's messages, if it fails.
    """
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "answer.json")
        done = subprocess.run(
            [sys.executable, "-m", f"tools.bench.{module}"],
            input=json.dumps({**request, "output": str(output)}),
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{module} exited with {done.returncode}:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(output.read_text())
        return answer
