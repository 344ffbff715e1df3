"""One file per model, named as in its paper."""
