"""Autoregressive models: p(x) = Π p(x_i given earlier ones)."""
