"""What happened to requests, batches and RPCs, as plain values, and who is told; metrics, traces and logs are told."""
