"""Random programs, judged by oracles that share nothing with the engine: `python -m tools.fuzz`."""
