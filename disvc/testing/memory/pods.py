"""binding and eviction: what is created below a Pod, and is not kept.

An eviction does not look at PodDisruptionBudgets: nobody here counts which pods are healthy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import decoding, errors
from disvc.testing.memory.answers import value_answer
from disvc.testing.memory.options import DeleteOptions

if TYPE_CHECKING:
    from disvc.runtime.transport import Answer
    from disvc.testing.memory.deletion import Deleter
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store, Version
    from disvc.testing.memory.writing import Writer

    Value = dict[str, Any]

__all__ = ["PODS", "PodSubresources"]

PODS: Final = ("", "pods")
_DONE: Final = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodSubresources:
    """Carries out creates of Bindings and Evictions."""

    def __init__(self, store: Store, writer: Writer, deleter: Deleter) -> None:
        self._store = store
        self._writer = writer
        self._deleter = deleter

    async def create(self, call: Call) -> Answer:
        """Bind a pod to a node, or evict it. Raises `Refused`."""
        given = decoding.read_value(call)
        name = (given.get("metadata") or {}).get("name") or call.name
        if name != call.name:
            raise errors.bad_request(f"name in URL does not match name in {call.subresource.title()} object")
        pod = self._store.of(call.resource).get(call.key())
        if pod is None:
            raise errors.not_found(call.resource, call.name)
        if call.subresource == "binding":
            self._bind(call, pod, given)
        else:
            self._evict(call, pod, given)
        return value_answer(call, _DONE, 201)

    def _bind(self, call: Call, pod: Version, binding: Value) -> None:
        obj = pod.value
        name = call.name
        why = ""
        if "deletionTimestamp" in obj["metadata"]:
            why = f"pod {name} is being deleted, cannot be assigned to a host"
        elif obj["spec"].get("nodeName"):
            why = f'pod {name} is already assigned to node "{obj["spec"]["nodeName"]}"'
        elif obj["spec"].get("schedulingGates"):
            why = f"pod {name} has non-empty .spec.schedulingGates"
        if why:
            message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
            raise errors.Refused(409, "Conflict", message, details={"name": name, "kind": "pods/binding"})
        given = binding.get("metadata") or {}
        merged = {
            field: {**(obj["metadata"].get(field) or {}), **(given.get(field) or {})}
            for field in ("annotations", "labels")
        }
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        scheduled["lastTransitionTime"] = self._writer.now()
        others = [each for each in obj["status"].get("conditions") or () if each["type"] != "PodScheduled"]
        status = {**obj["status"], "conditions": [*others, scheduled]}
        spec = {**obj["spec"], "nodeName": (binding.get("target") or {}).get("name", "")}
        bound = {**obj, "metadata": {**obj["metadata"], **merged}, "spec": spec, "status": status}
        self._writer.put(call.resource, pod, bound)

    def _evict(self, call: Call, pod: Version, eviction: Value) -> None:
        options = DeleteOptions.read(eviction.get("deleteOptions") or {})
        obj = pod.value
        if not options.dry_run:
            target = {
                "type": "DisruptionTarget",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": self._writer.now(),
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            }
            conditions = [*(obj["status"].get("conditions") or ()), target]
            pod = self._writer.put(call.resource, pod, {**obj, "status": {**obj["status"], "conditions": conditions}})
        self._deleter.remove(call.resource, pod, options)
