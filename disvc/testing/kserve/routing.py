"""The addresses of an ISVC and the Ingress that KServe makes for it. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from disvc.testing.kserve.resources import VISIBILITY
from disvc.testing.kserve.workload import component_name

if TYPE_CHECKING:
    from disvc.testing.kserve.resources import Value

_HOST: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_LABEL: Final = 63


class InvalidHost(Exception):
    """KServe's domain template gives a name that is no host."""


@dataclass(frozen=True)
class Domain:
    """KServe's configuration of what is reachable from outside."""

    name: str = "example.com"
    ingress_class: str = "nginx"

    def host(self, name: str, namespace: str) -> str:
        """Return the host of an ISVC or of one of its components. Raises `InvalidHost` for one too long."""
        host = f"{name}-{namespace}.{self.name}"
        too_long = [label for label in host.split(".") if len(label) > _LONGEST_LABEL]
        if too_long or not _HOST.fullmatch(host):
            wrong = too_long[0] if too_long else host
            raise InvalidHost(
                f'failed creating host name: invalid domain name "{host}": url: Invalid value: "{wrong}": '
                f"must be no more than {_LONGEST_LABEL} characters"
            )
        return host

    def url(self, name: str, namespace: str) -> str:
        """Return the URL from outside. Raises `InvalidHost` for one too long."""
        return f"http://{self.host(name, namespace)}"


def is_internal(isvc: Value) -> bool:
    """Whether the ISVC is to be reached from inside the cluster only."""
    return (isvc["metadata"].get("labels") or {}).get(VISIBILITY) == "cluster-local"


def cluster_address(isvc: Value) -> str:
    """Return the URL inside the cluster: that of the transformer's Service, where there is one."""
    entry = component_name(isvc, "transformer" if isvc["spec"].get("transformer") else "predictor")
    return f"http://{entry}.{isvc['metadata']['namespace']}.svc.cluster.local"


def ingress(isvc: Value, domain: Domain) -> Value:
    """Return the Ingress, which has the ISVC's name: one host for the ISVC and one for each component."""
    name, namespace = isvc["metadata"]["name"], isvc["metadata"]["namespace"]
    predictor = component_name(isvc, "predictor")
    rules = [(name, predictor)]
    if isvc["spec"].get("transformer"):
        transformer = component_name(isvc, "transformer")
        rules = [(name, transformer), (transformer, predictor)]
    rules.append((predictor, predictor))
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": isvc["metadata"].get("annotations") or {},
        },
        "spec": {
            "ingressClassName": domain.ingress_class,
            "rules": [_rule(domain.host(host, namespace), service) for host, service in rules],
        },
    }


def _rule(host: str, service: str) -> Value:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
