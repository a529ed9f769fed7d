"""Which versions of which models are in memory, how they get there, and how they leave."""
