"""An ingress controller and a kube-proxy for a laptop, on Envoy.

    LocalIngress ─ watches ─► World ─ routes, endpoints, certificates ─► Configuration ─► Discovery ─► Envoy
                              (what the API server knows)   (pure functions)              (xDS over REST)

    async with LocalIngress(transport) as ingress:
        ...     # curl -H 'Host: iris-models.example.com' http://127.0.0.1:8080/v2/models/iris/infer

One plain port and one TLS port, for HTTP/1.1 and HTTP/2 alike, lead by the Host of a request

- to the backends of Ingresses, as ingress-nginx would: past the Service, straight to its ready endpoints;
- to every Service by NAME.NAMESPACE, NAME.NAMESPACE.svc and NAME.NAMESPACE.svc.cluster.local, in place of kube-proxy
  and of the cluster's DNS.

Nothing is ever tried again: a request that an operator loses here is one that it would lose in a cluster. Why Envoy is
configured the way it is: docs/decisions/0010-the-local-ingress.md.
"""

from disvc.local.ingress.controller import LocalIngress
from disvc.local.ingress.envoy import EnvoyError
from disvc.local.ingress.ports import PortInUse

__all__ = ["EnvoyError", "LocalIngress", "PortInUse"]
