"""Parts of the panel of chains on an energy."""
