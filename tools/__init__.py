"""Programs for developers: the demo, benchmarks, generated pages."""
