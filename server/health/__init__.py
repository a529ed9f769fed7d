"""Whether a replica answers, drains or must be replaced."""
