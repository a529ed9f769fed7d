"""How many replicas a load needs: the scheduler's own core, driven with a virtual clock, and what each part can carry.

Layout; each file imports only those before it:

- ``cost_table``, ``measured_costs``, ``engine``: how long a batch takes: measured elsewhere, noise drawn by
  seed;
- ``arrivals``, ``traffic``, ``workload``: who sends what when;
- ``ledger``: what became of every request;
- ``policy``, ``core_policy``: who runs next: the core that serves;
- ``simulator``: the event loop; ``summary``: the figures of one run;
- ``planning_error``, ``demand``: what is asked for;
- ``budgets`` (with ``budgets.toml``): what each part costs: measured, or assumed and said so;
- ``trial``: one replica at one rate; ``replica_rate``: the greatest rate at which it keeps the goals;
- ``component``, ``price``: what fills up first, and what it costs;
- ``capacity_plan``: all of it together.

``tickserve plan`` shows it (``server/commands/plan.py``); the comparison of policies is in ``benchmarks/scheduling``.
"""
