"""Markov chain Monte Carlo, one sampler per file."""
