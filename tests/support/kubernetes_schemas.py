"""What Kubernetes' and KubeRay's schemas find wrong with an object: fields that they do not know as well."""

import gzip
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

from scripts.layering import ROOT

_CRD = ROOT / "tests/data/kuberay/rayservices-crd.yaml.gz"
# The oldest version that Chart.yaml allows, and the newest that is known here.
VERSIONS = ("1.30", "1.37")
# Of the Prometheus operator, whose definitions are not here.
UNKNOWN = ("PodMonitor",)


def faults(found: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with an object; nothing where a cluster would take it."""
    return _faults(json.dumps(found, sort_keys=True))


@cache
def _faults(text: str) -> list[str]:
    found = json.loads(text)
    if found["kind"] in UNKNOWN:
        return []
    if found["kind"] == "RayService":
        return [f"{error.json_path}: {error.message}" for error in _rayservice().iter_errors(found)]
    wrong = []
    for version in VERSIONS:
        validator = _validator(found["kind"], found["apiVersion"], version)
        wrong += [f"{version} {error.json_path}: {error.message}" for error in validator.iter_errors(found)]
    return wrong


@cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    # As kubernetes_validate.validate does, which reads megabytes of definitions anew for each object.
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = schema_contents(f"{folder}/{kind.lower()}-{group}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(folder))


@cache
def _definitions(folder: str) -> Registry[Any]:
    return Resource.from_contents(schema_contents(f"{folder}/_definitions.json", "")) @ Registry()


@cache
def _rayservice() -> jsonschema.Draft202012Validator:
    with gzip.open(_CRD, "rt", encoding="utf-8") as file:
        definition = yaml.load(file, Loader=yaml.CSafeLoader)
    [schema] = [each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == "v1"]
    return jsonschema.Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """Returns a structural schema that takes no fields beside its own, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(value) for name, value in schema.items()}
    has_fields = isinstance(schema.get("properties"), dict) and "type" in schema
    if has_fields and not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-embedded-resource") or schema.get("format") == "int-or-string":
        made.pop("additionalProperties", None)
    return made
