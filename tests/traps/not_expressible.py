"""Traps without a test, with the reason. `test_numbers.py` holds this list and the tests against `numbers.txt`."""

NOT_EXPRESSIBLE: dict[int, str] = {
    91: "No pass weighs cost against lifetime yet: the op facts flag what is cheap and large, and nothing reads the "
    "flag. To be tested with the pass that does.",
    118: "The oracle that runs a model before and after on generated inputs is not built yet. To be tested with it: "
    "fixed seeds, bits and rounding told apart, no comparison of random outputs.",
}
