"""Bare grpc.aio: the server that needs nothing but the library, with the engine inline, or with an echo for an engine.

`python -m benchmarks.peers.bare --script model.pt --model NAME:VERSION --port 9200 --threads 1 [--echo]`
"""
