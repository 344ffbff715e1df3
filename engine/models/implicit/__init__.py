"""Implicit models: a generator without a density."""
