"""The kinds of objects that the operator deals with, and which of them it watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.api.types import API_VERSION, KIND, PLURAL, DistributedInferenceService
from disvc.rollout.names import DISVC_LABEL, SERVICE_GROUP_LABEL
from disvc.runtime import Resource, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

DISVCS: Final = Resource(
    API_VERSION,
    KIND,
    PLURAL,
    model=DistributedInferenceService,
    install_hint="install it: kubectl apply -k config/crd",
)
ISVCS: Final[Resource[Value]] = Resource(
    "serving.kserve.io/v1beta1",
    "InferenceService",
    "inferenceservices",
    install_hint="install KServe: https://kserve.github.io/website/docs/admin-guide/kubernetes-deployment",
)
SERVICES: Final[Resource[Value]] = Resource("v1", "Service", "services")
INGRESSES: Final[Resource[Value]] = Resource("networking.k8s.io/v1", "Ingress", "ingresses")
REVISIONS: Final[Resource[Value]] = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
ENDPOINT_SLICES: Final[Resource[Value]] = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
PODS: Final[Resource[Value]] = Resource("v1", "Pod", "pods")
EVENTS: Final[Resource[Value]] = Resource("v1", "Event", "events")


class Selections:
    """What is watched, in some namespaces (none given: all).

    InferenceServices, Services and Ingresses are watched whole, as foreign ones may be in the way of a child.
    """

    def __init__(self, namespaces: Sequence[str]) -> None:
        of = tuple(namespaces)
        self.isvcs = Selection(ISVCS, of)
        self.services = Selection(SERVICES, of)
        self.ingresses = Selection(INGRESSES, of)
        self.revisions = Selection(REVISIONS, of, DISVC_LABEL)
        self.endpoint_slices = Selection(ENDPOINT_SLICES, of, SERVICE_GROUP_LABEL)
        self.pods = Selection(PODS, of, DISVC_LABEL)
        self.events = Selection(EVENTS, of, field_selector="involvedObject.kind=InferenceService,type=Warning")
