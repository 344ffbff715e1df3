"""Parts of the latent space panel."""
