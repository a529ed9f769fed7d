"""What the scheduler's core costs: microseconds a request at several depths, and whether that lasts."""
