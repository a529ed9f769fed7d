"""The parts of `tickserve bench`: a description of traffic in, figures and a verdict out. Needs no command line.

Layout, from the description inward:

    plan.py         what to send, and the original design's presets
    mix.py          which class each request is of
    limits.py       what a run must keep to, to pass
    arrivals.py     when an open loop sends; pure
    windows.py      windows of which no two are the same
    driver.py       open and closed loop
    outcome.py      what became of a request; pure
    percentile.py   percentiles and histograms; pure
    report.py       figures of a run, by class; pure
"""
