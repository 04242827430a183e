"""A small fixed share of the fuzzer, and what reduces the failures that it finds."""
