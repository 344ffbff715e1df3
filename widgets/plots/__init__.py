"""Thin adapters over pyqtgraph and vispy with our names."""
