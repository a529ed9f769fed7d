"""Ray Serve as its documentation shows it, `@serve.batch` around the model, tuned in good faith.

Behind its Python gRPC proxy, which is its default, or behind its HAProxy with direct ingress:
`python -m benchmarks.peers.stock --script model.pt --model NAME:VERSION --grpc-port 9100 --http-port 8100 [--haproxy]`

With `--echo` it is no peer but a floor: see `echo`.
"""
