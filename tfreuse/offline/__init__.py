"""Models on disk and graphs in hand: read, run the pipeline, write back whole or not at all."""
