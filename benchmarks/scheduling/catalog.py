"""Owns the workloads of the report. Must not know policies.

The common mix is 10 % real-time (50 ms), 30 % standard (250 ms) and 60 % background (5 s) requests, of which 1 %, 2 %
and 2 % are given up by their callers. A load of 1 is what the engine can answer at its best batch size.
"""

import numpy as np

from batching import PriorityClass
from planning.arrivals import Moments, modulated, poisson, uniform, volleys
from planning.engine import Slowdown
from planning.traffic import ClosedLoop, Stream, Traffic, open_loop, split
from planning.workload import Scale, Workload

REAL_TIME = Stream(name="real-time", priority=PriorityClass.REAL_TIME, timeout=0.05, callers=4, cancelled=0.01)
STANDARD = Stream(name="standard", priority=PriorityClass.STANDARD, timeout=0.25, callers=16, cancelled=0.02)
BACKGROUND = Stream(name="background", priority=PriorityClass.BACKGROUND, timeout=5.0, callers=8, cancelled=0.02)
MIX = (REAL_TIME, STANDARD, BACKGROUND)
SHARES = (0.1, 0.3, 0.6)

#: The live overload benchmark's traffic.
PROBE = Stream(name="probe", priority=PriorityClass.REAL_TIME, timeout=0.05, callers=1, patient=True)
SATURATION = Stream(name="background", priority=PriorityClass.BACKGROUND, timeout=30.0, callers=128, patient=True)
PROBES_PER_SECOND = 20.0
SATURATING_CALLERS = 128

#: A flash crash: so many symbols tick within a few milliseconds; a fifth of them are traded on at once.
SYMBOLS = 500
CRASH_INTERVAL = 10.0
CRASH_SPREAD = 0.005
TRADED = Stream(name="crash, traded", priority=PriorityClass.REAL_TIME, timeout=0.25, callers=4)
WATCHED = Stream(name="crash, watched", priority=PriorityClass.STANDARD, timeout=1.0, callers=16)

UNHURRIED = Stream(name="background", priority=PriorityClass.BACKGROUND, timeout=60.0, callers=8)
FLOOD = Stream(name="flood", priority=PriorityClass.STANDARD, timeout=0.25, callers=1)


def _mixed(random: np.random.Generator, moments: Moments) -> Traffic:
    return open_loop(random, split(random, moments, MIX, SHARES))


def _steady_at(load: float, random: np.random.Generator, scale: Scale) -> Traffic:
    return _mixed(random, poisson(random, rate=load * scale.capacity, count=scale.requests))


