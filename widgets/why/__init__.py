"""What the panel "Why this density?" is made of: the waterfall and the parts beside it."""
