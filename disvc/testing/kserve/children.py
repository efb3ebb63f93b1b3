"""How KServe writes what an ISVC consists of: by name, with get and update, whoever owns what it finds there.

Two clean-ups take things away, and differ: what belongs to a stopped ISVC goes only where the ISVC controls it; a
Deployment or Service that looks like an ISVC's predictor and has another name goes, whoever owns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import Key, NotFound
from disvc.runtime.errors import api_error
from disvc.testing.controllers.kinds import DEPLOYMENTS, SERVICES
from disvc.testing.kserve.dry_run import dry_run
from disvc.testing.kserve.resources import AUTOSCALER_CLASS, AUTOSCALERS, INGRESSES, ISVC_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime import Manager, Object, Resource
    from disvc.testing.kserve.resources import Value

_OF_KUBERNETES: Final = "deployment.kubernetes.io/"
_OK: Final = 200
_PORT_FIELDS: Final = ("name", "port", "targetPort", "protocol", "appProtocol")


class Children:
    """Creates, updates and deletes the Deployments, Services, autoscalers and Ingresses of ISVCs."""

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client
        self._caches = {
            resource: manager.cache(resource) for resource in (DEPLOYMENTS, SERVICES, AUTOSCALERS, INGRESSES)
        }

    async def put_deployment(self, isvc: Object[Any], desired: Value) -> Value:
        """Create the Deployment or bring it in line, and return it as it was seen before that: with its status."""
        existing = self._get(DEPLOYMENTS, desired)
        if existing is None:
            await self._create(DEPLOYMENTS, isvc, desired)
            return desired
        old: Value = existing.decode()
        annotations = old["metadata"].get("annotations") or {}
        kept = {name: value for name, value in annotations.items() if name.startswith(_OF_KUBERNETES)}
        metadata = {**desired["metadata"], "annotations": {**desired["metadata"]["annotations"], **kept}}
        spec = desired["spec"]
        if annotations.get(AUTOSCALER_CLASS) != "none":
            spec = {**spec, "replicas": old["spec"]["replicas"]}
        new = {"metadata": metadata, "spec": spec}
        # Completed by the server, with its defaults, the two can be compared.
        answer = await dry_run(self._client, DEPLOYMENTS, new, exists=True)
        if answer.status != _OK:
            raise api_error(f"update {DEPLOYMENTS} {existing.key}", answer.status, answer.body)
        if DEPLOYMENTS.read(answer.body).decode()["spec"] != old["spec"]:
            await self._update(DEPLOYMENTS, isvc, new)
        return old

    async def put_service(self, isvc: Object[Any], desired: Value) -> None:
        """Create the Service, or write it anew where its ports or its selector differ; labels alone do not count."""
        await self._put(SERVICES, isvc, desired, _ports_and_selector)

    async def put_autoscaler(self, isvc: Object[Any], desired: Value) -> None:
        """Create the autoscaler, or write it anew where it differs."""
        await self._put(AUTOSCALERS, isvc, desired, lambda hpa: {k: hpa["spec"].get(k) for k in desired["spec"]})

    async def put_ingress(self, isvc: Object[Any], desired: Value) -> None:
        """Create the Ingress, or write it anew where its spec differs."""
        await self._put(INGRESSES, isvc, desired, lambda ingress: ingress["spec"])

    async def remove(self, resource: Resource[Any], isvc: Object[Any], name: str) -> bool:
        """Delete what the ISVC controls under a name; return whether something is there, whoever owns it."""
        existing = self._caches[resource].get(Key(isvc.metadata.namespace, name))
        if existing is None:
            return False
        controller = existing.metadata.controller
        if controller is not None and controller.uid == isvc.metadata.uid:
            await self._delete(existing)
        return True

    async def remove_orphans(self, isvc: Object[Any], expected: str) -> None:
        """Delete Deployments and Services that have the labels of the ISVC's predictor, and not its name."""
        for resource in (DEPLOYMENTS, SERVICES):
            for obj in self._caches[resource].labelled(ISVC_LABEL, isvc.metadata.name):
                if obj.metadata.labels.get("component") == "predictor" and obj.metadata.name != expected:
                    await self._delete(obj)

    async def _put(
        self, resource: Resource[Any], isvc: Object[Any], desired: Value, part: Callable[[Value], object]
    ) -> None:
        existing = self._get(resource, desired)
        if existing is None:
            await self._create(resource, isvc, desired)
        elif part(existing.decode()) != part(desired):
            await self._update(resource, isvc, desired)

    def _get(self, resource: Resource[Any], desired: Value) -> Object[Any] | None:
        return self._caches[resource].get(Key(desired["metadata"]["namespace"], desired["metadata"]["name"]))

    async def _create(self, resource: Resource[Any], isvc: Object[Any], desired: Value) -> None:
        await self._client.create(resource, _owned(isvc, desired))

    async def _update(self, resource: Resource[Any], isvc: Object[Any], desired: Value) -> None:
        await self._client.update(resource, _owned(isvc, desired))

    async def _delete(self, obj: Object[Any]) -> None:
        if obj.metadata.deletion_timestamp:
            return
        try:
            await self._client.delete(obj.resource, obj.metadata.name, obj.metadata.namespace)
        except NotFound:
            return


def _owned(isvc: Object[Any], desired: Value) -> Value:
    return {**desired, "metadata": {**desired["metadata"], "ownerReferences": [isvc.controller_reference()]}}


def _ports_and_selector(service: Value) -> object:
    ports = [{name: port.get(name) for name in _PORT_FIELDS} for port in service["spec"].get("ports") or ()]
    return ports, service["spec"].get("selector")
