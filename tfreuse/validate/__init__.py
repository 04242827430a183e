"""Judges of a rewrite: what the result means, or gives, must be what the original means, or gives."""
