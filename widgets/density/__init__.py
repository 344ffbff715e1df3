"""What the density panel is made of: three faces, for planes, lines and pictures."""
