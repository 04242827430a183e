"""Read-only facts about graphs, computed on demand and cached by graph."""
