"""What tickserve is measured against, and how every server of a benchmark is started and stopped.

target.py      a server in a process of its own: start, wait until it answers, stop; nothing is left behind
catalogue.py   which servers there are: tickserve as shipped, tickserve on TorchScript, the peers
supervisor.py  the process that a peer runs under, which inherits and ends all that Ray starts
floor.py       the bare engine
export.py      the TorchScript file that all peers load
stock/         Ray Serve with `@serve.batch`: its Python gRPC proxy, or its HAProxy with direct ingress
bare/          grpc.aio alone: the engine inline, or an echo
triton/        NVIDIA Triton, through PyTriton, in an environment of its own
scripted_model.py  the TorchScript file in a peer's process
"""
