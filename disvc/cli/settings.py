"""The operator's configuration, as one model: each field is a flag, an environment variable and a key of a file.

`disvc.cli.command` makes the flags of it: the field `url_scheme` is `--url-scheme`, `DISVC_URL_SCHEME`, and
`url-scheme` in the file. A section is a heading of `--help`, and no part of a name: names differ across all sections.
Durations are numbers of seconds. docs/reference/configuration.md is held against this model by a test.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from disvc.rollout.configuration import RoutingDefaults
from disvc.runtime import ConfigurationError, LeaderElection
from disvc.runtime.endpoints import parse_address
from disvc.runtime.leader_election import namespace_of_this_pod
from disvc.runtime.selection import labels_match

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _flat(value: Any) -> list[Any]:
    """Return the parts of `a,b`, and of any number of such texts: a list flag may be given more than once."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return [part for item in value for part in _flat(item)]
    return [value]


def _namespace(name: str) -> str:
    if not _DNS_LABEL.fullmatch(name):
        raise ValueError("a namespace's name has at most 63 characters: a-z, 0-9 and, within it, -")
    return name


def _label_selector(selector: str) -> str:
    try:
        labels_match(selector, {})
    except ValueError as error:
        raise ValueError(f"{error}; write it as for kubectl -l: shard=blue,tier!=test,zone in (a,b),!old") from error
    return selector


def _address(address: str) -> str:
    """Return "" for "0", by which controller-runtime's users turn an endpoint off."""
    if address in {"", "0"}:
        return ""
    parse_address(address)
    return address


Namespace = Annotated[str, AfterValidator(_namespace)]
Namespaces = Annotated[tuple[Namespace, ...], BeforeValidator(_flat), Field(json_schema_extra={"metavar": "NAME,..."})]
LabelSelector = Annotated[str, AfterValidator(_label_selector), Field(json_schema_extra={"metavar": "SELECTOR"})]
Address = Annotated[str, AfterValidator(_address), Field(json_schema_extra={"metavar": "HOST:PORT"})]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra={"metavar": "SECONDS"})]
File = Annotated[str, Field(json_schema_extra={"metavar": "FILE"})]
Name = Annotated[str, Field(json_schema_extra={"metavar": "NAME"})]


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClusterSettings(Section):
    """Which cluster, and who in it."""

    kubeconfig: File = Field(
        default="",
        description="kubeconfig file; without one: KUBECONFIG, the pod's service account, or ~/.kube/config",
    )
    context: Name = Field(default="", description="context of the kubeconfig; without one: its current context")


class WorkSettings(Section):
    """Which objects, and how many at a time."""

    watch_namespaces: Namespaces = Field(
        default=(), description="work in these namespaces only; may be given more than once; none: in all"
    )
    watch_label_selector: LabelSelector = Field(
        default="",
        description="work on the DistributedInferenceServices with these labels only, written as for kubectl -l",
    )
    max_concurrent_reconciles: int = Field(
        default=8, ge=1, description="how many objects each controller reconciles at a time"
    )
    resync_seconds: Seconds = Field(
        default=36_000.0, description="after how long each object is reconciled though nothing happened; 0: never"
    )
    grace_seconds: Seconds = Field(
        default=30.0, description="how long stopping may take; not more than terminationGracePeriodSeconds"
    )


class LeaderElectionSettings(Section):
    """Which of several replicas works."""

    leader_elect: bool = Field(
        default=False, description="work only while this process holds the lease; needed with more than one replica"
    )
    leader_election_id: Name = Field(
        default="disvc-manager", min_length=1, description="name of the Lease; each shard has one of its own"
    )
    leader_election_namespace: Name = Field(default="", description="namespace of the Lease; without one: the pod's")
    leader_election_lease_duration: Seconds = Field(
        default=15.0, description="how long others wait for a holder that is not heard"
    )
    leader_election_renew_deadline: Seconds = Field(
        default=10.0, description="how long the holder works without a successful renewal"
    )
    leader_election_retry_period: Seconds = Field(default=2.0, description="time between attempts")

    @model_validator(mode="after")
    def _durations_fit(self) -> LeaderElectionSettings:
        self.election()
        return self

    def election(self) -> LeaderElection | None:
        """Return what the manager wants to know, None where any replica may work.

        Raises `ConfigurationError` where the durations do not fit each other, or no namespace is known.
        """
        if not self.leader_elect:
            return None
        try:
            namespace = self.leader_election_namespace or namespace_of_this_pod()
        except ConfigurationError as error:
            raise ConfigurationError(
                "the Lease needs a namespace, and this process does not run in a pod: pass --leader-election-namespace"
            ) from error
        return LeaderElection(
            name=self.leader_election_id,
            namespace=namespace,
            lease_duration=self.leader_election_lease_duration,
            renew_deadline=self.leader_election_renew_deadline,
            retry_period=self.leader_election_retry_period,
        )


class EndpointSettings(Section):
    """Where the process can be asked how it is."""

    metrics_bind_address: Address = Field(default=":8080", description="where /metrics is served; 0: nowhere")
    health_probe_bind_address: Address = Field(
        default=":8081", description="where /healthz and /readyz are served; 0: nowhere"
    )


class LogSettings(Section):
    """What the process says."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least severe lines that are written"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else json"
    )


class Settings(BaseModel):
    """The operator's whole configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: ClusterSettings = Field(default=ClusterSettings(), title="Cluster")
    work: WorkSettings = Field(default=WorkSettings(), title="Work")
    routing: RoutingDefaults = Field(default=RoutingDefaults(), title="Addresses of services")
    leader_election: LeaderElectionSettings = Field(default=LeaderElectionSettings(), title="Leader election")
    endpoints: EndpointSettings = Field(default=EndpointSettings(), title="Endpoints")
    log: LogSettings = Field(default=LogSettings(), title="Log")
