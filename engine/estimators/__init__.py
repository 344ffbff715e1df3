"""Estimates of quantities that have no closed form, each with its error."""