def steady(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return Poisson arrivals at a load of 0.7."""
    return _steady_at(0.7, random, scale)


def overload(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return Poisson arrivals at a load of 2."""
    return _steady_at(2.0, random, scale)


def diurnal(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return one trading day: the load swings between 0.25 at noon and 1.25 at the open and the close."""
    duration = scale.requests / (0.75 * scale.capacity)

    def rate(t: Moments) -> Moments:
        swing: Moments = 0.75 + 0.5 * np.cos(4.0 * np.pi * t / duration)
        return swing

    return _mixed(random, modulated(random, rate=rate, duration=duration, count=scale.requests))


def open_bursts(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return a load of 0.4 with an opening every 20 s, at which it jumps to 4 and decays within a few seconds."""
    period, decay, base, peak = 20.0, 1.0, 0.4, 3.6
    duration = scale.requests / ((base + peak * decay / period) * scale.capacity)

    def rate(t: Moments) -> Moments:
        burst: Moments = base + peak * np.exp(-np.mod(t, period) / decay)
        return burst

    return _mixed(random, modulated(random, rate=rate, duration=duration, count=scale.requests))


def flash_crash(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return a load of 0.4, and every 10 s all symbols tick at once."""
    base = 0.4 * scale.capacity
    duration = scale.requests / (base + SYMBOLS / CRASH_INTERVAL)
    crashes = np.arange(CRASH_INTERVAL / 2, duration, CRASH_INTERVAL)
    calm = split(random, poisson(random, rate=base, count=max(1, int(base * duration))), MIX, SHARES)
    traded = volleys(random, moments=crashes, size=SYMBOLS // 5, spread=CRASH_SPREAD)
    watched = volleys(random, moments=crashes, size=SYMBOLS - SYMBOLS // 5, spread=CRASH_SPREAD)
    return open_loop(random, [*calm, (TRADED, traded), (WATCHED, watched)])


def flooding_caller(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return a load of 0.5, and one standard caller that sends a load of 2 on top of it."""
    flood_count = int(scale.requests * 2.0 / 2.5)
    flood = poisson(random, rate=2.0 * scale.capacity, count=flood_count)
    calm = poisson(random, rate=0.5 * scale.capacity, count=scale.requests - flood_count)
    return open_loop(random, [*split(random, calm, MIX, SHARES), (FLOOD, flood)])


def starved_background(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return standard requests at a load of 1.5 without pause, and background at 0.05 with a minute to spare."""
    urgent_count = int(scale.requests * 1.5 / 1.55)
    urgent = poisson(random, rate=1.5 * scale.capacity, count=urgent_count)
    patient = poisson(random, rate=0.05 * scale.capacity, count=scale.requests - urgent_count)
    return open_loop(random, [(STANDARD, urgent), (UNHURRIED, patient)])


def _saturated(random: np.random.Generator, scale: Scale, probes_per_second: float) -> Traffic:
    duration = scale.requests / scale.capacity
    # A Poisson process again, given how many: none comes after the background has stopped.
    probes = uniform(random, duration=duration, count=max(1, int(probes_per_second * duration)))
    return open_loop(
        random,
        [(PROBE, probes)] if probes_per_second else [],
        closed=[(SATURATION, ClosedLoop(stream=0, callers=SATURATING_CALLERS))],
        duration=duration,
    )


def live_overload(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return the traffic of ``make bench-overload``: 128 closed-loop callers, and 20 probes a second."""
    return _saturated(random, scale, PROBES_PER_SECOND)


def background_alone(random: np.random.Generator, scale: Scale) -> Traffic:
    """Return the same without the probes, to tell what they cost the background."""
    return _saturated(random, scale, 0.0)


def _slow_third(duration: float) -> tuple[Slowdown, ...]:
    return (Slowdown(start=duration / 3, end=2 * duration / 3, factor=2.5),)


WORKLOADS = (
    Workload(name="steady", description="Poisson arrivals, load 0.7", traffic=steady),
    Workload(name="diurnal", description="a trading day: load 1.25 at open and close, 0.25 at noon", traffic=diurnal),
    Workload(name="open bursts", description="load 0.4; every 20 s a jump to 4, decaying in 1 s", traffic=open_bursts),
    Workload(name="overload", description="Poisson arrivals, load 2", traffic=overload),
    Workload(
        name="flash crash",
        description=f"load 0.4; every 10 s {SYMBOLS} symbols tick within 5 ms, a fifth of them real-time with 250 ms",
        traffic=flash_crash,
    ),
    Workload(
        name="slow engine",
        description="load 0.7; in the middle third the engine takes 2.5 times as long",
        traffic=steady,
        slowdowns=_slow_third,
    ),
    Workload(
        name="flooding caller",
        description="load 0.5, and one standard caller that alone sends a load of 2",
        traffic=flooding_caller,
    ),
    Workload(
        name="starved background",
        description="standard requests at a load of 1.5, background at 0.05 with a minute to spare",
        traffic=starved_background,
    ),
    Workload(
        name="live overload",
        description="128 closed-loop background callers and 20/s open-loop probes with 50 ms, as in bench-overload",
        traffic=live_overload,
    ),
    Workload(name="background alone", description="live overload without its probes", traffic=background_alone),
)
