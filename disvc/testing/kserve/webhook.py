"""KServe's webhooks as a real HTTPS server on loopback, registered for one namespace.

While it is closed the registrations stay, and the API server refuses what they are about (failurePolicy Fail): creates
and edits of ISVCs, and creates of their pods. It keeps its port for its whole life.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from disvc.runtime import NotFound, Resource
from disvc.testing.controllers.kinds import PODS
from disvc.testing.kserve import admission
from disvc.testing.kserve.dry_run import dry_run
from disvc.testing.kserve.resources import FORMAT_ANNOTATION, INFERENCE_SERVICES, ISVC_LABEL
from disvc.testing.listener import LOOPBACK, Listener

if TYPE_CHECKING:
    from pathlib import Path

    from disvc.runtime import Client
    from disvc.testing.certificates import Credentials
    from disvc.testing.kserve.resources import Value

_GROUP: Final = "admissionregistration.k8s.io/v1"
MUTATING: Final = Resource(_GROUP, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False)
VALIDATING: Final = Resource(
    _GROUP, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False
)

DEFAULTER: Final = "inferenceservice.kserve-webhook-server.defaulter"
VALIDATOR: Final = "inferenceservice.kserve-webhook-server.validator"
POD_MUTATOR: Final = "inferenceservice.kserve-webhook-server.pod-mutator"

_POLL_SECONDS: Final = 0.02
_TIMEOUT_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 1.0
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403


class Webhook:
    """Answers the admission reviews of one namespace.

    Args:
        client: of a user who may write webhook configurations.
        namespace: whose ISVCs and pods they are about.
        serving: the server's certificate, for 127.0.0.1.
        ca_file: the authority of that certificate, which the API server is told to trust.
        default_mode: KServe's default deployment mode.

    """

    def __init__(
        self, client: Client, namespace: str, *, serving: Credentials, ca_file: Path, default_mode: str
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._default_mode = default_mode
        self._ca_bundle = base64.b64encode(ca_file.read_bytes()).decode()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(serving.cert_file, serving.key_file)
        self._server = web.Server(self._answer)
        gate = asyncio.Event()
        gate.set()
        self._listener = Listener(self._server, gate=gate, port=0, tls=tls)
        self._name = f"inferenceservice.serving.kserve.io.{namespace}"

    async def register(self) -> None:
        """Open the server, tell the API server of it, and wait until that asks it."""
        self.open()
        defaulter = self._webhook(DEFAULTER, "/mutate-inferenceservices", INFERENCE_SERVICES, "CREATE", "UPDATE")
        validator = self._webhook(VALIDATOR, "/validate-inferenceservices", INFERENCE_SERVICES, "CREATE", "UPDATE")
        selector = {"matchExpressions": [{"key": ISVC_LABEL, "operator": "Exists"}]}
        pod_mutator = {**self._webhook(POD_MUTATOR, "/mutate-pods", PODS, "CREATE"), "objectSelector": selector}
        await self._client.create(MUTATING, self._configuration(defaulter, pod_mutator))
        await self._client.create(VALIDATING, self._configuration(validator))
        await self._until_asked({DEFAULTER, VALIDATOR})

    async def remove(self) -> None:
        """Take the registrations back, wait until the API server knows, and close the server for good."""
        try:
            for resource in (MUTATING, VALIDATING):
                try:
                    await self._client.delete(resource, self._name)
                except NotFound:
                    continue
            await self._until_asked(set())
        finally:
            await self._listener.close()
            await self._cut()

    def open(self) -> None:
        """Answer; nothing happens where it does so already."""
        self._listener.open()

    async def close(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        await self._listener.refuse()
        await self._cut()

    async def _cut(self) -> None:
        self._server.pre_shutdown()  # those that nothing is asked on end at once
        await self._server.shutdown(_CLOSE_SECONDS)

    async def _until_asked(self, webhooks: set[str]) -> None:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while await self._asked() != webhooks:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(_POLL_SECONDS)

    async def _asked(self) -> set[str]:
        """Return which webhooks the API server asks about ISVCs now, whether they answer or not."""
        accepted = await self._dry_run("a-name-that-kserve-accepts")
        refused = await self._dry_run("0-name-that-kserve-refuses")
        asked = {name for name in (DEFAULTER, VALIDATOR) if name in (accepted + refused).decode()}
        if FORMAT_ANNOTATION in (msgspec.json.decode(accepted)["metadata"].get("annotations") or {}):
            asked.add(DEFAULTER)
        return asked

    async def _dry_run(self, name: str) -> bytes:
        """Return what the API server answers to the creation of an ISVC that does not take place."""
        predictor = {"model": {"modelFormat": {"name": "sklearn"}}}
        probe = {"metadata": {"name": name, "namespace": self._namespace}, "spec": {"predictor": predictor}}
        return (await dry_run(self._client, INFERENCE_SERVICES, probe, exists=False)).body

    def _configuration(self, *webhooks: Value) -> Value:
        return {"metadata": {"name": self._name}, "webhooks": list(webhooks)}

    def _webhook(self, name: str, path: str, resource: Resource[Any], *operations: str) -> Value:
        rule = {
            "apiGroups": [resource.group],
            "apiVersions": [resource.api_version.rpartition("/")[2]],
            "resources": [resource.plural],
            "operations": operations,
        }
        url = f"https://{LOOPBACK}:{self._listener.port}{path}"
        return {
            "name": name,
            "clientConfig": {"url": url, "caBundle": self._ca_bundle},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        review = msgspec.json.decode(await request.read())
        asked = review["request"]
        response = {"uid": asked["uid"], **self._decide(request.path, asked)}
        answer = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _decide(self, path: str, asked: Value) -> Value:
        obj = asked["object"]
        try:
            match path:
                case "/mutate-inferenceservices":
                    return _patched(obj, admission.defaulted(obj, self._default_mode))
                case "/mutate-pods":
                    return _patched(obj, admission.injected(obj))
                case _:
                    admission.validate(obj, asked.get("oldObject"))
        except admission.Refused as refused:
            return _denied(_FORBIDDEN, "Forbidden", str(refused))
        except (TypeError, ValueError) as error:
            return _denied(_BAD_REQUEST, "BadRequest", str(error))
        return {"allowed": True}


def _denied(code: int, reason: str, message: str) -> Value:
    return {"allowed": False, "status": {"code": code, "reason": reason, "message": message}}


def _patched(old: Value, new: Value) -> Value:
    """Return an answer that turns `old` into `new`, where only spec and annotations may differ."""
    patch = []
    if new["spec"] != old["spec"]:
        patch.append({"op": "replace", "path": "/spec", "value": new["spec"]})
    annotations = new["metadata"].get("annotations")
    if annotations != old["metadata"].get("annotations"):
        patch.append({"op": "add", "path": "/metadata/annotations", "value": annotations})
    if not patch:
        return {"allowed": True}
    encoded = base64.b64encode(msgspec.json.encode(patch)).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}
