"""Revisions: one ControllerRevision NAME-vN for each template that a DISVC has asked for.

It records the template, and the InferenceService that the operator made of it, in full. `data` is immutable at the API
server; so is an object's name. Everything that is read back comes from these two, and hand edits of the rest mean
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from disvc.api.status import Revision
from disvc.rollout.names import DISVC_LABEL, GROUP_LABEL, HASH_ANNOTATION
from disvc.rollout.template import FORMAT_VERSION, same_template, template_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.api.types import DistributedInferenceService

_NAME: Final = r"^.+-v[1-9][0-9]*$"


@dataclass(frozen=True, slots=True)
class Record:
    """One revision, as it was recorded."""

    ref: Revision
    template: dict[str, Any] | None
    """As of `template_of`; None: it is not known, as the record was lost and has been made anew from a member."""
    member: dict[str, Any]
    """The InferenceService of its members, as of `inference_service.render`."""


def manifest(disvc: DistributedInferenceService, record: Record) -> dict[str, Any]:
    """Return the ControllerRevision of a record."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": record.ref.name,
            "namespace": disvc.metadata.namespace,
            "labels": {DISVC_LABEL: disvc.metadata.name, GROUP_LABEL: record.ref.name},
            "annotations": {HASH_ANNOTATION: record.ref.hash},
            "ownerReferences": [disvc.owner_reference],
        },
        "revision": record.ref.number,
        # In the order of Go's encoder: the API server compares these bytes with what a strategic merge patch of
        # anything else makes of them, and refuses it where they differ. Garbage collection uses such, to orphan.
        "data": _sorted(
            {
                "formatVersion": FORMAT_VERSION,
                "hash": record.ref.hash,
                "template": record.template,
                "inferenceService": record.member,
            }
        ),
    }


def has_template(revision: Revision, records: Mapping[str, Record], template: Mapping[str, Any]) -> bool:
    """Whether a revision was made from a template. By content; by hash where its record is lost."""
    record = records.get(revision.name)
    if record is None or record.template is None:
        return revision.hash == template_hash(template)
    return same_template(record.template, template)


def _sorted(value: Any) -> Any:
    """Return a JSON value with the fields of its objects in order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def read(controller_revision: Mapping[str, Any]) -> Record:
    """Return the record that a ControllerRevision holds.

    Raises `ValueError` for one that this version of the operator cannot read; the message says what to do.
    """
    name = controller_revision["metadata"]["name"]
    version = (controller_revision.get("data") or {}).get("formatVersion")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"ControllerRevision {name} has format {version!r}, and this version of the operator reads format "
            f"{FORMAT_VERSION}: run the version that wrote it, or a newer one"
        )
    try:
        parsed = _ControllerRevision.model_validate(controller_revision)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        raise ValueError(
            f"ControllerRevision {name} is not as the operator writes them ({wrong}): restore it from a backup, "
            "or change the template, so that another revision is made"
        ) from error
    data = parsed.data
    ref = Revision(name=name, number=int(name.rpartition("-v")[2]), hash=data.hash)
    return Record(ref, data.template, data.inference_service.model_dump())


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _MemberMetadata(_Model):
    labels: dict[str, str]
    annotations: dict[str, str]


class _Member(_Model):
    metadata: _MemberMetadata
    spec: dict[str, JsonValue]


class _Data(_Model):
    hash: str
    template: dict[str, JsonValue] | None
    inference_service: _Member


class _Metadata(_Model):
    name: str = Field(pattern=_NAME)


class _ControllerRevision(_Model):
    metadata: _Metadata
    data: _Data
