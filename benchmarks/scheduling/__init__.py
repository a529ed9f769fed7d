"""A discrete-event simulator that drives the scheduler's own core with a virtual clock, beside three simpler policies.

Layout; each file imports only those before it:

- ``cost_table``, ``measured_costs``, ``engine``: how long a batch takes: measured elsewhere, noise drawn by
  seed;
- ``arrivals``, ``traffic``, ``workload``, ``catalog``: who sends what when;
- ``ledger``: what became of every request;
- ``policy``, ``fifo_policy``, ``priority_policy``, ``early_binding_policy``, ``core_policy``: who runs next;
- ``simulator``: the event loop; ``summary``: the figures of one run;
- ``experiment``: all policies on all workloads; ``sweep``: one setting moved at a time;
- ``plots``, ``report``: their papers; ``calibration``: the model against life.

``python -m benchmarks.scheduling`` runs everything and writes ``report.md``, ``report.json`` and the plots.
"""
