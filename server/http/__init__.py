"""The HTTP side of a replica."""
