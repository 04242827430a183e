"""What the tests of other optimisers demand, said again as TensorFlow graphs: one folder of golden cases a peer."""
