"""The addresses of a DISVC, and what would make them or the names of its children too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.api.spec import RoutingType
from disvc.rollout.names import CLUSTER_LOCAL, VISIBILITY_LABEL, member_name, revision_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.configuration import RoutingDefaults

_LABEL_LIMIT: Final = 63
"""Of a label's value, and of each part of a host name (RFC 1123)."""
_HOST_LIMIT: Final = 253


def exposed(disvc: DistributedInferenceService) -> bool:
    """Whether a DISVC is to be reached from outside the cluster."""
    cluster_local = disvc.metadata.labels.get(VISIBILITY_LABEL) == CLUSTER_LOCAL
    return disvc.spec.routing.type is not RoutingType.NONE and not cluster_local


def host(disvc: DistributedInferenceService, defaults: RoutingDefaults) -> str | None:
    """Return the host of requests from outside the cluster, None where none are to come."""
    if not exposed(disvc):
        return None
    routing, metadata = disvc.spec.routing, disvc.metadata
    domain = routing.domain or defaults.domain
    return routing.host or defaults.domain_template.format(
        name=metadata.name, namespace=metadata.namespace, domain=domain
    )


def url(disvc: DistributedInferenceService, defaults: RoutingDefaults) -> str:
    """Return where clients call the service: from outside the cluster, if it is exposed."""
    outside = host(disvc, defaults)
    if outside is None:
        return _cluster_local(disvc, disvc.metadata.name)
    return f"{'https' if disvc.spec.routing.tls else defaults.url_scheme}://{outside}"


def address(disvc: DistributedInferenceService, revision: str) -> str:
    """Return where clients within the cluster call one revision."""
    return _cluster_local(disvc, revision)


def name_problem(disvc: DistributedInferenceService, defaults: RoutingDefaults, number: int) -> str | None:
    """Return which name is too long, and by how much, once revision `number` exists; None where all fit.

    These are the limits that depend on the namespace, on the operator's configuration or on the template; the CRD
    knows the others.
    """
    return next(_name_problems(disvc, defaults, number), None)


def _name_problems(disvc: DistributedInferenceService, defaults: RoutingDefaults, number: int) -> Iterator[str]:
    namespace, outside = disvc.metadata.namespace, host(disvc, defaults)
    if outside is not None:
        advice = "use a shorter name or namespace, or give spec.routing.host"
        if len(outside) > _HOST_LIMIT:
            yield f"the host {outside} has {len(outside)} characters, and the limit is {_HOST_LIMIT}: {advice}"
        longest = max(outside.split("."), key=len)
        if len(longest) > _LABEL_LIMIT:
            yield (
                f"the part {longest} of the host {outside} has {len(longest)} characters, and the limit is "
                f"{_LABEL_LIMIT}: {advice}"
            )
    member = member_name(revision_name(disvc.metadata.name, number), max(disvc.spec.replicas - 1, 0))
    for component in ("predictor", "transformer", "explainer"):
        if disvc.spec.template.get(component) is None:
            continue
        # KServe computes the host even of a member that has none, by default {{ .Name }}-{{ .Namespace }}, and gives
        # up where that is invalid (createRawURL in reconcilers/raw); the label is app, on Deployment and pods.
        for made, what in (
            (f"isvc.{member}-{component}", "label app of the pods"),
            (f"{member}-{component}-{namespace}", "host"),
        ):
            if len(made) > _LABEL_LIMIT:
                yield (
                    f"KServe would give InferenceService {member} the {what} {made}, which has {len(made)} characters, "
                    f"and the limit is {_LABEL_LIMIT}: use a shorter name or namespace"
                )


def _cluster_local(disvc: DistributedInferenceService, service: str) -> str:
    return f"http://{service}.{disvc.metadata.namespace}.svc.cluster.local"
