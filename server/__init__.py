"""The server: everything between a gRPC connection and the scheduler.

Layout, from the wire inward:

- ``runtime_env`` (the environment Ray Serve needs), ``settings``, ``launcher``, ``embedded``, ``app``: start-up;
- ``deployment`` (the Ray Serve class) and ``ingress`` (the seam before Ray Serve's accounting): the only files, with
  ``embedded`` and ``app``, that know Ray Serve;
- ``dispatch``, ``prediction_service``, ``tick_service``, ``model_service``, ``decode``, ``encode``, ``errors``,
  ``health``: the RPC edge, where protobuf messages become domain values and back;
- ``routed_predictor`` (``route*``, ``arm_statistics``, ``rollback_policy``, ``shadow_runner``): which version answers;
- ``predictor``, ``batch_runner``, ``known_results`` (``result_cache``, ``request_ledger``): how one window is answered;
- ``model_pool``, ``version_loading``, ``version_source``: which versions are in memory;
- ``tick_session``, ``window_store``, ``deadline``, ``refusal``, ``call``: the rest of the domain, free of transport;
- ``replica``: wires them together in one process, with or without Ray.
"""
