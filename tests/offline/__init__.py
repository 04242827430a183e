"""Models on disk, optimised and then loaded, run, saved again and compared with what they were."""
