"""Who observes requests, batches and RPCs: metrics, traces, logs, and what the console shows."""
