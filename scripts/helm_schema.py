"""The schema of the Helm chart's values: which names there are, and what each may hold.

Owns the chart's own names; those of `settings` are the service's. Made for `values.schema.json`, with which Helm
refuses whatever is not in it. Reasons and remedies are the templates' (`_refusals.tpl`), which a schema cannot give: so
names that are refused with a reason are let through here.
"""

from __future__ import annotations

import re
from typing import Any

from server.config.settings import Settings
from server.config.tls_settings import TlsSettings

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "maxLength": 63, "pattern": "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"}
_FLAG: Schema = {"type": "boolean"}
_QUANTITY: Schema = {"type": ["string", "number"], "pattern": "^[0-9.]+(m|[kMGT]i?)?$"}
_LIST: Schema = {"type": "array", "items": {"type": "object"}}
_WORDS: Schema = {"type": "object", "additionalProperties": _TEXT}
# Refused with a reason by the templates.
_REFUSED: Schema = {}
_PROFILES: Schema = {"enum": ["", "market_hours", "off_hours", "stress_test", "legacy"]}
_PATH: Schema = {"type": "string", "pattern": "^/.*[^/]$"}


def schema() -> Schema:
    """Returns the schema of the chart's values."""
    settings = _bare(Settings.model_json_schema())
    tls = _bare(TlsSettings.model_json_schema())
    definitions = {**settings.pop("$defs"), "Settings": settings, "TlsSettings": tls}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the tickserve chart. Made by `python -m scripts.helm_chart generate`.",
        "$defs": definitions,
        **_object(
            {
                # Helm's own, and what a parent chart hands down.
                "global": {"type": "object"},
                "rayServe": _REFUSED,
                "batchOptimized": _REFUSED,
                "nameOverride": _TEXT,
                "fullnameOverride": _NAME,
                "enabled": {"const": True},
                "replicaCount": _count(1),
                "image": _object(
                    {**_image(), "pullSecrets": {"type": "array", "items": _object({"name": _NAME}, required=["name"])}}
                ),
                "settings": {"$ref": "#/$defs/Settings"},
                "resources": _resources(gpu=True),
                "workers": _object({"count": _count(0), **_place()}),
                "head": _object({"resources": _resources(), **_place()}),
                "autoscaling": _autoscaling(),
                "sharedMemory": _QUANTITY,
                "temporary": _QUANTITY,
                **_originals(),
                "extraEnv": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                "service": _object(
                    {
                        "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                        "port": _port(),
                        "grpcPort": _port(),
                        "annotations": _WORDS,
                    }
                ),
                "persistence": _persistence(),
                "keys": _object({"existingSecret": _NAME, "key": _TEXT}),
                "edge": _edge(),
                "allowUnauthenticated": _FLAG,
                "redis": _redis(),
                "gcsFaultTolerance": _object({"enabled": _FLAG, "redisAddress": _TEXT}),
                "probes": _object({name: _probe() for name in ("startup", "readiness", "liveness")}),
                "networkPolicy": _object({"enabled": _FLAG, "clients": _LIST, "prometheus": _LIST, "operator": _LIST}),
                "podMonitor": _object(
                    {
                        "enabled": _FLAG,
                        "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                        "labels": _WORDS,
                        "keySecret": _NAME,
                        "keySecretKey": _TEXT,
                    }
                ),
                "podDisruptionBudget": _object(
                    {"enabled": _FLAG, "maxUnavailable": {"type": ["integer", "string"], "minimum": 0}}
                ),
                "antiAffinity": {"enum": ["preferred", "required", "none"]},
                "upgradeStrategy": {"enum": ["NewCluster", "None"]},
            }
        ),
    }


def _object(properties: Schema, *, required: list[str] | None = None) -> Schema:
    found: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": required} if required else found


def _count(least: int) -> Schema:
    return {"type": "integer", "minimum": least}


def _port() -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": 65535}


