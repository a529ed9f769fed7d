"""Where a call's time goes: stages inside the process, the event loop of a served replica, and the feature vector.

mount.py            a replica without transport, behind the real seam
stopwatch.py        times functions where they are
spots.py            where each stage is in the server
inside.py           interleaved rounds over unary calls and streamed items
live.py             a real `tickserve serve` under load: the event loop's processor time, and its profile
replica_threads.py  the replica's threads, by name, and their processor time
attribution.py      whose time a sampled stack is; pure
features.py         calls with the feature vector in the answer, and without
figures.py          figures and goals from the raw results; pure
report.py           the Markdown report; pure
__main__.py         `python -m benchmarks.stages [--quick]`
"""
