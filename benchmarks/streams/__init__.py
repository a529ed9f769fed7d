"""Tick streams of tickserve as shipped, beside unary calls: speed, memory, overload, backfill, the Redis store.

bars.py        ticks and histories of any number of symbols, made of real bars; pure
lane.py        one symbol's ticks and whether its answers fit them; pure
plan.py        what one generator does
tick_call.py   one StreamTicks call on the generated stubs
fleet.py       the streams of one generator: opened, and their windows filled
driver.py      the loops that send: closed, and open on a schedule
exactness.py   windows on the server against windows computed offline
worker.py      one generator: `python -m benchmarks.streams.worker`
runner.py      starts a generator in a process of its own and reads processor time and memory meanwhile
scenarios.py   the traffic that is compared
redis_store.py a Redis server for the run, where the machine has one
length.py      how long a run takes
experiment.py  the phases, interleaved where they are compared, and the raw results
figures.py     figures, ratios and goals from the raw results; pure
report.py      the Markdown report; pure
plot.py        the plots
__main__.py    `python -m benchmarks.streams [--quick]`
"""
