"""Qt panels, plots and controls; they know of the engine only the wire."""
