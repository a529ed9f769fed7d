"""The reading of docs/drill.md as a function: what the panels show in, the fault's name and the trail to it out. Pure.

From the dashboard's first row to its last, and the first thing that explains the rest ends the reading: a flood makes
the engine's calls long and the event loop late, and a lost replica breaks spans, so causes come before their effects.
Levels are compared with what they were before, never with figures of one machine.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

from benchmarks.drill.screen import Reading, is_there, level, peak

# How many times what it was a level must be to count as changed: noise on a shared machine doubles much by itself.
STEP = 3.0
# Of a class, how much more or less than before still counts as the same.
SAME = 2.0
# Event loop lag that callers feel, seconds.
LATE_LOOP = 0.05
# Time per window that has grown so many times is not noise.
SLOWER = 3.0
# Disagreement from which a candidate wants looking at; the alert's threshold, too.
DISAGREES = 0.3


class Fault(enum.Enum):
    """What may be found."""

    NONE = "nothing is wrong"
    REPLICA_LOST = "a replica was lost"
    FLOOD = "one class is flooded"
    LOOP_BLOCKED = "an event loop is blocked"
    ENGINE_SLOW = "the engine is slow"
    STORE_GONE = "the windows' Redis is gone"
    CANDIDATE_DISAGREES = "the candidate disagrees"
    COLLECTOR_GONE = "the collector is gone"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One panel's word.

    Attributes:
        panel: Its title.
        seen: What it shows.
        conclusion: What that says.
    """

    panel: str
    seen: str
    conclusion: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found.

    Attributes:
        fault: Its name.
        subject: Which replica, class or arm; empty where it is the whole service.
        trail: The panels that were read, in order, the deciding ones last.
    """

    fault: Fault
    subject: str = ""
    trail: tuple[Step, ...] = ()


_Finding = tuple[str, tuple[Step, ...]]
_Look = Callable[[Reading], _Finding | Step]


def diagnose(reading: Reading) -> Diagnosis:
    """Returns what the panels say, read from the first row to the last."""
    trail: list[Step] = []
    for fault, look in _READING:
        found = look(reading)
        if isinstance(found, Step):
            trail.append(found)
            continue
        subject, steps = found
        return Diagnosis(fault=fault, subject=subject, trail=(*trail, *steps))
    return Diagnosis(fault=Fault.NONE, trail=tuple(trail))


def _replicas(reading: Reading) -> _Finding | Step:
    """Row 1, Replicas, and where it says so: Uptime by replica. A line that ends is a replica that is no more."""
    panel = "Uptime by replica"
    before = [name for name in sorted(reading.before.get(panel, {})) if is_there(reading.was(panel, name))]
    lost = [name for name in before if not is_there(reading.line(panel, name))]
    if not lost:
        return Step(panel=panel, seen=f"{len(before)} lines, none ends", conclusion="all replicas live")
    new = [name for name in reading.legends(panel) if name not in before]
    seen = f"the line of {', '.join(lost)} ends" + (f", that of {', '.join(new)} begins at 0" if new else "")
    return ", ".join(lost), (
        Step(panel=panel, seen=seen, conclusion="it died" + (" and was replaced" if new else ", nothing replaces it")),
    )


def _demand(reading: Reading) -> _Finding | Step:
    """Row 1, Asked by class: a step from outside. Row 2 and 3 then say who pays for it."""
    panel = "Asked, by class"
    heights = {
        name: (level(reading.was(panel, name)), level(reading.line(panel, name))) for name in reading.legends(panel)
    }
    flooded = [name for name, (was, now) in heights.items() if now > STEP * max(was, 1.0)]
    if not flooded:
        return Step(panel=panel, seen="no class has a step upwards", conclusion="it does not come from outside")
    [name] = flooded[:1]
    was, now = heights[name]
    queue = peak(reading.line("Queue size", name))
    shed = sum(
        peak(reading.line("Shed", legend)) for legend in reading.legends("Shed") if legend.partition(" ")[0] == name
    )
    return name, (
        Step(panel=panel, seen=f"{name} from {was:.0f}/s to {now:.0f}/s", conclusion="more is asked, by that class"),
        Step(
            panel="Queue size",
            seen=f"up to {queue:.0f} of {name} wait, {shed:.0f}/s are shed",
            conclusion="there is more of it than engine",
        ),
    )


def _loop(reading: Reading) -> _Finding | Step:
    """Row 3, Event loop lag: the quantile of all says whether it lasts, the replicas' lines whose loop it is."""
    panel, quantile = "Event loop lag", "p99 of all"
    was, now = level(reading.was(panel, quantile)), level(reading.line(panel, quantile))
    if now < LATE_LOOP or now <= STEP * was:
        return Step(panel=panel, seen=f"p99 {1e3 * now:.0f} ms, was {1e3 * was:.0f}", conclusion="event loops turn")
    lags = {name: level(reading.line(panel, name)) for name in reading.legends(panel) if name != quantile}
    late = [name for name, lag in lags.items() if lag >= max(LATE_LOOP, max(lags.values()) / SAME)]
    seen = f"p99 from {1e3 * was:.0f} to {1e3 * now:.0f} ms; " + ", ".join(
        f"{name} {1e3 * lag:.0f} ms" for name, lag in lags.items()
    )
    blame = "something blocks one of them" if len(late) < len(lags) else "no processor is left for any"
    return ", ".join(late), (Step(panel=panel, seen=seen, conclusion=blame),)


