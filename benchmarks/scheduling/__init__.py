"""A discrete-event simulator that drives the scheduler's own core with a virtual clock, beside three simpler policies.

The simulator itself, its engine and our policy lie in ``planning``, which is installed with the server, for
``tickserve plan`` uses them, too. Layout; each file imports only those before it:

- ``catalog``: who sends what when;
- ``fifo_policy``, ``priority_policy``, ``early_binding_policy``: who runs next, elsewhere;
- ``experiment``: all policies on all workloads; ``sweep``: one setting moved at a time;
- ``plots``, ``report``: their papers; ``calibration``: the model against life.

``python -m benchmarks.scheduling`` runs everything and writes ``report.md``, ``report.json`` and the plots.
"""
