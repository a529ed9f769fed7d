"""The load generator: one description of traffic in, one JSON document of what came back out.

Layout, from the description inward:

    plan.py        what to send: targets, rates, callers, bursts, cancellations, deadlines
    arrivals.py    when an open loop sends; pure
    requests.py    distinct, pre-serialised requests
    transport.py   unary calls and multiplexed streams, on raw bytes
    answers.py     whether an answer is right
    driver.py      open and closed loops
    summary.py     counts, percentiles, rates; pure
    cpu.py         processor time of processes, from /proc
    runner.py      starts generators in processes of their own and reads the servers' processor time meanwhile
    __main__.py    one generator: reads a plan from standard input, writes the result to standard output

What `tickserve bench` needs as well lies in the client, in `tickserve.bench`: arrivals, outcomes, percentiles.
"""
