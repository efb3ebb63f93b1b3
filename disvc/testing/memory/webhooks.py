"""Admission webhooks: who is to be asked about a write, what they are told, and what becomes of their answers.

What carries a review to its webhook is passed in. Webhooks are asked one after the other, by the name of their
configuration; mutating ones that want it once more where a later one has changed the object. `matchConditions` are not
evaluated: a webhook that has some is asked as if it had none.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import errors
from disvc.testing.memory.patch import json_patch
from disvc.testing.memory.selectors import selects
from disvc.testing.memory.store import converted
from disvc.testing.memory.subresources import scale_of, scaled
from disvc.testing.memory.webhook_reviews import WebhookError, denied, operations, response_of, review_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from disvc.runtime.environment import Environment
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store
    from disvc.testing.memory.webhook_reviews import Admitted

    Value = dict[str, Any]
    Ask = Callable[[str, bytes, float, Value], Awaitable[Any]]
    """Posts a review to a URL, trusting certificates of the given PEM, within that many seconds, and returns what came
    back, decoded. Raises `WebhookError`."""

__all__ = ["Webhooks"]

_GROUP: Final = "admissionregistration.k8s.io"
_SAFE: Final = ("None", "NoneOnDryRun")


class Webhooks:
    """Asks the webhooks that are registered in the store."""

    def __init__(self, store: Store, registry: Registry, environment: Environment, ask: Ask) -> None:
        self._store = store
        self._registry = registry
        self._environment = environment
        self._ask = ask

    async def mutate(self, admitted: Admitted) -> Value | None:
        """Return the object as the mutating webhooks make it. Raises `Refused`."""
        hooks = self._registered("mutatingwebhookconfigurations")
        to_ask: Sequence[int] = range(len(hooks))
        for is_last in (False, True):
            again: set[int] = set()
            eager: list[int] = []
            for place in to_ask:
                hook = hooks[place]
                changed = await self._mutated(hook, admitted)
                if changed != admitted.obj:
                    admitted = admitted._replace(obj=changed)
                    again.update(eager)
                if hook.get("reinvocationPolicy") == "IfNeeded":
                    eager.append(place)
            if is_last or not again:
                break
            to_ask = sorted(again)
        return admitted.obj

    async def validate(self, admitted: Admitted) -> None:
        """Ask the validating webhooks. Raises `Refused` where one of them denies."""
        for hook in self._registered("validatingwebhookconfigurations"):
            if (resource := self._asked_as(hook, admitted)) is not None:
                await self._answer(hook, admitted, resource, is_mutating=False)

    def _registered(self, plural: str) -> list[Value]:
        resource = self._registry.find(_GROUP, "v1", plural)
        if resource is None:
            return []
        configurations = self._store.of(resource).at(self._store.revision, "", "")
        return [hook for version in configurations for hook in version.value.get("webhooks") or ()]

    async def _mutated(self, hook: Value, admitted: Admitted) -> Value | None:
        resource = self._asked_as(hook, admitted)
        if resource is None:
            return admitted.obj
        patch = await self._answer(hook, admitted, resource, is_mutating=True)
        if not patch:
            return admitted.obj
        shown = self._shown(admitted, admitted.obj, resource)
        if shown is None:
            text = f'admission webhook "{hook["name"]}" attempted to modify the object, which is not supported for this'
            raise errors.internal(f"{text} operation")
        try:
            patched: Value = json_patch(shown, patch)
        except errors.Refused as refused:
            raise errors.internal(refused.message) from refused
        return self._taken(admitted, patched, resource)

    def _asked_as(self, hook: Value, admitted: Admitted) -> ResourceType | None:
        """Return as which version of its kind a webhook is asked about an object, None where it is not asked."""
        call = admitted.call
        if call.resource.group == _GROUP or not self._is_selected(hook, admitted):
            return None
        versions = [call.resource]
        if hook.get("matchPolicy") != "Exact":
            versions += [other for other in self._registry.versions_of(call.resource) if other is not call.resource]
        return next((each for each in versions if any(_matches(rule, admitted, each) for rule in hook["rules"])), None)

    def _is_selected(self, hook: Value, admitted: Admitted) -> bool:
        if not any(selects(hook.get("objectSelector") or {}, labels) for labels in admitted.labels):
            return False
        selector = hook.get("namespaceSelector") or {}
        labels = self._namespace_labels(admitted)
        return labels is None or selects(selector, labels)

    def _namespace_labels(self, admitted: Admitted) -> Mapping[str, str] | None:
        """Return the labels of the object's namespace, or of the object if it is one; None where there is none."""
        call = admitted.call
        if call.resource.storage == ("", "namespaces"):
            return admitted.labels[0]
        namespaces = self._registry.find("", "v1", "namespaces")
        if not call.resource.namespaced or namespaces is None:
            return None
        found = self._store.of(namespaces).get(call.namespace)
        return (found.value["metadata"].get("labels") or {}) if found else {}

    async def _answer(
        self, hook: Value, admitted: Admitted, resource: ResourceType, *, is_mutating: bool
    ) -> list[Value]:
        """Ask a webhook, and return the operations of its patch if it allows. Raises `Refused`."""
        name = hook["name"]
        if admitted.dry_run and hook["sideEffects"] not in _SAFE:
            raise errors.bad_request(f'admission webhook "{name}" does not support dry run')
        uid = self._environment.new_uid()
        shown = [self._shown(admitted, obj, resource) for obj in (admitted.obj, admitted.old)]
        review = review_of(admitted, resource, uid, *shown)
        try:
            url, trusted, seconds = _address(hook)
            response = response_of(await self._ask(url, trusted, seconds, review), uid, is_mutating=is_mutating)
            admitted.call.warnings += response.get("warnings") or []
            if not response.get("allowed"):
                raise denied(name, response.get("status") or {})
            return operations(response)
        except WebhookError as error:
            if hook.get("failurePolicy") == "Ignore":
                return []
            raise errors.internal(f'failed calling webhook "{name}": {error}') from error

    def _shown(self, admitted: Admitted, obj: Value | None, resource: ResourceType) -> Value | None:
        if obj is None or resource is admitted.call.resource:
            return scale_of(resource, obj) if obj and admitted.call.subresource == "scale" else obj
        return converted(obj, admitted.call.resource, resource)

    def _taken(self, admitted: Admitted, patched: Value, resource: ResourceType) -> Value:
        """Return the object that a patched one of the version that was asked about makes."""
        call = admitted.call
        if call.subresource == "scale":
            assert admitted.obj is not None
            return scaled(call.resource, admitted.obj, patched)
        obj = patched if resource is call.resource else converted(patched, resource, call.resource)
        obj = call.resource.decode(obj)[0] if call.resource.decode else obj
        call.resource.strategy.default(obj)
        return obj


