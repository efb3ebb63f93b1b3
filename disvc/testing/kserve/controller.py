"""KServe's controller: it brings an ISVC's Deployment, Service, autoscaler, Ingress and status in line with its spec.

It looks when KServe looks: at events of the ISVC, of what the ISVC controls, and of its pods' init containers. Errors
are repeated with back-off, and told in the status and in an Event as KServe does.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import (
    AlreadyExists,
    ApiError,
    Conflict,
    Controller,
    Key,
    NotFound,
    Result,
    RuntimeFailure,
    TerminalError,
    Watch,
)
from disvc.testing.controllers.kinds import DEPLOYMENTS, PODS, SERVICES
from disvc.testing.event_recorder import Recorder
from disvc.testing.kserve import routing, storage, workload
from disvc.testing.kserve.admission import storage_uri
from disvc.testing.kserve.behaviour import Silent, UnknownRuntime, UnsupportedStorage
from disvc.testing.kserve.children import Children
from disvc.testing.kserve.conditions import INGRESS_READY, PREDICTOR_READY, READY, STOPPED, Conditions
from disvc.testing.kserve.resources import (
    AUTOSCALERS,
    DEPLOYMENT_MODE,
    FINALIZER,
    INFERENCE_SERVICES,
    INGRESSES,
    ISVC_LABEL,
    is_stopped,
)
from disvc.testing.kserve.runtimes import NoRuntime, select
from disvc.testing.kserve.status import READY_CONDITIONS, invalid_spec, propagate_deployment, propagate_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from disvc.runtime import Delta, Manager, Object, Request
    from disvc.testing.kserve.behaviour import Behaviour
    from disvc.testing.kserve.resources import Value
    from disvc.testing.kserve.runtimes import ServingRuntime
    from disvc.testing.kserve.workload import Component

_LOOK_AGAIN: Final = Result(requeue_after=1.0)
_AFTER_CONFLICT: Final = Result(requeue_after=0.02)
_STOPPED: Final = "Stopped"


class ReconcileFailed(RuntimeFailure):
    """KServe could not bring an ISVC in line; it has told so in an Event, and tries again."""


class KServeController:
    """Reconciles the ISVCs of the manager's namespaces.

    `runtimes` is looked up at each reconcile. `choose` says how an ISVC behaves. `default_mode` is KServe's default
    deployment mode.
    """

    def __init__(
        self,
        manager: Manager,
        *,
        runtimes: Mapping[str, ServingRuntime],
        choose: Callable[[Object[Any]], Behaviour],
        domain: routing.Domain,
        default_mode: str,
        progress_deadline_seconds: int,
    ) -> None:
        self._client = manager.client
        self._clock = manager.environment.clock
        self._children = Children(manager)
        self._events = Recorder(manager.client, "v1beta1Controllers")
        self._isvcs = manager.cache(INFERENCE_SERVICES)
        self._pods = manager.cache(PODS)
        self._runtimes = runtimes
        self._choose = choose
        self._domain = domain
        self._default_mode = default_mode
        self._progress_deadline_seconds = progress_deadline_seconds
        self._controller = Controller(
            "kserve",
            for_=INFERENCE_SERVICES,
            owns=[DEPLOYMENTS, SERVICES, INGRESSES],
            watches=[Watch(PODS, _isvc_of, [_init_containers_changed])],
            reconciler=self,
            needs_leader_election=False,
        )
        manager.add(self._controller)

    def look_again(self, isvc: Key) -> None:
        """Reconcile an ISVC."""
        self._controller.queue.add(isvc)

    def runtime_edited(self, name: str) -> None:
        """Reconcile the ISVCs that run by this ServingRuntime."""
        for isvc in self._isvcs:
            if (isvc.decode().get("status") or {}).get("clusterServingRuntimeName") == name:
                self._controller.queue.add(isvc.key)

    async def reconcile(self, request: Request) -> Result | None:
        """Bring one ISVC in line with its spec."""
        isvc = self._isvcs.get(request)
        if isvc is None:
            return None
        finalizers = isvc.metadata.finalizers
        try:
            if isvc.metadata.deletion_timestamp:
                if FINALIZER in finalizers:
                    await self._set_finalizers(isvc, [f for f in finalizers if f != FINALIZER])
                return None
            if FINALIZER not in finalizers:
                isvc = await self._set_finalizers(isvc, [*finalizers, FINALIZER])
            return await self._bring_in_line(isvc)
        except (Conflict, NotFound, AlreadyExists):  # what it is like now is on its way
            return _AFTER_CONFLICT

    async def _set_finalizers(self, isvc: Object[Any], finalizers: list[str]) -> Object[Any]:
        patch = {"metadata": {"finalizers": finalizers, "uid": isvc.metadata.uid}}
        return await self._client.patch(INFERENCE_SERVICES, isvc.metadata.name, patch, isvc.metadata.namespace)

    async def _bring_in_line(self, obj: Object[Any]) -> Result | None:
        isvc = obj.decode()
        status = isvc["status"] = copy.deepcopy(isvc.get("status") or {})
        status.setdefault("modelStatus", {"transitionStatus": ""})
        conditions = Conditions(status, self._clock.now())
        conditions.initialize()
        annotations = isvc["metadata"].get("annotations") or {}
        status.setdefault("deploymentMode", annotations.get(DEPLOYMENT_MODE, self._default_mode))
        if status["deploymentMode"] != "Standard":
            await self._reject_mode(obj, isvc)
        try:
            if not await self._put_components(obj, isvc, conditions):
                return _LOOK_AGAIN
        except (Conflict, NotFound, AlreadyExists):
            raise
        except (NoRuntime, storage.UnsupportedUri, routing.InvalidHost, ApiError) as error:
            await self._events.event(obj, "Warning", "InternalError", str(error))
            await self._write_status(obj, isvc)
            raise ReconcileFailed(f"fails to reconcile component: {error}") from error
        conditions.set(STOPPED, "True" if is_stopped(isvc) else "False")
        await self._put_ingress(obj, isvc, conditions)
        await self._write_status(obj, isvc)
        return None

    async def _reject_mode(self, obj: Object[Any], isvc: Value) -> None:
        message = "It is not possible to use Knative deployment mode when Knative Services are not available"
        await self._events.event(obj, "Warning", "ServerlessModeRejected", message)
        await self._write_status(obj, isvc)
        raise TerminalError(f"the deployment mode of InferenceService '{obj.key}' is Knative, which is not simulated")

    async def _put_components(self, obj: Object[Any], isvc: Value, conditions: Conditions) -> bool:
        """Bring predictor and transformer in line; False where KServe looks again before it goes on."""
        predictor = self._predictor(obj, isvc)
        deployment = await self._put_component(obj, isvc, predictor, conditions)
        await self._children.remove_orphans(obj, predictor.name)
        status = isvc["status"]
        if deployment is None:
            self._stop_predictor(status, conditions)
        else:
            pods = [pod.decode() for pod in self._pods.labelled("app", predictor.app)]
            if not propagate_model(status, ready=conditions.is_true(READY), pods=pods, deployment=deployment):
                return False
        transformer = workload.transformer(isvc)
        if transformer is not None and await self._put_component(obj, isvc, transformer, conditions) is None:
            conditions.set(READY_CONDITIONS["transformer"], "False", _STOPPED)
        return True

    def _predictor(self, obj: Object[Any], isvc: Value) -> Component:
        spec, status = isvc["spec"]["predictor"], isvc["status"]
        behaviour = self._choose(obj)
        uri = storage_uri(spec)
        if isinstance(behaviour, UnsupportedStorage):
            raise storage.UnsupportedUri(uri)
        storage.check(uri)
        if "model" not in spec:
            return workload.predictor(isvc, None)
        try:
            runtimes = {} if isinstance(behaviour, UnknownRuntime) else self._runtimes
            name, runtime = select(spec["model"], runtimes)
        except NoRuntime as error:
            invalid_spec(status, error.reason, error.message)
            raise
        status["clusterServingRuntimeName"] = name
        return workload.predictor(isvc, runtime)

    async def _put_component(
        self, obj: Object[Any], isvc: Value, component: Component, conditions: Conditions
    ) -> Value | None:
        """Bring a component in line, and return its Deployment, None where the ISVC is stopped."""
        status, kind, children = isvc["status"], component.kind, self._children
        try:
            url = self._domain.url(component.name, obj.metadata.namespace)
            if is_stopped(isvc):
                for resource in (SERVICES, DEPLOYMENTS, AUTOSCALERS):
                    await children.remove(resource, obj, component.name)
                return None
            await children.put_service(obj, component.service())
            deployment = await children.put_deployment(obj, component.deployment(self._progress_deadline_seconds))
            autoscaler = component.autoscaler()
            if autoscaler is None:
                await children.remove(AUTOSCALERS, obj, component.name)
            else:
                await children.put_autoscaler(obj, autoscaler)
        except (routing.InvalidHost, ApiError) as error:
            conditions.set(READY_CONDITIONS[kind], "False", "ReconcileFailed", str(error))
            raise
        propagate_deployment(status, conditions, kind, deployment, url)
        return deployment

    @staticmethod
    def _stop_predictor(status: Value, conditions: Conditions) -> None:
        """Clear the status, once, of all that was said of a running ISVC."""
        ready = conditions.get(PREDICTOR_READY) or {}
        if ready.get("status") == "False" and ready.get("reason") == _STOPPED:
            return
        mode = status["deploymentMode"]
        status.clear()
        status |= {"deploymentMode": mode, "modelStatus": {"transitionStatus": ""}}
        conditions.set(PREDICTOR_READY, "False", _STOPPED)

    async def _put_ingress(self, obj: Object[Any], isvc: Value, conditions: Conditions) -> None:
        status = isvc["status"]
        if is_stopped(isvc):
            if await self._children.remove(INGRESSES, obj, obj.metadata.name):
                conditions.set(INGRESS_READY, "False", _STOPPED)
            return
        if not routing.is_internal(isvc):
            for kind in ("predictor", "transformer"):
                ready = READY_CONDITIONS[kind]
                if isvc["spec"].get(kind) is not None and not conditions.is_true(ready):
                    conditions.set(INGRESS_READY, "False", f"{kind.capitalize()} ingress not created")
                    return
            await self._children.put_ingress(obj, routing.ingress(isvc, self._domain))
        status["url"] = self._domain.url(obj.metadata.name, obj.metadata.namespace)
        status["address"] = {"url": routing.cluster_address(isvc)}
        conditions.set(INGRESS_READY, "True")

    async def _write_status(self, obj: Object[Any], isvc: Value) -> None:
        """Write the status where it has changed, and tell of Ready in an Event."""
        old = obj.decode().get("status") or {}
        if _without_times(old) == _without_times(isvc["status"]) or isinstance(self._choose(obj), Silent):
            return
        await self._client.update_status(INFERENCE_SERVICES, isvc)
        was_ready, ready, name = _ready(old), _ready(isvc["status"]), obj.metadata.name
        if was_ready == "True" and ready == "False":
            failed = ", ".join(c["type"] for c in isvc["status"]["conditions"] if c["status"] == "False")
            message = f"InferenceService [{name}] is no longer Ready because of: {failed}"
            await self._events.event(obj, "Warning", "InferenceServiceNotReady", message)
        elif was_ready != "True" and ready == "True":
            await self._events.event(obj, "Normal", "InferenceServiceReady", f"InferenceService [{name}] is Ready")


def _ready(status: Value) -> str:
    return next((str(c["status"]) for c in status.get("conditions") or () if c["type"] == READY), "Unknown")


def _without_times(status: Value) -> Value:
    conditions = [{**c, "lastTransitionTime": ""} for c in status.get("conditions") or ()]
    return {**status, "conditions": conditions}


def _isvc_of(pod: Object[Any]) -> tuple[Key, ...]:
    name = pod.metadata.labels.get(ISVC_LABEL)
    return (Key(pod.metadata.namespace, name),) if name else ()


def _init_containers_changed(delta: Delta[Any]) -> bool:
    return delta.old is not None and delta.new is not None and _init_statuses(delta.old) != _init_statuses(delta.new)


def _init_statuses(pod: Object[Any]) -> object:
    return (pod.decode().get("status") or {}).get("initContainerStatuses")
