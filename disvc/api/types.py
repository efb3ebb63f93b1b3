"""The DistributedInferenceService itself."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from disvc.api.model import Model
from disvc.api.spec import DistributedInferenceServiceSpec
from disvc.api.status import DistributedInferenceServiceStatus, Time

GROUP: Final = "serving.kserve.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "DistributedInferenceService"
PLURAL: Final = "distributedinferenceservices"

PROMOTE: Final = "disvc.serving.kserve.io/promote"
"""Annotation `NAME-vN`: this revision may get the traffic, where promotion is manual."""
ABORT: Final = "disvc.serving.kserve.io/abort"
"""Annotation `NAME-vN/ATTEMPT`: this try of this revision is given up."""
RETRY: Final = "disvc.serving.kserve.io/retry"
"""Annotation `NAME-vN/ATTEMPT`: this revision, which has failed, is tried again, as this attempt."""


class ObjectMeta(Model):
    """The part of metav1.ObjectMeta that decisions are made by."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class DistributedInferenceService(Model):
    """Several InferenceServices under one address, upgraded without a failed request."""

    api_version: str = API_VERSION
    kind: str = KIND
    metadata: ObjectMeta
    spec: DistributedInferenceServiceSpec
    status: DistributedInferenceServiceStatus = DistributedInferenceServiceStatus()

    @property
    def owner_reference(self) -> dict[str, Any]:
        """Return what a child's `metadata.ownerReferences` holds so that this object controls it."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.metadata.name,
            "uid": self.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
