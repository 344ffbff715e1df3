"""Parts of the flow panel."""
