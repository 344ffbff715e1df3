"""Invertible transforms with log-determinants; forward = data → base."""
