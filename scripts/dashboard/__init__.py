"""Makes deploy/grafana/tickserve.json: `python -m scripts.dashboard generate`, or `check` that it has not drifted."""
