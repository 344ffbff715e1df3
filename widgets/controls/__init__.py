"""Forms, transport bar, pickers and banners."""
