"""Urgent calls beside saturating background work: stock Ray Serve, tickserve on TorchScript, tickserve as shipped.

experiment.py  interleaved rounds, and the raw results
figures.py     figures, ratios and goals from the raw results; pure
report.py      the Markdown report; pure
plot.py        the plots
__main__.py    `python -m benchmarks.overload [--quick]`
"""
