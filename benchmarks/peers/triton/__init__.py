"""NVIDIA Triton with its Python backend and dynamic batcher, through PyTriton; it needs packages that ours cannot have.

environment.py   makes that environment; `python -m benchmarks.peers.triton.environment`
requirements.txt what is in it
server.py        the server; run by that environment's Python, so it imports nothing of ours
"""
