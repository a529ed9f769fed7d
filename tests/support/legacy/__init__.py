"""The service that tickserve replaces, as the original design's two documents describe it, made to run.

For tests and for the walk-through of docs/migration.md alone: nothing of tickserve imports it. `gateway` is its FastAPI
side, `predictor` what its deployments compute, `deployments` and `embedded` put both on Ray Serve with `@serve.batch`,
`alone` serves the same without Ray.

`python -m tests.support.legacy --registry registry --port 8100`
"""
