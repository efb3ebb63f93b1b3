"""The template of a DISVC: what its members are made from. Another template makes another revision, nothing else does.

Two spellings of one template are the same template: what a user may as well leave out is left out. Its hash is over
JSON text, so that neither a language's types nor a later version of the operator can change it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.api.types import DistributedInferenceService

FORMAT_VERSION: Final = 1
"""Of what a ControllerRevision holds. Another one means that the hash of every template is another one."""
_HASH_DIGITS: Final = 10


def template_of(disvc: DistributedInferenceService) -> dict[str, Any]:
    """Return the template that a DISVC asks for: `inferenceService`, `annotations`, `labels` and `modelName`.

    Empty parts are left out, and so are a model name that is the default and fields that are null, which in Kubernetes
    means the same as absent. Empty values are kept: `emptyDir: {}` and `name: ""` say something.
    """
    spec, name = disvc.spec, disvc.metadata.name
    parts = {
        "inferenceService": without_nulls(spec.template),
        "annotations": dict(spec.annotations),
        "labels": dict(spec.labels),
        "modelName": None if spec.model_name == name else spec.model_name,
    }
    return {part: value for part, value in parts.items() if value}


def template_hash(template: Mapping[str, Any]) -> str:
    """Return ten hexadecimal digits that tell templates apart in status and labels; `same_template` is what decides."""
    text = f"{FORMAT_VERSION}\n{_canonical(template)}"
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_HASH_DIGITS]


def same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two templates ask for the same."""
    return _canonical(one) == _canonical(other)


def without_nulls(value: Any) -> Any:
    """Return a copy of a JSON value in which no object has a field that is null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _canonical(value: Any) -> str:
    """Return the one text of a JSON value: sorted keys, no spaces, ASCII only.

    1 and 1.0 are the same number: the API server stores either as 1.
    """
    return json.dumps(_with_integers(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _with_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