def _matches(rule: Value, admitted: Admitted, resource: ResourceType) -> bool:
    return (
        _has(rule["operations"], admitted.operation)
        and _has(rule["apiGroups"], resource.group)
        and _has(rule["apiVersions"], resource.version)
        and rule.get("scope", "*") in ("*", "Namespaced" if resource.namespaced else "Cluster")
        and any(_names(text, resource.plural, admitted.call.subresource) for text in rule["resources"])
    )


def _has(values: Sequence[str], wanted: str) -> bool:
    return "*" in values or wanted in values


def _names(text: str, plural: str, subresource: str) -> bool:
    """Return whether a rule's resource, like `pods`, `pods/*` or `*/scale`, is the one of a request."""
    name, _, below = text.partition("/")
    return name in ("*", plural) and below in ("*", subresource)


def _address(hook: Value) -> tuple[str, bytes, float]:
    """Return URL, authorities (PEM) and timeout in seconds of a webhook."""
    config = hook["clientConfig"]
    seconds = hook.get("timeoutSeconds") or 10
    trusted = base64.b64decode(config.get("caBundle") or "")
    if service := config.get("service"):
        path = (service.get("path") or "").removeprefix("/")
        url = f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}/{path}"
    else:
        url = config["url"]
    return f"{url}?timeout={seconds}s", trusted, float(seconds)
