"""Side-by-side measurements of tickserve and of what it replaces. Clients and harnesses only: no server imports them.

load/        the load generator, in processes of its own: open loop, closed loop, unary, streams
peers/       other servers, each in a process of its own; and how targets are started and stopped
comparison/  tickserve beside its alternatives: `python -m benchmarks.comparison`, which is `make bench`
overload/    urgent calls beside saturating background work: `python -m benchmarks.overload`
engine/      each engine at each batch size, with eager as the base: `python -m benchmarks.engine`
stages/      where a call's time goes, stage by stage: `python -m benchmarks.stages`
streams/     tick streams against unary calls, memory, overload, Redis: `python -m benchmarks.streams`
telemetry/   what metrics and traces cost: `python -m benchmarks.telemetry`
chaos/       faults under mixed load, each answer judged: `python -m benchmarks.chaos`
outlier/     slow answers while replicas come and go: `python -m benchmarks.outlier`
refusals/    what is refused here while another replica could have met it: `python -m benchmarks.refusals`
autoscaling/ replicas that follow a load: `python -m benchmarks.autoscaling`
capacity/    budgets for plans, and plans held to a live service: `python -m benchmarks.capacity`
fuzz/        mutations of everything that is read: `python -m benchmarks.fuzz`
drill/       injected faults, found from the dashboard alone: `python -m benchmarks.drill`
soak/        a replica's memory over 200,000 requests: `python -m benchmarks.soak`
threads/     engine threads beside a busy core
core/        the scheduler's cost per request
scheduling/  the scheduler's simulator and microbenchmark
results.py   where every report and its JSON are written
"""
