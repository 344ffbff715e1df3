"""Keys of the posterior panel."""

#: Keys that step through the events.
ASIDE = {"[": -1, "]": 1}
