"""Energy-based models: p(x) ∝ exp(−E(x))."""
