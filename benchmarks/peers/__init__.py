"""What tickserve is measured against, and how every server of a benchmark is started and stopped.

target.py      a server in a process of its own: start, wait until it answers, stop; nothing is left behind
catalogue.py   which servers there are: tickserve as shipped, tickserve on TorchScript, the peers
supervisor.py  the process that a peer runs under, which inherits and ends all that Ray starts
export.py      the TorchScript file that all peers load
stock/         Ray Serve's Python gRPC proxy with `@serve.batch`
"""