def _image() -> Schema:
    return {
        "repository": {"type": "string", "minLength": 1},
        "tag": _TEXT,
        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    }


def _place() -> Schema:
    return {"nodeSelector": _WORDS, "tolerations": _LIST, "annotations": _WORDS}


def _resources(*, gpu: bool = False) -> Schema:
    amounts = {"cpu": _QUANTITY, "memory": _QUANTITY} | ({"gpu": _count(0)} if gpu else {})
    return _object({"requests": _object(amounts), "limits": _object(amounts)})


def _autoscaling() -> Schema:
    refused = ("targetCPUUtilization", "targetMemoryUtilization", "targetGPUUtilization")
    return _object(
        {"enabled": _FLAG, "minReplicas": _count(1), "maxReplicas": _count(1), **dict.fromkeys(refused, _REFUSED)}
    )


def _originals() -> Schema:
    return {
        "env": _object(
            {
                "MODEL_PATH": _PATH,
                "MODEL_REGISTRY_PATH": _PATH,
                "RAY_ADDRESS": _REFUSED,
                "BATCH_CONFIG_PROFILE": _PROFILES,
            }
        ),
        "config": _object(
            {"profile": _PROFILES, "batchSize": _count(1), "waitTimeMs": {"type": "number", "minimum": 0}}
        ),
        "healthCheck": _object(
            {
                "enabled": {"const": True},
                "path": _REFUSED,
                "initialDelaySeconds": _count(0),
                "periodSeconds": _count(1),
            }
        ),
    }


def _persistence() -> Schema:
    return _object(
        {
            "enabled": _FLAG,
            "existingClaim": _NAME,
            "mountPath": _PATH,
            "readOnly": _FLAG,
            "size": _QUANTITY,
            "storageClass": _NAME,
            "accessMode": {"enum": ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce"]},
        }
    )


def _edge() -> Schema:
    return _object(
        {
            "enabled": _FLAG,
            "replicas": _count(1),
            "tlsSecret": _NAME,
            "clientCaSecret": _NAME,
            "clientCaKey": _TEXT,
            "existingSecret": _NAME,
            "settings": {"$ref": "#/$defs/TlsSettings"},
            "drainSeconds": _count(0),
            "clusterDomain": _NAME,
            "resources": _resources(),
            **_place(),
        }
    )


def _redis() -> Schema:
    internal = _object(
        {
            # Sentinels agree by majority: an even number gains nothing.
            "replicas": {"enum": [1, 3, 5]},
            "image": _object(_image()),
            "downAfterMilliseconds": _count(100),
            "minReplicasToWrite": _count(0),
            "maxMemory": {"type": "string", "pattern": "^[0-9]+(b|k|m|g|kb|mb|gb)$"},
            "size": _QUANTITY,
            "storageClass": _NAME,
            "resources": _resources(),
        }
    )
    return _object(
        {
            "mode": {"enum": ["internal", "external", "none"]},
            "url": {"type": "string", "pattern": r"^((redis|rediss)(\+sentinel)?://.+)?$"},
            "existingSecret": _NAME,
            "passwordKey": _TEXT,
            "internal": internal,
        }
    )


def _probe() -> Schema:
    names = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
    return _object({name: _count(0 if name == "initialDelaySeconds" else 1) for name in names})


def _bare(found: Any) -> Any:
    """Returns a schema without defaults and titles: the chart's defaults are elsewhere, and both add to its size."""
    if isinstance(found, dict):
        # A property may itself be called `title`.
        dropped = {name for name in ("default", "title") if not isinstance(found.get(name), dict) or name == "default"}
        kept = {name: _bare(value) for name, value in found.items() if name not in dropped}
        if isinstance(pattern := kept.get("pattern"), str):
            # Go's expressions count to a thousand; the service itself holds the rest.
            kept["pattern"] = re.sub(r"\{0,\d{4,}\}", "*", pattern)
        return kept
    return [_bare(item) for item in found] if isinstance(found, list) else found
