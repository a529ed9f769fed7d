"""What each part of the service can carry, and whether a plan made of it tells the truth about two live replicas.

length.py       how long a run takes
stage.py        a server with so many replicas; small and real networks
wire.py         bytes on the callers' connections
small.py        a network so small that the rest is what is measured: one replica and two, unary calls and ticks
redis_costs.py  what a tick costs the Redis that keeps the windows
live.py         the real network: what its batches cost, and two replicas under Poisson arrivals
prediction.py   the same traffic in the simulator; pure
experiment.py   all of them
figures.py      budgets and comparisons of the raw results; pure
budget_file.py  planning/budgets.toml with new figures; pure
report.py       the Markdown report; pure
__main__.py     `python -m benchmarks.capacity [--quick] [--update-budgets]`
"""
