"""The server: everything between a gRPC connection and the scheduler.

Layout, from the wire inward; a package may import those below it, and ``scripts/layering.py`` says so:

- ``launcher``, ``embedded``, ``app``, ``serve_config``, ``deployment``, ``runtime_env``: start-up and Ray Serve;
  ``replica*`` wires one process together, with or without Ray; ``commands`` are the server's part of the command line;
- ``migration``: the way from the service that tickserve replaces: split, mirror, comparison;
- ``edge``: the TLS edge in front of it all, and the firewall's rules;
- ``http``: what is served to browsers, load balancers and people with curl;
- ``oip``: the Open Inference Protocol, beside the services of our own contract;
- ``rpc``: the RPC edge: the seam, the services, protobuf messages to domain values and back;
- ``statistics``: what a replica says of itself;
- ``ticks``: sessions of a tick stream;
- ``telemetry``: metrics, traces, logs and decision log: those who are told what happened;
- ``health``: whether a replica answers, and how well;
- ``autoscaling``: how many replicas there should be: what one reports, and what Ray Serve's controller decides;
- ``observation``: what happened to requests, engine calls and RPCs, as plain values, and the telling;
- ``routes``: which version answers;
- ``windows``: the symbols' windows and their stores;
- ``inference``: how one window is answered;
- ``results``: answers that are known already;
- ``models``: which versions are in memory;
- ``security``: who may call, and how often, and what is halted;
- ``config``: settings;
- ``call``, ``grant``, ``deadline``, ``refusal``, ``back_off``, ``time_slice``, ``process_tree``, ``trace_context``,
  ``redis_url``, ``redis_client``: nouns of the whole server, free of transport.
"""
