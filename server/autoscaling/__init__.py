"""How many replicas there should be: from the load that they report and the hours of the exchanges.

One side runs in each replica (`replica_load`), the other in Ray Serve's controller (`policy` and all that it uses),
which must not wait for anything and must not fail. `scale_options` tells Ray Serve of both.
"""
