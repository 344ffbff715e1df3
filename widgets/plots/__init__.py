"""Thin adapters with our names over pyqtgraph: pictures, curves, bars, points, grids."""

from __future__ import annotations


def configure() -> None:
    """Set pyqtgraph's few global switches; the application calls this once, before any plot.

    Plots draw themselves the same without it; it only keeps pyqtgraph from tearing Qt down at
    exit, which PySide6 does itself.
    """
    import pyqtgraph

    pyqtgraph.setConfigOptions(exitCleanup=False, useOpenGL=False, enableExperimental=False)
