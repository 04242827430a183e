"""The facts of this distribution's ops, in the form of `tfreuse/ops/facts.txt`."""

from importlib import resources

ROWS = (resources.files(__package__) / "facts.txt").read_text("utf-8")
