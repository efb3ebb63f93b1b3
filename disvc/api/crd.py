"""The CustomResourceDefinition, made from the types: what the API server knows of DISVCs.

`make generate` writes it to config/crd/bases; whoever installs it in another way calls `crd()`. It needs Kubernetes
1.32, where rules may use CEL's library `format`.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from disvc.api.rules import decimal, rule, rules
from disvc.api.spec import DistributedInferenceServiceSpec
from disvc.api.status import DistributedInferenceServiceStatus
from disvc.api.types import GROUP, KIND, PLURAL, VERSION, DistributedInferenceService

if TYPE_CHECKING:
    from pydantic_core import core_schema

    from disvc.api.model import Model

NAME_LIMIT: Final = 39
"""Characters: members are called NAME-vNNNN-NN, and KServe takes 48 characters."""

_COLUMNS = (
    {"name": "PHASE", "type": "string", "jsonPath": ".status.phase", "description": "Where the rollout is."},
    {
        "name": "ACTIVE",
        "type": "string",
        "jsonPath": ".status.activeRevision.name",
        "description": "The revision that has the traffic.",
    },
    {
        "name": "TARGET",
        "type": "string",
        "jsonPath": ".status.targetRevision.name",
        "description": "The revision that the spec asks for.",
    },
    {"name": "READY", "type": "string", "jsonPath": ".status.ready", "description": "Ready members of those wanted."},
    {"name": "URL", "type": "string", "jsonPath": ".status.url", "description": "Where requests go."},
    {"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "HASH",
        "type": "string",
        "priority": 1,
        "jsonPath": ".status.targetRevision.hash",
        "description": "The hash of the template that the spec asks for.",
    },
    {
        "name": "MESSAGE",
        "type": "string",
        "priority": 1,
        "jsonPath": '.status.conditions[?(@.type=="Ready")].message',
        "description": "Why it is ready, or is not.",
    },
)


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition: a new value at each call, yours to change."""
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["disvc"],
                "categories": ["all", "kserve"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": list(_COLUMNS),
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }
    return deepcopy(definition)  # the rules in it are the types' own


def _root() -> dict[str, Any]:
    return {
        "type": "object",
        "description": DistributedInferenceService.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": _schema(DistributedInferenceServiceSpec, _Generator),
            "status": _schema(DistributedInferenceServiceStatus, _StatusGenerator),
        },
        **rules(
            rule(
                f"self.metadata.name.size() <= {NAME_LIMIT}",
                f"'the name has ' + {decimal('self.metadata.name.size()')} + ' characters, and at most {NAME_LIMIT} are"
                " possible: InferenceServices, which have at most 48, are called NAME-vNNNN-NN'",
                computed=True,
                field=".metadata.name",
            ),
            rule(
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "the name is also that of a Service and a part of host names: give lower-case letters, digits and"
                ' "-", with a letter first and no "-" last',
                field=".metadata.name",
            ),
        ),
    }


class _Generator(GenerateJsonSchema):
    """Leaves out null, which the API server takes for absence."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


class _StatusGenerator(_Generator):
    """Leaves out defaults too: the API server keeps the status as the operator wrote it, and adds nothing."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _schema(model: type[Model], generator: type[_Generator]) -> dict[str, Any]:
    """Return a type's schema as a CustomResourceDefinition may have it: structural, and whole in itself."""
    schema = model.model_json_schema(schema_generator=generator)
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Put definitions in place of references, and leave out titles.

    The default of an object has those of its parts, as the API server holds it against the rules.
    """
    reference = schema.pop("$ref", "").removeprefix("#/$defs/")
    schema = {**definitions.get(reference, {}), **schema}
    schema.pop("title", None)
    if "properties" in schema:
        schema["properties"] = {name: _inlined(part, definitions) for name, part in schema["properties"].items()}
        if "default" in schema:
            parts = schema["properties"].items()
            schema["default"] = {name: part["default"] for name, part in parts if "default" in part}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _inlined(schema[key], definitions)
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
        if "default" in schema and schema["type"] != "object":  # as `kubectl explain` does not show it by itself
            default = json.dumps(schema["default"]).strip('"')
            schema["description"] += f" Defaults to {default}."
    return schema
