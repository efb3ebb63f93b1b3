"""Deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from differential.kinds.kind import Kind, chance, some

if TYPE_CHECKING:
    from random import Random

    Value = dict[str, Any]

__all__ = ["DEPLOYMENT"]

_LABELS = {"app": "x"}


def _environment(random: Random) -> list[Value]:
    names = random.sample(("A", "B", "C"), random.randint(1, 3))
    return [
        {"name": name, "value": random.choice(("1", "2", ""))}
        if chance(random, 0.8)
        else {"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        for name in names
    ]


def _probe(random: Random) -> Value:
    probe: Value = random.choice(
        (
            {"httpGet": {"path": "/", "port": 80}},
            {"tcpSocket": {"port": 80}},
            {"grpc": {"port": 9}},
            {"exec": {"command": ["x"]}},
        )
    )
    return probe | some(random, periodSeconds=lambda r: r.choice((5, 10)), failureThreshold=lambda r: r.choice((1, 3)))


def _resources(random: Random) -> Value:
    quantity = random.choice(("100m", "1", "0.5", "64Mi"))
    return some(random, requests=lambda _: {"cpu": quantity}, limits=lambda r: {"cpu": r.choice(("1", "2000m", "1.5"))})


def _container(random: Random, name: str) -> Value:
    container: Value = {"name": name, "image": random.choice(("nginx", "nginx:1", "reg.example/x@sha256:abc"))}
    container |= some(
        random,
        env=_environment,
        ports=lambda r: [{"containerPort": r.choice((80, 81)), "name": f"{name}-http"}],
        args=lambda r: r.choice((["--a"], ["--a", "--b"])),
    )
    if chance(random, 0.2):
        container |= some(
            random,
            readinessProbe=_probe,
            livenessProbe=_probe,
            resources=_resources,
            imagePullPolicy=lambda r: r.choice(("Always", "IfNotPresent")),
            volumeMounts=lambda _: [{"name": "data", "mountPath": "/data"}],
            securityContext=lambda _: {"runAsNonRoot": True},
            lifecycle=lambda _: {"preStop": {"sleep": {"seconds": 5}}},
        )
    if chance(random, 0.03):
        container |= random.choice(({"name": "Bad Name"}, {"image": ""}, {"ports": [{"containerPort": 0}]}))
    return container


def _deployment(random: Random) -> Value:
    names = random.sample(("main", "side", "third"), random.randint(1, 2))
    pod: Value = {"containers": [_container(random, name) for name in names]}
    pod |= some(
        random,
        volumes=lambda r: [{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "a"}}][
            : r.randint(1, 2)
        ],
    )
    if chance(random, 0.2):
        pod |= some(
            random,
            terminationGracePeriodSeconds=lambda r: r.choice((30, 60)),
            nodeSelector=lambda _: {"zone": "z"},
            tolerations=lambda _: [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}],
            serviceAccountName=lambda _: "sa",
            initContainers=lambda r: [_container(r, "init")],
            restartPolicy=lambda r: r.choice(("Always", "Never")),
            imagePullSecrets=lambda _: [{"name": "pull"}],
        )
    template: Value = {"metadata": {"labels": dict(_LABELS)}, "spec": pod}
    if chance(random, 0.2):
        template["metadata"]["labels"]["tier"] = random.choice(("t", "u"))
    spec: Value = {"selector": {"matchLabels": dict(_LABELS)}, "template": template}
    spec |= some(
        random,
        replicas=lambda r: r.choice((0, 1, 3, -1) if chance(r, 0.1) else (0, 1, 3)),
        minReadySeconds=lambda r: r.choice((0, 5)),
        strategy=lambda r: r.choice(
            (
                {"type": "Recreate"},
                {"type": "RollingUpdate"},
                {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}},
                {"rollingUpdate": {"maxSurge": "0", "maxUnavailable": 0}},
            )
        ),
    )
    if chance(random, 0.1):
        spec |= some(
            random,
            paused=lambda _: True,
            revisionHistoryLimit=lambda r: r.choice((2, -1)),
            progressDeadlineSeconds=lambda r: r.choice((600, 1)),
        )
    if chance(random, 0.03):
        spec["selector"] = random.choice(({}, {"matchLabels": {"app": "other"}}, {"matchExpressions": []}))
    return {"spec": spec}


def _status(random: Random) -> Value:
    count = random.randint(0, 3)
    conditions = [
        {"type": name, "status": random.choice(("True", "False")), "reason": "R", "message": "m"}
        for name in random.sample(("Available", "Progressing"), random.randint(0, 2))
    ]
    status: Value = {"replicas": count, "conditions": conditions}
    return status | some(
        random,
        readyReplicas=lambda r: r.randint(0, count) if chance(r, 0.9) else -1,
        updatedReplicas=lambda r: r.randint(0, count),
        availableReplicas=lambda r: r.randint(0, count),
        observedGeneration=lambda r: r.randint(1, 3),
    )


DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments", _deployment, status=_status, has_scale=True)
