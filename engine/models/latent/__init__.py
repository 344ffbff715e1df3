"""Explicit latent-variable models: p(x) = ∫ p(x given z) p(z) dz."""
