"""The case for layer 3, measured: the routed fabric beside the same hosts on stretched bridge domains."""
