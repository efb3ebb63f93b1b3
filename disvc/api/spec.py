"""What a user asks for: the spec of a DistributedInferenceService; `kubectl explain` shows the descriptions."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from disvc.api.model import Model
from disvc.api.rules import (
    Annotations,
    HostName,
    MemberAnnotations,
    MemberLabels,
    ModelName,
    ObjectName,
    Seconds,
    rule,
    rules,
)
from disvc.api.template import Template


class StrategyType(StrEnum):
    """How a new revision takes the place of the old one."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


class Promotion(StrEnum):
    """Who says when a ready revision gets the traffic."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class OnFailure(StrEnum):
    """What becomes of a revision that failed."""

    ROLLBACK = "Rollback"
    HOLD = "Hold"


class RoutingType(StrEnum):
    """What makes the service reachable from outside the cluster."""

    INGRESS = "Ingress"
    NONE = "None"


class AffinityType(StrEnum):
    """Whether a client stays with one member."""

    CLIENT_IP = "ClientIP"
    NONE = "None"


class DeploymentStrategy(Model):
    """How a new revision takes the place of the old one. All times are in seconds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(self.type == 'Recreate' && self.promotion == 'Manual')",
                "Manual needs type: RollingUpdate: with Recreate the old revision is removed first, so that nothing"
                " would serve until somebody promotes the new one",
                reason="Forbidden",
                field=".promotion",
            ),
            rule(
                "self.minReadySeconds < self.progressDeadlineSeconds",
                "it must be greater than minReadySeconds, or every revision would fail before it has been ready for"
                " long enough",
                field=".progressDeadlineSeconds",
            ),
        )
    )

    type: StrategyType = StrategyType.ROLLING_UPDATE
    """RollingUpdate makes the new revision beside the old one and moves the traffic when it is ready. Recreate removes
    the old revision first, for clusters without room for two: nothing serves in between."""
    promotion: Promotion = Promotion.AUTOMATIC
    """Who says when a ready revision gets the traffic. With Manual it waits until the annotation
    disvc.serving.kserve.io/promote has its name."""
    min_ready_seconds: Seconds = 0
    """For how many seconds a new revision must be ready without a break before it gets the traffic."""
    progress_deadline_seconds: Seconds = 600
    """After how many seconds a revision that is not ready has failed. Time spent paused does not count."""
    propagation_seconds: Seconds = 5
    """How many seconds the router is given to act on a changed route. Until then the old revision is kept whole, as
    some routers drop requests otherwise."""
    drain_seconds: Seconds = 30
    """How many seconds the old revision is kept after the traffic has moved, to finish the requests that it has."""
    on_failure: OnFailure = OnFailure.ROLLBACK
    """What becomes of a revision that has failed. Rollback removes it; Hold keeps it for inspection, without traffic.
    Either way the old revision serves on."""
    failed_revision_ttl_seconds: Seconds = 0
    """With Rollback: how many seconds a revision that has failed is kept before it is removed."""


class RoutingTLS(Model):
    """How connections from outside are encrypted."""

    secret_name: ObjectName
    """The name of the Secret, in the same namespace, that has the certificate and key of the host."""


class SessionAffinity(Model):
    """Whether, and for how long, a client stays with one member."""

    type: AffinityType = AffinityType.CLIENT_IP
    """ClientIP sends all requests of one client address to the same member; None spreads them."""
    timeout_seconds: int = Field(default=10800, ge=1, le=86400)
    """After how many seconds without a request a client may be sent to another member."""


class Routing(Model):
    """How the service is reached. What is not given comes from the operator's configuration."""

    type: RoutingType = RoutingType.INGRESS
    """Ingress makes an Ingress, for requests from outside the cluster; None makes none."""
    class_name: ObjectName | None = None
    """The name of the IngressClass. Without it the operator's configuration decides, then the cluster's default."""
    host: HostName | None = None
    """The host name of requests from outside. Without it the operator makes one of name, namespace and domain."""
    domain: HostName | None = None
    """The domain under which the operator makes the host name, in place of the one in its configuration."""
    tls: RoutingTLS | None = None
    """Encrypts connections from outside, and makes the URL an https one."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations of the Ingress, like the timeouts of its controller. A change of them is no new revision."""
    session_affinity: SessionAffinity = SessionAffinity()
    """Whether, and for how long, a client stays with one member."""


class DistributedInferenceServiceSpec(Model):
    """What is asked for: one template, how many members to make from it, and how to upgrade and reach them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.inferenceService) || has(self.inferenservice)",
                "give the InferenceServiceSpec that members are made from, with a predictor in it",
                reason="Required",
                field=".inferenceService",
            ),
            rule(
                "!(has(self.inferenceService) && has(self.inferenservice))",
                "spec.inferenceService is given too, and both mean the same: remove spec.inferenservice, the older"
                " spelling",
                reason="Forbidden",
                field=".inferenservice",
            ),
        )
    )

    inference_service: Template | None = None
    inferenservice: Template | None = Field(
        default=None, description="An older spelling of inferenceService, which means the same."
    )
    replicas: int = Field(default=1, ge=0, le=100)
    """How many members (InferenceServices) each revision has, 0 to 100. A change is no new revision. With 0 nothing
    serves."""
    annotations: MemberAnnotations = Field(default_factory=dict)
    """Annotations of the members. A change makes a new revision."""
    labels: MemberLabels = Field(default_factory=dict)
    """Labels of the members, and so of their pods. A change makes a new revision."""
    model_name: ModelName | None = None
    """What clients call the model, in /v2/models/NAME/infer and in the model_name of gRPC requests. Without it, the
    name of the DistributedInferenceService. A change makes a new revision."""
    deployment_strategy: DeploymentStrategy = DeploymentStrategy()
    """How a new revision takes the place of the old one. All times are in seconds."""
    revision_history_limit: int = Field(default=10, ge=0, le=1000)
    """How many old revisions are remembered, to go back to."""
    paused: bool = False
    """Holds a rollout where it is, and its deadline too. What exists is repaired nevertheless."""
    routing: Routing = Routing()
    """How the service is reached. What is not given comes from the operator's configuration."""

    @property
    def template(self) -> dict[str, Any]:
        """Return the InferenceServiceSpec, whichever way it was spelled. The CRD sees to it that there is one."""
        return self.inference_service or self.inferenservice or {}
