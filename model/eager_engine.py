"""The eager engine: the network as it is written, not compiled. Slow; the base that the others are held against."""

from model.engine_plan import EnginePlan
from model.network import HybridNetwork, InferenceNetwork
from model.torch_engine import TorchEngine


class EagerEngine(TorchEngine):
    """PyTorch without tracing, on the CPU's fp32 units."""

    def __init__(self, network: HybridNetwork, plan: EnginePlan) -> None:
        shape = (network.config.feature_count, network.config.time_steps)
        super().__init__(InferenceNetwork(network), shape, plan.info)
