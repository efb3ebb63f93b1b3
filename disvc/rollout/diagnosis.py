"""Why a member is not ready, or what threatens one that is: the most telling of what is known.

First what waiting will not mend; among those, and among the rest, in this order:

1. it is being deleted, or stopped: nothing else counts then;
2. KServe refuses the spec (InvalidSpec): it looks at nothing else either;
3. trouble of its pods;
4. KServe has seen the model fail to load;
5. a Warning event: an unsupported storageUri shows nowhere else;
6. what the pods are busy with;
7. its conditions;
8. KServe's silence.

Of a member that is ready only its pods' trouble is told: Ready stays True while a rolling update within KServe fails.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from disvc.rollout import kserve, pods
from disvc.rollout.observation import Problem
from disvc.rollout.reading import instant, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    Value = Mapping[str, Any]

SILENCE: Final = timedelta(seconds=30)
"""After so long without a word KServe's controller is taken for being down. It answers within a second."""

_UNKNOWN_RUNTIME: Final = ("RuntimeNotRecognized", "RuntimeDisabled", "NoSupportingRuntime")
_FAILED: Final = ("ReconcileFailed", "FailedCreate")
"""Reasons of conditions for what KServe or the Deployment could not do."""
_LATE: Final = "ProgressDeadlineExceeded"
"""Tells that it will not get better, but not what it is."""
_IN_ORDER: Final = (*kserve.COMPONENTS.values(), "IngressReady", kserve.READY)
"""From cause to consequence."""
_NO_NEWS: Final = ("InferenceServiceNotReady", "VirtualServiceCRDNotFound", "UpdateFailed")
"""Events that repeat the conditions, that every member gets on a cluster without Istio, and of conflicts."""
_CONFLICT: Final = "the object has been modified"
"""KServe tells of its own conflicting writes, which it repeats at once."""
_CAMEL_CASE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def diagnose(
    isvc: Value, candidates: Iterable[Value], events: Iterable[Value], *, ready: bool, now: datetime
) -> Problem | None:
    """Return what is wrong with a member; `candidates`: pods among which its own are found by label."""
    metadata = isvc["metadata"]
    own = pods.of_member(candidates, metadata["namespace"], metadata["name"])
    if metadata.get("deletionTimestamp"):
        return _deleting(isvc)
    if ready:
        return pods.trouble(own)
    if kserve.is_true(kserve.conditions(isvc), kserve.STOPPED):
        return _problem(isvc, "Stopped", "is stopped by the annotation serving.kserve.io/stop", failing=True)
    found = list(_found(isvc, own, events, now))
    told = min(found, key=lambda problem: not problem.failing)
    late = any(condition.get("reason") == _LATE for condition in kserve.conditions(isvc).values())
    return replace(told, failing=told.failing or late)


def _found(isvc: Value, own: Sequence[Value], events: Iterable[Value], now: datetime) -> Iterator[Problem]:
    model = kserve.model_status(isvc)
    if model.get("transitionStatus") == kserve.INVALID:
        yield _invalid(isvc, model)
    trouble, is_blocked = pods.trouble(own), model.get("transitionStatus") == kserve.BLOCKED
    if trouble is not None:
        yield replace(trouble, failing=trouble.failing or is_blocked)  # they tell the same, and the pod tells more
    elif is_blocked:
        yield _blocked(isvc, model)
    if (event := _event(isvc, events)) is not None:
        yield event
    if (progress := pods.starting(own)) is not None:
        yield progress
    yield from _conditions(isvc)
    if (silence := _silence(isvc, own, now)) is not None:
        yield silence
    yield _problem(isvc, "NotReady", "KServe has not said that it is ready")


def _deleting(isvc: Value) -> Problem:
    metadata = isvc["metadata"]
    finalizers = ", ".join(metadata.get("finalizers") or ())
    return Problem(
        "Terminating",
        one_line(f"is being deleted, and waits for its finalizers: {finalizers}" if finalizers else "is being deleted"),
        look_at=kserve.LOOK_AT_CONTROLLER if finalizers else _describe(isvc),
        since=instant(metadata["deletionTimestamp"]),
        failing=False,
    )


def _invalid(isvc: Value, model: Value) -> Problem:
    failure = model.get("lastFailureInfo") or {}
    reason = _named(failure.get("reason"), kserve.INVALID)
    unknown = reason in _UNKNOWN_RUNTIME
    runtime = (isvc["spec"].get("predictor", {}).get("model") or {}).get("runtime")
    subject = f"runtime {runtime}: " if unknown and runtime else ""
    command = f"{_kubectl(isvc)} get servingruntimes,clusterservingruntimes" if unknown else _describe(isvc)
    text = f"{subject}{reason}: {failure.get('message', 'KServe refuses the spec')}"
    return Problem(reason, one_line(text), look_at=command, since=_failed_since(isvc, failure))


