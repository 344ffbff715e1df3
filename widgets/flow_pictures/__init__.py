"""Parts of the panel that shows pictures on their way through a flow."""
