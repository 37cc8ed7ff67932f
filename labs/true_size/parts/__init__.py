"""The parts of `true-size`, one in each module: MEASURES, by name, in the order in which they build on each other."""
