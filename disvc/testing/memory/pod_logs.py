"""pods/log: which kubelet is asked for a pod's log, and what becomes of its answer.

As in kube-apiserver (pkg/registry/core/pod/rest): options, pod and container are checked, then the kubelet of the pod's
node is asked over HTTPS, at the address that the Node's status tells. A log goes through as it comes, without end where
it is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.transport import Answer, Stream
from disvc.testing.memory import errors
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.log_options import LogOptions
from disvc.testing.memory.negotiation import PLAIN, negotiate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]
    Fetch = Callable[[str], Awaitable[Stream]]
    """Sends a GET to a kubelet, whose certificate is not verified. Raises `KubeletError`."""

__all__ = ["KubeletError", "PodLogs", "container_of", "kubelet_of"]

_PREFERRED_ADDRESSES: Final = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
_KUBELET_PORT: Final = 10250
"""Where a Node does not tell it."""
_SUCCESS: Final = range(200, 207)
_LONGEST_ERROR: Final = 50_000
_REFUSALS: Final = {
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", "{text}"),
    404: ("NotFound", "the server could not find the requested resource"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}
"""Reasons and words for what a kubelet answers: apimachinery's `NewGenericServerResponse`."""
_UNKNOWN: Final = ("Unknown", "the server responded with the status code {code} but did not return more information")


class KubeletError(Exception):
    """A kubelet could not be asked; the message is as the API server tells it."""


class PodLogs:
    """Answers requests for logs, through what fetches them."""

    def __init__(self, store: Store, registry: Registry, fetch: Fetch) -> None:
        self._store = store
        self._registry = registry
        self._fetch = fetch

    async def get(self, call: Call) -> Answer | Stream:
        """Answer with a log, or, for a pod that is on no node, with nothing (204). Raises `Refused`."""
        negotiate(call.request.headers.get("accept", ""), PLAIN)
        options = LogOptions.read(call.request.query, call.name)
        found = self._store.of(call.resource).get(call.key())
        if found is None:
            raise errors.not_found(call.resource, call.name)
        pod = found.value
        container = container_of(pod, options.container)
        node = pod["spec"].get("nodeName")
        if not node:
            return Answer(204, {}, b"")
        url = f"{self._kubelet(call, node)}/containerLogs/{call.namespace}/{call.name}/{container}"
        query = options.query()
        return await self._read(call, f"{url}?{query}" if query else url)

    def _kubelet(self, call: Call, name: str) -> str:
        nodes = self._registry.find("", "v1", "nodes")
        node = self._store.of(nodes).get(name) if nodes else None
        if node is None:
            raise errors.not_found(call.resource, name)  # the real server calls it a pod, too
        return kubelet_of(node.value)

    async def _read(self, call: Call, url: str) -> Stream:
        try:
            answer = await self._fetch(url)
        except KubeletError as error:
            raise Refused(500, "", str(error)) from error
        if answer.status in _SUCCESS:
            return _Log(answer)
        body = b"".join([chunk async for chunk in answer.chunks()])
        raise _refused(answer.status, body[:_LONGEST_ERROR].decode(errors="replace"), call.name)


class _Log(Stream):
    """A log, whatever the kubelet calls it."""

    def __init__(self, answer: Stream) -> None:
        self.status = 200
        self.headers = {"content-type": "text/plain"}
        self._answer = answer

    def chunks(self) -> AsyncIterator[bytes]:
        return self._answer.chunks()


def container_of(pod: Value, asked: str) -> str:
    """Return the container whose log is meant; `asked` may be "" where a pod has one besides init containers.

    Raises `Refused` (400).
    """
    name, spec = pod["metadata"]["name"], pod["spec"]
    every = [
        container["name"]
        for field in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(field) or ()
    ]
    if asked:
        if asked not in every:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(spec["containers"]) > 1:
        listed = " ".join(every)
        raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(spec["containers"][0]["name"])


def kubelet_of(node: Value) -> str:
    """Return the URL of a node's kubelet. Raises `Refused` (500) where the node tells no address."""
    status: Value = node.get("status") or {}
    addresses = status.get("addresses") or []
    for kind in _PREFERRED_ADDRESSES:
        for address in addresses:
            if address["type"] == kind:
                host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
                endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
                return f"https://{host}:{endpoint.get('Port') or _KUBELET_PORT}"
    known = " ".join(f"{{{address['type']} {address['address']}}}" for address in addresses)
    raise Refused(500, "", f"no preferred addresses found; known addresses: [{known}]")


def _refused(code: int, text: str, pod: str) -> Refused:
    """Return what the API server makes of a kubelet's refusal."""
    if code == 400:
        return errors.bad_request(text)
    if code == 500:
        return errors.internal(text)
    reason, words = _REFUSALS.get(code, _UNKNOWN)
    message = f"{words.format(text=text, code=code)} ( pods/log {pod})"
    return Refused(code, reason, message, details={"name": pod, "kind": "pods/log"})
