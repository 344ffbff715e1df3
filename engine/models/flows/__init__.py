"""Invertible models: change of variables through bijections."""
