"""Parts of the panel that follows a continuous flow from the data to the base."""
