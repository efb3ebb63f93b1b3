"""Kinds made by definitions: Widgets, which have one of everything, DISVCs and ISVCs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from differential.kinds.kind import Kind, chance, some
from disvc.api.crd import crd
from disvc.testing.kserve.crd import definition

if TYPE_CHECKING:
    from random import Random

    Value = dict[str, Any]

__all__ = ["DEFINITIONS", "DISVC", "ISVC", "WIDGET"]

DEFINITIONS: tuple[Value, ...] = (
    yaml.safe_load(Path(__file__).with_name("widget.yaml").read_text()),
    crd(),
    definition(),
)


def _port(random: Random) -> Value:
    port: Value = {"port": random.choice((1, 80, 443, 0) if chance(random, 0.1) else (1, 80, 443))}
    port |= some(
        random,
        protocol=lambda r: r.choice(("TCP", "UDP")),
        name=lambda r: r.choice(("p", "q")),
        rules=lambda r: [
            {"id": name} | some(r, value=lambda r: r.randint(1, 3))
            for name in r.sample(("r", "s", "t"), r.randint(0, 2))
        ],
    )
    return port


def _ports(random: Random) -> list[Value]:
    return [_port(random) for _ in range(random.randint(0, 2))]


def _texts(random: Random) -> list[str]:
    texts = random.sample(("a", "b", "c", "d"), random.randint(0, 4))
    return [*texts, "a"] if chance(random, 0.05) else texts


def _map(random: Random) -> Value:
    return {key: random.choice(("1", "2")) for key in random.sample(("k", "l", "m", "n"), random.randint(0, 4))}


_FREE: tuple[Value, ...] = ({"known": 1, "other": {"x": [1, None, "a"]}}, {"known": "text"}, {}, {"other": 1.5})
_EMBEDDED: tuple[Value, ...] = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "unknown": 1}},
    {"kind": "Pod"},
    {},
)


def _widget(random: Random) -> Value:
    spec = some(
        random,
        replicas=lambda r: r.choice((0, 1, 5, 11, -1) if chance(r, 0.1) else (0, 1, 5)),
        mode=lambda r: r.choice(("auto", "manual", "off", "odd") if chance(r, 0.2) else ("auto", "manual")),
        size=lambda r: r.choice((1, "1", "50%", 1.5) if chance(r, 0.1) else (1, "1", "50%")),
        tags=_texts,
        whole=_texts,
        ports=_ports,
        selector=_map,
        labels=_map,
    )
    spec |= some(
        random,
        groups=lambda r: {
            key: some(r, a=lambda r: r.randint(1, 3), b=lambda _: "b") for key in ("g", "h")[: r.randint(0, 2)]
        },
        defaulted=lambda r: some(r, active=lambda r: r.choice((True, False)), deep=lambda _: {}),
        free=lambda r: r.choice(_FREE),
        note=lambda r: r.choice(("n", None)),
        noteDefault=lambda r: r.choice(("n", None)),
        low=lambda r: r.choice((1, 5)),
        high=lambda r: r.choice((9, 3) if chance(r, 0.2) else (9, 7)),
        fixed=lambda r: r.choice(("f", "f", "f", "g")),
        counter=lambda r: r.randint(1, 3),
    )
    if chance(random, 0.3):
        spec |= some(
            random,
            pattern=lambda r: r.choice(("abc", "a", "ABC", "toolongforit")),
            since=lambda r: r.choice(("2019-01-02T03:04:05Z", "yesterday")),
            address=lambda r: r.choice(("1.2.3.4", "1.2.3")),
            weight=lambda r: r.choice((0.5, 1, 2.0, 0, 0.3)),
            big=lambda r: r.choice((9007199254740993, -1, 1.0)),
            steps=_texts,
            embedded=lambda r: r.choice(_EMBEDDED),
            either=lambda r: r.choice(({"left": "l"}, {"right": "r"}, {}, {"left": "l", "right": "r"})),
        )
    if chance(random, 0.05):
        spec["unknown"] = random.choice((1, {"x": 1}, None))
    return {"spec": spec}


def _conditions(random: Random) -> list[Value]:
    names = random.sample(("Ready", "Available", "Stalled"), random.randint(0, 3))
    return [
        {"type": name, "status": random.choice(("True", "False", "Odd") if chance(random, 0.05) else ("True", "False"))}
        | some(random, reason=lambda _: "R", lastTransitionTime=lambda _: "2019-01-02T03:04:05Z")
        for name in names
    ]


def _widget_status(random: Random) -> Value:
    return some(
        random,
        replicas=lambda r: r.randint(0, 3),
        selector=lambda _: "app=x",
        observedGeneration=lambda r: r.randint(1, 5),
        conditions=_conditions,
    )


def _predictor(random: Random) -> Value:
    model: Value = {"modelFormat": {"name": "sklearn"}, "storageUri": random.choice(("gs://a/b", "s3://c/d"))}
    model |= some(random, protocolVersion=lambda _: "v2", runtime=lambda _: "kserve-sklearnserver", unknown=lambda _: 1)
    predictor: Value = {"model": model}
    return predictor | some(
        random,
        minReplicas=lambda r: r.choice((1, 2)),
        timeout=lambda r: r.choice((30, "30") if chance(r, 0.1) else (30,)),
        containers=lambda r: [{"name": "c", "image": "i", "args": ["x"]}, {"image": "i"}][: r.randint(0, 2)],
    )


def _isvc(random: Random) -> Value:
    return {"spec": {"predictor": _predictor(random)} if chance(random, 0.95) else {}}


def _isvc_status(random: Random) -> Value:
    return some(random, url=lambda r: r.choice(("http://a", "http://b")), conditions=_conditions)


def _disvc(random: Random) -> Value:
    predictor = {"predictor": _predictor(random)}
    spec: Value = {}
    if chance(random, 0.9):
        spec[random.choice(("inferenceService", "inferenservice"))] = predictor
    spec |= some(
        random,
        replicas=lambda r: r.choice((0, 1, 3, 101, -1) if chance(r, 0.1) else (0, 1, 3)),
        paused=lambda r: r.choice((True, False)),
        labels=lambda r: {"team": r.choice(("a", "b", "-bad-") if chance(r, 0.1) else ("a", "b"))},
        modelName=lambda r: r.choice(("iris", "bad/name", "") if chance(r, 0.2) else ("iris",)),
        deploymentStrategy=lambda r: some(
            r,
            type=lambda r: r.choice(("RollingUpdate", "Recreate", "Odd")),
            promotion=lambda r: r.choice(("Automatic", "Manual")),
            drainSeconds=lambda r: r.choice((0, 30, -1)),
        ),
        routing=lambda r: some(
            r,
            type=lambda r: r.choice(("Ingress", "None")),
            host=lambda r: r.choice(("iris.example.com", "Bad Host")),
            tls=lambda r: r.choice(({"secretName": "s"}, {})),
        ),
    )
    return {"spec": spec}


def _disvc_status(random: Random) -> Value:
    return some(
        random,
        phase=lambda r: r.choice(("Stable", "Progressing", "Odd")),
        replicas=lambda r: r.randint(0, 3),
        selector=lambda _: "app=x",
        ready=lambda _: "1/1",
        conditions=_conditions,
        activeRevision=lambda _: {"name": "a-v0001", "number": 1, "hash": "abcd"},
    )


WIDGET = Kind(
    "conformance.disvc.example/v1",
    "Widget",
    "widgets",
    _widget,
    status=_widget_status,
    has_scale=True,
    is_custom=True,
    field_selectors=("spec.mode=auto", "spec.mode!=auto", "spec.replicas=1"),
)
DISVC = Kind(
    "serving.kserve.io/v1alpha1",
    "DistributedInferenceService",
    "distributedinferenceservices",
    _disvc,
    status=_disvc_status,
    has_scale=True,
    is_custom=True,
)
ISVC = Kind(
    "serving.kserve.io/v1beta1",
    "InferenceService",
    "inferenceservices",
    _isvc,
    status=_isvc_status,
    is_custom=True,
)
