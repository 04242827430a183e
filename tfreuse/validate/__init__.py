"""Judges of a rewrite: a proof that shares no code with the passes, and numbers that TensorFlow computes."""
