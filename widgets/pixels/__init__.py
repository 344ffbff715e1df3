"""Parts of the pixels panel: cells, films, the local transport, and one file per mode."""
