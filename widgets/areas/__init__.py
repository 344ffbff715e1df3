"""Parts of the panel that shows a flow on a line as equal areas."""
