"""One symbol's bars and feature rows, and the stores that keep them for whoever asks next."""
