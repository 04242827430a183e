"""The program as data: nodes, graphs, modules, attributes and their text form. Standard library only."""
