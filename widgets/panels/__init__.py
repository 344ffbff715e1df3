"""One file per panel; each names the probes that it asks."""
