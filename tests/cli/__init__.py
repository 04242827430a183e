"""The command line: what it does, and what it says when it cannot."""
