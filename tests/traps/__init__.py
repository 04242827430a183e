"""One test for each trap that optimisers of graphs have stepped into, by number; `numbers.txt` lists the traps."""
