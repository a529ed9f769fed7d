"""A drill: faults are injected into a running service and found from the dashboard's panels alone.

screen.py      what the panels show, before and now; pure
diagnosis.py   the reading of docs/drill.md: panels in, the fault's name out; pure
panels.py      the dashboard's own expressions, asked of Prometheus
prometheus.py  a real Prometheus that scrapes the service
faults/        what is put into the replicas' processes: a slow engine, a blocked event loop
stage.py       service, Redis, collector and traffic, and how each fault is put in
experiment.py  one fault after the other
report.py      the Markdown report; pure
__main__.py    `python -m benchmarks.drill`
"""