def _engine(reading: Reading) -> _Finding | Step:
    """Row 3, Engine time against Batch size: longer for no more windows."""
    panel, sizes = "Engine time", "Batch size"
    slow: dict[str, tuple[float, float, float, float]] = {}
    for legend in reading.legends(panel):
        share, _, version = legend.partition(" ")
        was, now = level(reading.was(panel, legend)), level(reading.line(panel, legend))
        size_was, size = level(reading.was(sizes, version)), level(reading.line(sizes, version))
        # Without a base nothing is known of a version: it has just been loaded.
        if share == "p50" and was and size_was and now / size > SLOWER * was / size_was:
            slow[version] = (was, now, size_was, size)
    if not slow:
        return Step(panel=panel, seen="no longer than before, for its batch size", conclusion="the engine is well")
    name = ", ".join(slow)
    was, now, size_was, size = next(iter(slow.values()))
    return name, (
        Step(panel=panel, seen=f"p50 from {1e3 * was:.1f} to {1e3 * now:.1f} ms", conclusion="calls take longer"),
        Step(
            panel=sizes,
            seen=f"from {size_was:.1f} to {size:.1f} windows",
            conclusion="and not for being larger: the engine, or its machine",
        ),
    )


def _stores(reading: Reading) -> _Finding | Step:
    """Row 4, Stores that fail."""
    panel = "Stores that fail"
    failing = peak(reading.line(panel, "windows"))
    if not failing or peak(reading.was(panel, "windows")):
        return Step(panel=panel, seen="no new failures", conclusion="the windows are written")
    return "", (Step(panel=panel, seen=f"windows: {failing:.1f}/s", conclusion="the windows' Redis takes no writes"),)


def _arms(reading: Reading) -> _Finding | Step:
    """Row 4, Disagreement, by arm."""
    panel = "Disagreement"
    for arm in reading.legends(panel):
        now = level(reading.line(panel, arm))
        if now >= DISAGREES and now > SAME * level(reading.was(panel, arm)):
            seen = f"{arm}: {now:.0%} of the comparisons"
            return arm, (Step(panel=panel, seen=seen, conclusion="it answers otherwise than what it is to replace"),)
    return Step(panel=panel, seen="no arm stands out", conclusion="versions agree")


def _exporters(reading: Reading) -> _Finding | Step:
    """Row 4, Exporters: the record has holes, and nobody else suffers."""
    panel = "Exporters"
    dropped = peak(reading.line(panel, "spans dropped"))
    if not dropped or peak(reading.was(panel, "spans dropped")):
        return Step(panel=panel, seen="nothing is dropped", conclusion="telemetry arrives")
    taken = level(reading.line(panel, "spans exported"))
    return "", (
        Step(
            panel=panel,
            seen=f"{dropped:.0f} spans/s dropped, {taken:.0f}/s exported",
            conclusion="the collector takes nothing; requests are unharmed",
        ),
    )


_READING: tuple[tuple[Fault, _Look], ...] = (
    (Fault.REPLICA_LOST, _replicas),
    (Fault.FLOOD, _demand),
    (Fault.LOOP_BLOCKED, _loop),
    (Fault.ENGINE_SLOW, _engine),
    (Fault.STORE_GONE, _stores),
    (Fault.CANDIDATE_DISAGREES, _arms),
    (Fault.COLLECTOR_GONE, _exporters),
)
