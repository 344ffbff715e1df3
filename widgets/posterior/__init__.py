"""The parts of the posterior panel."""
