"""What the truth panel is made of: numbers in tiles, curves over steps, scores beside bands."""
