"""Owns what a deployment costs, on paper. Must not know how large it has to be."""

from dataclasses import dataclass

from planning.budgets import Budgets

_HOUR = 3600.0
_MILLION = 1e6


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a deployment costs at stated prices.

    Attributes:
        per_hour: Of all that it takes, USD.
        per_million: Of a million predictions at the planned rate, USD.
        arithmetic: How it comes about, with its numbers.
    """

    per_hour: float
    per_million: float
    arithmetic: str


def price_of(budgets: Budgets, *, replicas: int, cpus: float, gpus: float, proxy_cores: float, rate: float) -> Price:
    """Return the price of replicas of `cpus` and `gpus` each and of the proxies' cores, at `rate` predictions a second.

    Traffic, storage, a Redis and the people who look after it are not in it.
    """
    vcpu, gpu = budgets.value("vcpu_hour_price"), budgets.value("gpu_hour_price")
    vcpus = replicas * cpus + proxy_cores
    hour = vcpus * vcpu + replicas * gpus * gpu
    million = hour / (rate * _HOUR) * _MILLION
    parts = f"({replicas} replicas x {cpus:g} vCPU + {proxy_cores:.3g} of proxies) x {vcpu:g} USD"
    if gpus:
        parts += f" + {replicas} x {gpus:g} GPU x {gpu:g} USD"
    return Price(
        per_hour=hour,
        per_million=million,
        arithmetic=f"{parts} = {hour:.4g} USD an hour; / ({rate:g}/s x 3600 s) x 1,000,000 = {million:.3g} USD",
    )
