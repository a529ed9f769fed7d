"""What telemetry costs: throughput and latency with it off, with metrics, with traces of 1 % and of all requests.

variants.py    what is compared
receiver.py    takes spans and throws them away, in a process of its own
experiment.py  interleaved rounds
interval.py    what the rounds say of a ratio, with 95 % confidence; pure
report.py      figures, goals and the Markdown report; pure
__main__.py    `python -m benchmarks.telemetry [--quick]`
"""
