"""Serves the TorchScript file with Triton until SIGTERM; prints `triton ready grpc=HOST:PORT` when it answers.

Run by the Triton environment's Python; imports nothing of tickserve. Tuned in good faith: dynamic batches without a
wait (waiting was slower), three priority levels, requests whose own timeout passes in the queue rejected, no HTTP
access token, no metrics of the machine.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
import threading

import numpy as np
import torch
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, QueuePolicy, Tensor, TimeoutAction
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig

_WARM_UP_SIZES = (1, 2, 4, 8, 16, 32, 64)
_OUTPUTS = {
    "probabilities": 3,
    "means": 2,
    "deviations": 2,
    "ensemble_probabilities": 3,
    "ensemble_means": 2,
    "ensemble_deviations": 2,
    "weights": 5,
}
_PR_SET_PDEATHSIG = 1
_LEVELS = 3
_STANDARD = 2


def main() -> None:
    """Parses the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", required=True, help="TorchScript file")
    parser.add_argument("--model", required=True, help="name that it is served under")
    parser.add_argument("--shape", type=int, nargs=2, required=True, help="features and steps of a window")
    parser.add_argument("--threads", type=int, required=True, help="of one engine call")
    parser.add_argument("--max-batch-size", type=int, default=64)
    for port in ("grpc", "http", "metrics"):
        parser.add_argument(f"--{port}-port", type=int, required=True)
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # what started it is gone: nobody would end it
    torch.set_num_threads(arguments.threads)
    module = torch.jit.load(arguments.script)  # type: ignore[no-untyped-call]  # torch's

    @batch  # type: ignore[untyped-decorator]  # pytriton's
    def infer(window: np.ndarray) -> list[np.ndarray]:
        if torch.get_num_threads() != arguments.threads:  # kept per calling thread
            torch.set_num_threads(arguments.threads)
        with torch.inference_mode():
            outputs = module(torch.from_numpy(window))
        return [output.numpy() for output in outputs[: len(_OUTPUTS)]]  # the features behind them are nobody's answer

    with torch.inference_mode():
        for size in _WARM_UP_SIZES:
            for _ in range(2):  # TorchScript profiles its first run and optimises its second
                module(torch.zeros((size, *arguments.shape)))
    config = TritonConfig(
        grpc_port=arguments.grpc_port,
        http_port=arguments.http_port,
        metrics_port=arguments.metrics_port,
        grpc_address="127.0.0.1",
        http_address="127.0.0.1",
        metrics_address="127.0.0.1",
        allow_cpu_metrics=False,
        allow_gpu_metrics=False,
    )
    policy = QueuePolicy(timeout_action=TimeoutAction.REJECT, allow_timeout_override=True)
    batcher = DynamicBatcher(
        priority_levels=_LEVELS,
        default_priority_level=_STANDARD,
        default_queue_policy=policy,
        priority_queue_policy=dict.fromkeys(range(1, _LEVELS + 1), policy),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Triton(config=config, security_config=TritonSecurityConfig(restricted_endpoints=[])) as triton:
        triton.bind(
            model_name=arguments.model,
            infer_func=infer,
            inputs=[Tensor(name="window", dtype=np.float32, shape=tuple(arguments.shape))],
            outputs=[Tensor(name=name, dtype=np.float32, shape=(width,)) for name, width in _OUTPUTS.items()],
            config=ModelConfig(max_batch_size=arguments.max_batch_size, batcher=batcher),
            strict=False,
        )
        triton.run()
        sys.stdout.write(f"triton ready grpc=127.0.0.1:{arguments.grpc_port}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
