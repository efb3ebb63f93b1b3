"""Rules of the CRD that a plain schema cannot state, in CEL, and the types of fields that carry them.

The API server holds them against every write, so that installing needs no webhook and no certificate. pydantic does
not: what was admitted is not judged again. A message says what to do instead.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue


def rule(
    expression: str,
    message: str,
    *,
    computed: bool = False,
    reason: Literal["Invalid", "Forbidden", "Required"] = "Invalid",
    field: str = "",
) -> dict[str, JsonValue]:
    """Return one entry of x-kubernetes-validations.

    Args:
        expression: in CEL, of `self`; what makes it false is refused.
        message: what the user reads.
        computed: whether the message is a CEL expression.
        reason: the API server's words before the message; it repeats the value with "Invalid" only.
        field: the part of `self` that the message is about, like `.name`.

    """
    entry: dict[str, JsonValue] = {
        "rule": expression,
        "messageExpression" if computed else "message": message,
        "reason": f"FieldValue{reason}",
    }
    return {**entry, "fieldPath": field} if field else entry


def rules(*entries: dict[str, JsonValue]) -> dict[str, Any]:
    """Return what the schema of a type or field has in addition, so that the API server applies these rules."""
    return {"x-kubernetes-validations": list(entries)}


def decimal(number: str) -> str:
    """Return the CEL expression for a number from 0 to 999 as text.

    The API server refuses string(number): to its estimate of what a rule may cost, that text has no limit.
    """
    places = (f"{number} / 100", f"{number} / 10 % 10", f"{number} % 10")
    hundreds, tens, ones = (f"'0123456789'.substring({digit}, {digit} + 1)" for digit in places)
    return f"({number} >= 100 ? {hundreds} : '') + ({number} >= 10 ? {tens} : '') + {ones}"


def without(key: str, advice: str) -> dict[str, JsonValue]:
    """Return the rule that a map of labels or annotations lacks a key."""
    return rule(f"!('{key}' in self)", f"remove {key}: {advice}", reason="Forbidden")


SELECTED_BY: Final = tuple(
    without(label, "the operator sets this label, and the Services select pods by it")
    for label in ("disvc", "disvc.group")
)
"""Rules of labels that come to pods."""


def _keys(key: str) -> dict[str, JsonValue]:
    return rule(
        f"self.all(key, !format.qualifiedName().validate({key}).hasValue())",
        "a key is NAME or PREFIX/NAME, where NAME has at most 63 letters, digits, '-', '_' and '.', with a letter or"
        " digit first and last, and PREFIX is a DNS name",
    )


_OWN_ANNOTATIONS = rule(
    "self.all(key, !key.startsWith('disvc.serving.kserve.io/'))",
    "remove what starts with disvc.serving.kserve.io/: such annotations ask the operator for something where they stand"
    " in metadata.annotations of the DistributedInferenceService, and elsewhere only the operator sets them",
    reason="Forbidden",
)
_STOP = without(
    "serving.kserve.io/stop",
    "it belongs in metadata.annotations of the DistributedInferenceService, where it stops the whole service without a"
    " new revision",
)
_DEPLOYMENT_MODE = rule(
    "!('serving.kserve.io/deploymentMode' in self)"
    " || self['serving.kserve.io/deploymentMode'] in ['RawDeployment', 'Standard']",
    "serving.kserve.io/deploymentMode can be RawDeployment or Standard, which mean the same: traffic is switched by"
    " Services that select the pods of Deployments; without it, members run so anyway",
)
_SET_BY_KSERVE = tuple(
    without(label, "KServe sets this label, in its own way for each InferenceService")
    for label in ("app", "component", "serving.kserve.io/inferenceservice")
)
_VISIBILITY = without(
    "networking.kserve.io/visibility",
    "members are never exposed; to take away external access, put it into metadata.labels of the"
    " DistributedInferenceService",
)
_OBJECT_NAME = rule(
    "!format.dns1123Subdomain().validate(self).hasValue()",
    "give the name of an object: lower-case letters, digits, '-' and '.', with a letter or digit first and last",
)
_HOST_NAME = rule(
    "!format.dns1123Subdomain().validate(self).hasValue() && !isIP(self)"
    " && self.split('.').all(label, label.size() <= 63)",
    "give a DNS name like iris.example.com: lower-case letters, digits and '-' in parts of at most 63 characters with"
    " '.' between them, without scheme, wildcard, port or path, and no IP address",
)
_MODEL_NAME = rule(
    "self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
    "the name is a part of URLs, as in /v2/models/NAME/infer: give letters, digits, '-', '_' and '.', with a letter or"
    " digit first and last",
)
_LABEL_VALUE = rule(
    "!format.labelValue().validate(self).hasValue()",
    "give at most 63 letters, digits, '-', '_' and '.', with a letter or digit first and last, or nothing",
)

Seconds = Annotated[int, Field(ge=0, le=2_147_483_647)]
ObjectName = Annotated[str, Field(max_length=253, json_schema_extra=rules(_OBJECT_NAME))]
HostName = Annotated[str, Field(max_length=253, json_schema_extra=rules(_HOST_NAME))]
ModelName = Annotated[str, Field(max_length=253, json_schema_extra=rules(_MODEL_NAME))]
LabelValue = Annotated[str, Field(max_length=63, json_schema_extra=rules(_LABEL_VALUE))]
MemberLabels = Annotated[
    dict[str, LabelValue],
    Field(max_length=64, json_schema_extra=rules(*SELECTED_BY, *_SET_BY_KSERVE, _VISIBILITY, _keys("key"))),
]
Annotations = Annotated[
    dict[str, str], Field(max_length=64, json_schema_extra=rules(_OWN_ANNOTATIONS, _keys("key.lowerAscii()")))
]
MemberAnnotations = Annotated[
    dict[str, str],
    Field(
        max_length=64,
        json_schema_extra=rules(_OWN_ANNOTATIONS, _STOP, _DEPLOYMENT_MODE, _keys("key.lowerAscii()")),
    ),
]
