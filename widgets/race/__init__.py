"""Parts of the race panel."""
