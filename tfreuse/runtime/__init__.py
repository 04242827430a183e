"""The decorator: traced functions rewired in place, so that every tensor somebody holds stays valid."""
