"""What painting is made of: tools, ink, and pictures that become paint."""
