"""Faults under mixed load, every call with a deadline, every answer held against the eager network's.

record.py      what became of one request; pure
windows.py     random windows and symbols' bars, each made from its key alone
oracle.py      whether an answer is right
recovery.py    when goodput was back; pure
tally.py       one row's figures; pure
plan.py        what callers ask
caller.py      the callers' process, on the client library as shipped: unary_calls.py, tick_calls.py
callers.py     starts it and takes its records
stage.py       the service, its Redis, and what is special about a stage
inside/        what is preloaded into the service's processes: a clock of their own
faults/        what is done to the service, a class each; `faults/catalogue.py` is the table
experiment.py  one fault after the other
soak.py        no fault, for long, at a share of capacity
report.py      the Markdown report and the goals; pure
__main__.py    `python -m benchmarks.chaos [--long | --only NAME | --soak MINUTES]`
"""
