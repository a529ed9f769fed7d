"""The service as an operator meets it: with grpcurl and curl, and no client of ours."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Service

GRPCURL = Path(sys.executable).with_name("grpcurl")


def grpcurl(service: Service, *arguments: str, data: object = None) -> subprocess.CompletedProcess[str]:
    """Runs the real grpcurl against the service, which it knows by reflection only."""
    command = [str(GRPCURL), "-plaintext", "-connect-timeout", "10", "-max-time", "30"]
    if data is not None:
        command += ["-d", "@"]
    return subprocess.run(
        [*command, service.target, *arguments],
        input=None if data is None else json.dumps(data),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_list_names_every_service(service: Service) -> None:
    """Reflection lists the contract's services and the standard ones."""
    listed = grpcurl(service, "list")
    assert listed.stdout.split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "tickserve.v1.HaltService",
        "tickserve.v1.ModelService",
        "tickserve.v1.PredictionService",
    ]


def test_describe_shows_the_contract(service: Service) -> None:
    """Reflection describes services and messages, so that a call can be written by hand."""
    described = grpcurl(service, "describe", "tickserve.v1.PredictionService").stdout
    assert "rpc StreamTicks ( stream .tickserve.v1.StreamTicksRequest )" in described
    assert "raw_float32" in grpcurl(service, "describe", "tickserve.v1.Window").stdout


def test_health_is_serving_for_each_name(service: Service) -> None:
    """The standard health check says SERVING for the server, the service and each model, NOT_FOUND for others."""
    for name in ("", "tickserve.v1.PredictionService", "cnn_lstm"):
        checked = grpcurl(service, "grpc.health.v1.Health/Check", data={"service": name})
        assert json.loads(checked.stdout) == {"status": "SERVING"}
    assert "NotFound" in grpcurl(service, "grpc.health.v1.Health/Check", data={"service": "nobody"}).stderr


def test_predict_by_hand(service: Service) -> None:
    """A JSON request written by hand with `values` is answered with three probabilities that sum to 1."""
    window = {"feature_count": 50, "time_steps": 60, "values": {"values": [0.25] * 3000}}
    answered = grpcurl(
        service,
        "tickserve.v1.PredictionService/Predict",
        data={"request_id": "by-hand", "window": window, "priority": "PRIORITY_REAL_TIME", "timeout": "5s"},
    )
    answer = json.loads(answered.stdout)
    assert answer["request_id"] == "by-hand"
    assert [entry["label"] for entry in answer["prediction"]["classes"]] == ["sell", "hold", "buy"]
    assert abs(sum(entry["probability"] for entry in answer["prediction"]["classes"]) - 1) < 1e-4


def test_refusal_names_field_and_remedy(service: Service) -> None:
    """A refused call shows its reason, the field and what to do."""
    refused = grpcurl(service, "tickserve.v1.PredictionService/Predict", data={"request_id": "empty"})
    assert refused.returncode != 0
    assert "MISSING_INPUT" in refused.stderr
    assert "Set window, or symbol" in refused.stderr


def test_http_health(service: Service) -> None:
    """HTTP answers 200 while the service predicts, on each page what it is for; errors are problems."""

    def get(path: str) -> Any:
        with urllib.request.urlopen(f"{service.http}{path}", timeout=30) as response:
            assert response.status == 200
            return json.load(response)

    assert get("/healthz") == {"status": "SERVING"}
    assert get("/readyz") == {"ready": True, "reasons": []}
    assert get("/livez") == {"live": True}
    deep = get("/health")
    # How fast the engine is on a machine that others share is not for a test to say.
    assert deep["status"] in ("healthy", "degraded")
    assert deep["latency_ms"] > 0
    assert (deep["ready"], deep["is_healthy"]) == (True, deep["status"] == "healthy")
    with pytest.raises(urllib.error.HTTPError) as refused:
        get("/no-such-page")
    assert (refused.value.code, refused.value.headers["content-type"]) == (404, "application/problem+json")
    refused.value.close()
