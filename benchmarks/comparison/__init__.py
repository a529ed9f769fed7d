"""tickserve beside what a user would pick instead, in one interleaved run: `make bench`, `make bench QUICK=1`.

networks.py    what is served: the real network, one so small that serving is what is left, a slow one, a wide one
scenarios.py   what is asked of a server
length.py      how long a run takes
experiment.py  the rounds: every server alone on the machine at its turn
figures.py     ratios and spreads over the rounds
losses.py      where a peer is ahead, and why
plots.py       the pictures
report.py      benchmarks/report.md
"""
