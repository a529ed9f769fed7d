"""Stock Ray Serve: its Python gRPC proxy, no HAProxy, no direct ingress, and `@serve.batch`; tuned in good faith.

`python -m benchmarks.peers.stock --script model.pt --config config.json --grpc-port 9100 --threads 2`
"""
