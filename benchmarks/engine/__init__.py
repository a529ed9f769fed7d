"""What a batch costs, engine by engine: every engine, batch size and thread count beside eager PyTorch, in one run.

subjects.py    what is measured: engines, sizes and threads
operations.py  the arithmetic in one window; pure
experiment.py  interleaved rounds, and the raw results
figures.py     figures, ratios and goals from the raw results; pure
report.py      the Markdown report; pure
plot.py        the plots
__main__.py    `python -m benchmarks.engine [--quick]`
"""
