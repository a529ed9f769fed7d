"""Values that the Helm chart must be right for, each a way in which it is used."""

from collections.abc import Mapping
from typing import Any

from tests.support.helm_chart import values_file

MATRIX: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "cpu": values_file("values-cpu.yaml"),
    "gpu": values_file("values-gpu.yaml"),
    "no-edge": {"edge": {"enabled": False}, "service": {"type": "LoadBalancer", "annotations": {"a/b": "c"}}},
    "client-certificates": {
        "keys": {"existingSecret": ""},
        "edge": {"clientCaSecret": "clients", "settings": {"client_identities": {"desk-1": "alpha"}, "threads": 4}},
    },
    "one-replica-alone": {
        "replicaCount": 1,
        "redis": {"mode": "none"},
        "gcsFaultTolerance": {"enabled": False},
        "workers": {"count": 1},
        "settings": {"max_surge_percent": 0, "halts": {"folder": "/models/.state"}},
        "persistence": {"readOnly": False},
    },
    "single-redis": {"redis": {"internal": {"replicas": 1, "minReplicasToWrite": 0, "storageClass": "fast"}}},
    "external-redis": {
        "redis": {"mode": "external", "url": "redis://redis.data.svc:6379/3", "existingSecret": "redis"},
        "gcsFaultTolerance": {"redisAddress": "redis.data.svc:6379"},
    },
    "external-sentinels": {
        "redis": {"mode": "external", "url": "redis+sentinel://s1.data:26379,s2.data:26379/mymaster/0"},
        "gcsFaultTolerance": {"redisAddress": "s1.data:26379"},
    },
    "autoscaling": {
        "replicaCount": 3,
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 12},
        "settings": {"autoscaling": {"upscale_delay_s": 5}},
    },
    "autoscaling-by-calendar": {
        "replicaCount": 5,
        "autoscaling": {"enabled": True},
        "settings": {
            "autoscaling": {"profile": "calendar", "calendars": ["XNYS", "XLON"], "open": {"max_replicas": 40}}
        },
    },
    "own-claim-and-import": {
        "persistence": {"existingClaim": "", "readOnly": False, "mountPath": "/srv/models", "storageClass": "shared"},
        "env": {"MODEL_PATH": "/srv/models/incoming/cnn_lstm.pth", "MODEL_REGISTRY_PATH": "/srv/models"},
    },
    "models-in-the-image": {"persistence": {"enabled": False}},
    "monitored": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "keySecret": "scrape"},
        "networkPolicy": {"clients": [{"namespaceSelector": {"matchLabels": {"desk": "true"}}}]},
    },
    "bare": {
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "antiAffinity": "none",
        "allowUnauthenticated": True,
        "keys": {"existingSecret": ""},
        "edge": {"enabled": False},
        "upgradeStrategy": "None",
    },
    "settings": {
        # False, zero, empty, large and fractional: what templates like to lose.
        "settings": {
            "replica_cpus": 1.5,
            "reflection": False,
            "access_log": True,
            "grpc_port": 9100,
            "http_port": 8100,
            "engine_threads": 3,
            "max_streams_per_connection": 100_000,
            "transport_max_message_bytes": 64 * 1024 * 1024,
            "max_request_bytes": 32 * 1024 * 1024,
            "reply_margin": 0,
            "scheduler": {"adaptive": False, "max_batch_duration": 0.0125, "max_total_queue_size": 1_000_000},
            "cache": {"enabled": False, "request_id_window": 0},
            "limits": {"refusal_hold": 0, "default_rate": 1e6},
            "log": {"format": "console", "level": "debug"},
            "metrics": {"port": 9500},
            "health": {"deep_interval": 0},
            "tracing": {
                "enabled": True,
                "endpoint": "http://collector:4317",
                "headers": {"authorization": "a <b> & c"},
            },
            "routes": {"cnn_lstm": {"stable": 3, "candidate": 4, "percent": 12.5}},
        }
    },
    "no-metrics": {"settings": {"metrics": {"enabled": False}}, "podMonitor": {"enabled": False}},
    "profile": {"settings": {"profile": "off_hours", "scheduler": {"max_batch_size": 96}}},
    "long-names": {"fullnameOverride": "the-prices-of-all-that-is-traded-anywhere"},
    "placed": {
        "antiAffinity": "required",
        "workers": {"count": 4, "nodeSelector": {"pool": "fast"}, "tolerations": [{"operator": "Exists"}]},
        "head": {"nodeSelector": {"pool": "calm"}, "annotations": {"a": "b"}},
        "edge": {"nodeSelector": {"pool": "calm"}, "annotations": {"a": "b"}, "existingSecret": "edge"},
        "image": {"pullSecrets": [{"name": "registry"}], "tag": "0.2.0", "pullPolicy": "Always"},
        "extraEnv": [{"name": "RAY_SERVE_HAPROXY_MAXCONN", "value": "30000"}],
    },
    "original-batch": {
        "replicaCount": 2,
        "image": {"repository": "trading-platform/ray-serve", "tag": "batch-optimized-1"},
        "resources": {"requests": {"cpu": 2, "memory": "2Gi"}, "limits": {"cpu": 4, "memory": "4Gi"}},
        "config": {"profile": "market_hours", "batchSize": 64, "waitTimeMs": 5},
        "env": {"BATCH_CONFIG_PROFILE": "market_hours"},
        "healthCheck": {"enabled": True, "initialDelaySeconds": 35, "periodSeconds": 12},
    },
}
