"""The eager engine: the network as it is written, not compiled. Slow; the base that the others are held against."""

from model.engine import EngineInfo, PrecisionChoice
from model.errors import EngineError
from model.network import HybridNetwork, InferenceNetwork
from model.torch_engine import TorchEngine


class EagerEngine(TorchEngine):
    """PyTorch without tracing, on the CPU's fp32 units."""

    def __init__(
        self, network: HybridNetwork, *, precision: PrecisionChoice = "auto", threads: int = 1, reason: str = ""
    ) -> None:
        if precision == "bf16":
            raise EngineError("the eager engine computes in fp32 only: take OpenVINO for bf16")
        info = EngineInfo(
            name="eager", device="cpu", precision="fp32", threads=threads, reason=f"{reason}; fp32: as it was trained"
        )
        super().__init__(InferenceNetwork(network), (network.config.feature_count, network.config.time_steps), info)
