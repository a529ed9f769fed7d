"""An operator reads why a replica did not start, not only that it did not."""

from server.deploy_failure import explained

SAID = "Failed to update the deployments ['predictor']."
TOLD = """The deployment failed to start 3 times in a row. See controller logs for details. Error:
ray::ServeReplica:tickserve:predictor.initialize_and_get_metadata() (pid=1637, ip=127.0.0.1)
  File "replica.py", line 12, in start
    raise attempt.error
model.errors.QualityGateError: registry/cnn_lstm/1: quality gate: no real windows; put a golden.npy there
"""


def test_the_error_behind_a_failed_deployment_is_told() -> None:
    """The last line of the replica's traceback follows Ray Serve's words, without the module's name."""
    assert explained(SAID, [TOLD]) == (
        f"{SAID} QualityGateError: registry/cnn_lstm/1: quality gate: no real windows; put a golden.npy there"
    )


def test_without_a_traceback_nothing_is_added() -> None:
    """A deployment that is well, or says one line, tells no reason."""
    assert explained(SAID, ["", "healthy"]) == SAID
    assert explained(SAID, []) == SAID
    assert explained(SAID, ["x\nKilled"]) == f"{SAID} Killed"
