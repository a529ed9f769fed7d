"""The `tickserve` command line: one command a file, on top of the client library."""
