"""What a user asks for: the spec of a DistributedInferenceService; `kubectl explain` shows the descriptions."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from disvc.api.model import Model


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
    """How revisions follow one another. All times are in seconds."""

    type: StrategyType = StrategyType.ROLLING_UPDATE
    promotion: Promotion = Promotion.AUTOMATIC
    min_ready_seconds: int = Field(default=0, ge=0)
    progress_deadline_seconds: int = Field(default=600, ge=1)
    propagation_seconds: int = Field(default=5, ge=0)
    drain_seconds: int = Field(default=30, ge=0)
    on_failure: OnFailure = OnFailure.ROLLBACK
    failed_revision_ttl_seconds: int = Field(default=0, ge=0)


class RoutingTLS(Model):
    """How connections from outside are encrypted."""

    secret_name: str = Field(min_length=1, max_length=253)


class SessionAffinity(Model):
    """Whether, and for how long, a client stays with one member."""

    type: AffinityType = AffinityType.CLIENT_IP
    timeout_seconds: int = Field(default=10800, ge=1, le=86400)


class Routing(Model):
    """How the service is reached. What is not given comes from the operator's configuration."""

    type: RoutingType = RoutingType.INGRESS
    class_name: str | None = None
    host: str | None = None
    domain: str | None = None
    tls: RoutingTLS | None = None
    annotations: dict[str, str] = Field(default_factory=dict)
    session_affinity: SessionAffinity = SessionAffinity()


class DistributedInferenceServiceSpec(Model):
    """Several InferenceServices made from one template, under one address."""

    inference_service: dict[str, Any] | None = None
    inferenservice: dict[str, Any] | None = None
    replicas: int = Field(default=1, ge=0, le=100)
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    model_name: str | None = None
    deployment_strategy: DeploymentStrategy = DeploymentStrategy()
    revision_history_limit: int = Field(default=10, ge=0)
    paused: bool = False
    routing: Routing = Routing()

    @property
    def template(self) -> dict[str, Any]:
        """Return the InferenceServiceSpec, whichever way it was spelled. The CRD sees to it that there is one."""
        return self.inference_service or self.inferenservice or {}
