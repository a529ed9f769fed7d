"""Settings: what an operator may set, how it is read, and which values change in a running replica."""
