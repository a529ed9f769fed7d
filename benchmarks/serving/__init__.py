"""Latency and throughput of tickserve as shipped, against stock Ray Serve and the bare engine in the same run.

floor.py       the bare engine in a process of its own: what the cores could do without any serving
experiment.py  interleaved rounds
report.py      figures, goals and the Markdown report; pure
__main__.py    `python -m benchmarks.serving [--quick]`
"""
