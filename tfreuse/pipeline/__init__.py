"""Passes, the one rewriter, pipelines as text, and the loop that runs them over a module."""
