"""What one sweep of Gaussianization did, and how far all have come."""
