"""Which version answers a request: stable, candidate, shadow; their figures, falls back and rollbacks."""
