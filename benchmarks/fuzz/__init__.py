"""Feeds damaged requests to the decoding path, without sockets, and holds every outcome to the contract's laws.

- ``wire``: the fields of a protobuf message as bytes, without its schema;
- ``mutator``: damage to messages, to text and to metadata;
- ``corpus``: the valid messages that the damage begins with;
- ``doorway``: a replica behind the real seam, called with bytes and metadata; ``http_side``: the same for HTTP;
- ``laws``: what must hold of every outcome;
- ``unary_attack``, ``stream_attack``, ``control_attack``, ``door_attack``: what a ``round`` sends, which laws it asks;
- ``campaign``: rounds in a row, each with a seed of its own, the memory watched.

The tests run a short campaign with a fixed seed (``tests/property/server/test_fuzz.py``); ``python -m benchmarks.fuzz``
runs long ones.
"""
