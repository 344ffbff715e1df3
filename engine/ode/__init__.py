"""Ordinary differential equations: solvers that say what they did, and the adjoint method."""
