"""What one replica says of itself, and how replicas tell each other."""