def _blocked(isvc: Value, model: Value) -> Problem:
    failure = model.get("lastFailureInfo") or {}
    reason = _named(failure.get("reason"), kserve.BLOCKED)
    facts = [f"exit code {failure['exitCode']}"] if failure.get("exitCode") else []
    facts += [f"in {failure['location']}"] if failure.get("location") else []
    told = reason + (f" ({', '.join(facts)})" if facts else "")
    text = f"{told}: {failure['message']}" if failure.get("message") else told
    return Problem(reason, one_line(text), look_at=_describe(isvc), since=_failed_since(isvc, failure))


def _failed_since(isvc: Value, failure: Value) -> datetime | None:
    return instant(failure.get("time")) or _transition(kserve.conditions(isvc).get(kserve.READY, {}))


def _event(isvc: Value, events: Iterable[Value]) -> Problem | None:
    """Tell the newest Warning, where KServe has said nothing since: what it says later is about a later try.

    An event says that waiting will not do only where KServe has come to no reason at all.
    """
    said = kserve.conditions(isvc).values()
    silent = not any(condition.get("reason") for condition in said)
    last_said = max((time.timestamp() for condition in said if (time := _transition(condition))), default=0.0)
    newest = max((event for event in events if _is_news(event, isvc)), key=_order, default=None)
    if newest is None or (_order(newest)[0] <= last_said and not silent):
        return None
    return Problem(
        _named(newest.get("reason"), "Warning"),
        one_line(f"{newest.get('reason', 'Warning')}: {newest.get('message', '')}"),
        look_at=_describe(isvc),
        since=instant(newest.get("firstTimestamp")) or instant(newest.get("eventTime")),
        failing=silent,
    )


def _is_news(event: Value, isvc: Value) -> bool:
    return (
        event.get("type") == "Warning"
        and event.get("involvedObject", {}).get("uid") == isvc["metadata"]["uid"]
        and event.get("reason") not in _NO_NEWS
        and _CONFLICT not in event.get("message", "")
    )


def _order(event: Value) -> tuple[float, str]:
    """Return when an event last happened, by client-go's older recorder or the newer one, and its name."""
    observed = (event.get("series") or {}).get("lastObservedTime")
    times = (event.get("lastTimestamp"), observed, event.get("eventTime"))
    last = next((time.timestamp() for written in times if (time := instant(written))), 0.0)
    return (last, event["metadata"]["name"])


def _silence(isvc: Value, own: Sequence[Value], now: datetime) -> Problem | None:
    said = kserve.conditions(isvc)
    if said:
        since, told = pods.ready_since(own), "all its pods are ready, and KServe has not said so"
    else:
        since, told = instant(isvc["metadata"].get("creationTimestamp")), "KServe has written no status"
    if since is None or any(time >= since for condition in said.values() if (time := _transition(condition))):
        return None
    if now - since < SILENCE:
        return None if said else _problem(isvc, "Pending", f"{told} yet", since=since)
    text = f"{told}; is its controller running"
    return Problem("KServeSilent", text, look_at=kserve.LOOK_AT_CONTROLLER, since=since)


def _conditions(isvc: Value) -> Iterator[Problem]:
    found = kserve.conditions(isvc)
    for kind in _IN_ORDER:
        condition = found.get(kind)
        if condition is None or condition.get("status") == "True":
            continue
        said = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
        yield _problem(
            isvc,
            _named(condition.get("reason"), kind.removesuffix("Ready") + "NotReady"),
            f"{kind} is {condition.get('status')}: {said}" if said else f"{kind} is {condition.get('status')}",
            since=_transition(condition),
            failing=condition.get("reason") in _FAILED and _CONFLICT not in condition.get("message", ""),
        )


def _problem(
    isvc: Value, reason: str, message: str, *, since: datetime | None = None, failing: bool = False
) -> Problem:
    return Problem(reason, one_line(message), look_at=_describe(isvc), since=since, failing=failing)


def _named(reason: str | None, otherwise: str) -> str:
    """Return a reason that may stand in a condition: KServe has some that are sentences."""
    return reason if reason and _CAMEL_CASE.fullmatch(reason) else otherwise


def _transition(condition: Value) -> datetime | None:
    return instant(condition.get("lastTransitionTime"))


def _kubectl(isvc: Value) -> str:
    return f"kubectl -n {isvc['metadata']['namespace']}"


def _describe(isvc: Value) -> str:
    return f"{_kubectl(isvc)} describe isvc {isvc['metadata']['name']}"
