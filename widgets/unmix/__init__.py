"""Parts of the panel that takes mixed sounds apart."""
