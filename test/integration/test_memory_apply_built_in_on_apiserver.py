"""Random applies, strategic merges and updates of built-in kinds, on the real kube-apiserver and by our functions.

Decoding, defaults and strategies are left to the real server: what `FieldManager.apply` or `strategic_merge` makes of
an object goes to it as a PUT that is a dry run, and must come out as its own answer to the patch does.
"""

from __future__ import annotations

import copy
import json
import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.memory.apply import FieldManager, keep_times
from disvc.testing.memory.apply.scale import SCALE_FIELDS, ScaleEntries
from disvc.testing.memory.builtin import definitions
from disvc.testing.memory.builtin.decoding import read
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.patch import strategic_merge

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.users import User

    Value = dict[str, Any]

UPDATERS = [f"updater-{number}" for number in range(4)]
APPLIERS = ["ann", "bob", "cyd"]
KEYS = ("containerPort", "port", "mountPath", "uid", "topologyKey", "ip", "name", "metadata")
ATOMIC = ("imagePullSecrets", "tolerations")
"""Lists of maps for which `$setElementOrder` makes the real server panic."""
SERVER_SETS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
SYSTEM = ("managedFields", "resourceVersion", "generation")


class Chance:
    """Makes configurations of built-in kinds that are mostly valid, and in which managers meet."""

    def __init__(self, seed: int, owners: list[Value]) -> None:
        self.random = random.Random(seed)
        self.owners = owners

    def some(self, parts: Value, share: float = 0.5) -> Value:
        return {name: part for name, part in parts.items() if self.random.random() < share}

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def strings(self) -> Value:
        return self.some({name: self.pick("x", "y") for name in "abc"})

    def listed(self, items: list[Any]) -> list[Any]:
        chosen = [item for item in items if self.random.random() < 0.5]
        self.random.shuffle(chosen)
        return chosen

    def metadata(self) -> Value:
        finalizers = ["e.com/a", "e.com/b", "e.com/c"]
        return self.some(
            {
                "labels": self.strings(),
                "annotations": self.strings(),
                "finalizers": self.listed(finalizers),
                "ownerReferences": self.listed(self.owners),
            },
            0.3,
        )

    def config_map(self) -> Value:
        return self.some({"data": self.strings()}, 0.9)

    def service_account(self) -> Value:
        names = [{"name": name} for name in "stu"]
        return self.some(
            {
                "secrets": self.listed(names),
                "imagePullSecrets": self.listed(names),
                "automountServiceAccountToken": self.pick(True, False),
            }
        )

    def service(self) -> Value:
        ports = [
            {"port": port, "name": f"p{port}{protocol or ''}".lower()}
            | ({"protocol": protocol} if protocol else {})
            | self.some({"targetPort": self.pick(80, "http"), "appProtocol": self.pick("h2c", "http")})
            for port in (80, 81)
            for protocol in (None, "UDP")
        ]
        spec = {
            "selector": self.strings(),
            "sessionAffinity": self.pick("None", "ClientIP"),
            "publishNotReadyAddresses": self.pick(True, False),
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": self.pick(1, 2)}},
        }
        return {"spec": self.some(spec) | {"ports": self.listed(ports) or ports[:1]}}

    def deployment(self) -> Value:
        spec = {
            "replicas": self.pick(0, 1, 2),
            "paused": self.pick(True, False),
            "minReadySeconds": self.pick(0, 3),
            "strategy": self.pick(
                {"type": "Recreate", "rollingUpdate": None},
                {"rollingUpdate": {"maxSurge": self.pick(1, "20%")}},
                {"type": "RollingUpdate"},
            ),
            "template": {"metadata": self.some({"annotations": self.strings()}), "spec": self.pod()},
        }
        return {"spec": self.some(spec, 0.6)}

    def pod(self) -> Value:
        constraints = [
            {"topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "maxSkew": self.pick(1, 2)} for key in "kl"
        ]
        spec = {
            "nodeSelector": self.strings(),
            "volumes": self.listed([{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}]),
            "tolerations": self.listed([{"key": "k", "operator": "Exists"}, {"key": "l", "operator": "Exists"}]),
            "imagePullSecrets": self.listed([{"name": "s"}, {"name": "t"}]),
            "hostAliases": self.listed([{"ip": "1.2.3.4", "hostnames": self.listed(["a", "b"]) or ["c"]}]),
            "topologySpreadConstraints": self.listed(constraints),
            "securityContext": self.some({"runAsUser": self.pick(1, 2), "supplementalGroups": self.listed([1, 2])}),
            "terminationGracePeriodSeconds": self.pick(1, 30),
        }
        containers = [self.container(name) for name in "mno"]
        return self.some(spec, 0.4) | {"containers": self.listed(containers) or containers[:1]}

    def container(self, name: str) -> Value:
        ports = [{"containerPort": port} | self.some({"protocol": "UDP", "hostIP": "1.1.1.1"}) for port in (80, 81)]
        env = [{"name": key, "value": self.pick("1", "2")} for key in "EFG"]
        parts = {
            "env": self.listed(env),
            "ports": self.listed(ports),
            "args": self.listed(["-a", "-b"]),
            "resources": {"limits": self.some({"cpu": self.pick("1", "500m"), "memory": "1Gi"})},
            "volumeMounts": self.listed([{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}]),
            "command": ["x"],
        }
        return {"name": name, "image": self.pick("i:1", "i:2")} | self.some(parts, 0.3)

    def with_directives(self, patch: Any) -> Any:
        """Return a strategic merge patch with things taken out, replaced and put in order."""
        if isinstance(patch, list):
            return [self.with_directives(item) for item in patch]
        if not isinstance(patch, dict):
            return patch
        made = {name: self.with_directives(given) for name, given in patch.items()}
        for name, given in patch.items():
            if isinstance(given, list) and given and name not in ATOMIC and self.random.random() < 0.4:
                self.direct(made, name, given)
            elif name not in KEYS and self.random.random() < 0.05:
                made[name] = self.pick(None, {"$patch": "delete"}, {"$patch": "replace", "z": "z"}, {"$patch": "odd"})
        if self.random.random() < 0.03:
            made["$retainKeys"] = self.pick(list(patch), ["type"])
        return made

    def direct(self, patch: Value, name: str, items: list[Any]) -> None:
        if not isinstance(items[0], dict):
            directive = self.pick("$deleteFromPrimitiveList", "$setElementOrder")
            patch[f"{directive}/{name}"] = self.listed(items)
            if directive == "$deleteFromPrimitiveList":
                del patch[name]  # the real server takes the two in any order
            return
        key = next((key for key in KEYS if key in items[0]), "")
        keys = [{key: item.get(key)} for item in items]
        match self.random.randrange(4):
            case 0:
                patch[name] = [*patch[name], self.random.choice(keys) | {"$patch": "delete"}]
            case 1:
                patch[name] = [{"$patch": "replace"}, *patch[name]]
            case 2:
                patch[f"$setElementOrder/{name}"] = keys
            case 3:
                self.random.shuffle(keys)
                patch[f"$setElementOrder/{name}"] = keys
                patch.pop(name)


class Kind:
    """A built-in kind: where it is served, and how its configurations are made."""

    def __init__(self, group: str, version: str, kind: str, plural: str, make: str, base: Value, ignored: str) -> None:
        self.plural, self.make, self.base = plural, make, base
        self.api_version = f"{group}/{version}" if group else version
        self.root = f"/apis/{self.api_version}" if group else f"/api/{version}"
        self.kind = kind
        self.schema = definitions.schema(group, version, kind)
        empty, _ = read(definitions.definition_name(group, version, kind), {})
        self.fields = FieldManager(
            {self.api_version: self.schema}, self.api_version, kind, ignored=[*filter(None, [ignored])], empty=empty
        )


LABELS = {"app": "x"}
DEPLOYMENT: Value = {
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "m", "image": "i:1"}]}},
    }
}
KINDS = {
    "ConfigMap": Kind("", "v1", "ConfigMap", "configmaps", "config_map", {}, ""),
    "ServiceAccount": Kind("", "v1", "ServiceAccount", "serviceaccounts", "service_account", {}, ""),
    "Service": Kind("", "v1", "Service", "services", "service", {"spec": {"ports": [{"port": 80}]}}, "status"),
    "Deployment": Kind("apps", "v1", "Deployment", "deployments", "deployment", DEPLOYMENT, "status"),
}


SCALE_ENTRIES = ScaleEntries({"apps/v1": "spec.replicas"}, "apps/v1")


class Thing:
    """An object on the real server, and what the server said of it last."""

    def __init__(self, user: User, namespace: str, name: str, kind: Kind, seed: int) -> None:
        self._user, self._kind = user, kind
        self._chance = Chance(seed, [_owner(user, each) for each in (namespace, "default")])
        self._random = self._chance.random
        self._collection = f"{kind.root}/namespaces/{namespace}/{kind.plural}"
        self._identity = {"name": name, "namespace": namespace}
        self.accepted = 0
        manager = self._random.choice(UPDATERS)
        body = self._object(kind.base)
        response = self._request("POST", f"{self._collection}?fieldManager={manager}", body)
        made = copy.deepcopy(response.json())
        for field in SERVER_SETS:
            made.get("spec", {}).pop(field, None)
        self._check_managers(response, None, made, manager)
        self.live: Value = response.json()

    def step(self) -> None:
        """Send a random write, and compare the answer."""
        kinds = [self._apply, self._apply, self._strategic, self._strategic, self._put]
        self._random.choice([*kinds, self._scale] if self._kind.kind == "Deployment" else kinds)()

    def _object(self, parts: Value) -> Value:
        metadata = self._identity | parts.get("metadata", {})
        return {"apiVersion": self._kind.api_version, "kind": self._kind.kind, **parts, "metadata": metadata}

    def _configuration(self) -> Value:
        made: Value = getattr(self._chance, self._kind.make)()
        return made | {"metadata": self._chance.metadata()}

    def _request(self, method: str, path: str, body: object, kind: str = "json") -> urllib3.BaseHTTPResponse:
        return self._user.request(method, path, body, content_type=f"application/{kind}")

    def _path(self, **query: str) -> str:
        options = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{self._collection}/{self._identity['name']}?{options}"

    def _put(self) -> None:
        manager = self._random.choice(UPDATERS)
        body = self.live | {name: part for name, part in self._configuration().items() if name in ("data", "secrets")}
        body["metadata"] = body["metadata"] | self._chance.metadata()
        response = self._request("PUT", self._path(fieldManager=manager), body)
        if response.status < 300:
            self._check_managers(response, self.live, response.json(), manager)
            self._accept(response)

    def _strategic(self) -> None:
        manager = self._random.choice(UPDATERS)
        patch = self._chance.with_directives(self._configuration())
        rehearsal = self._rehearse(lambda: strategic_merge(self.live, patch, self._kind.schema))
        response = self._request("PATCH", self._path(fieldManager=manager), patch, "strategic-merge-patch+json")
        self._compare(rehearsal, response, patch)
        if response.status < 300:
            self._check_managers(response, self.live, response.json(), manager)
            self._accept(response)

    def _apply(self) -> None:
        manager, force = self._random.choice(APPLIERS), self._random.random() < 0.6
        applied = self._object(self._configuration())
        fields, live = self._kind.fields, self.live
        rehearsal = self._rehearse(
            lambda: fields.apply(live, applied, manager, force=force, now=datetime.now(UTC)),
        )
        path = self._path(fieldManager=manager, force=str(force).lower())
        response = self._request("PATCH", path, applied, "apply-patch+yaml")
        self._compare(rehearsal, response, applied)
        if response.status < 300:

            def managed(now: datetime) -> Any:
                new = fields.apply(live, applied, manager, force=force, now=now)
                return keep_times(_with_managed_fields(response.json(), new), live)["metadata"].get("managedFields")

            said = response.json()["metadata"].get("managedFields")
            assert any(managed(_sent(response, late)) == said for late in (0, 1, 2)), (applied, live, said)
            self._accept(response)

    def _scale(self) -> None:
        """Set the replicas through the Scale, by an update or an apply."""
        replicas = self._random.randrange(3)
        path = f"{self._collection}/{self._identity['name']}/scale"
        scale = self._user.call("GET", path)
        scale["metadata"]["managedFields"] = SCALE_ENTRIES.of_scale(self.live["metadata"].get("managedFields"))
        patch = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas}}
        new = scale | {"spec": {"replicas": replicas} if replicas else {}}
        manager, force = self._random.choice(UPDATERS + APPLIERS), self._random.random() < 0.5
        if is_apply := manager in APPLIERS:
            query = f"fieldManager={manager}&force={str(force).lower()}"
            response = self._request("PATCH", f"{path}?{query}", patch, "apply-patch+yaml")
        else:
            response = self._request("PATCH", f"{path}?fieldManager={manager}", patch, "merge-patch+json")

        def managed(now: datetime) -> Any:
            if is_apply:
                scaled = SCALE_FIELDS.apply(scale, patch, manager, force=force, now=now)
            else:
                scaled = SCALE_FIELDS.update(scale, new, manager, now)
            before, after = (obj["metadata"].get("managedFields") for obj in (self.live, scaled))
            merged = self.live | {
                "metadata": self.live["metadata"] | {"managedFields": SCALE_ENTRIES.of_object(before, after)}
            }
            merged = merged | {"spec": merged["spec"] | {"replicas": replicas}}
            return keep_times(merged, self.live)["metadata"]["managedFields"]

        if response.status == 409:
            with pytest.raises(Refused) as refused:
                managed(_sent(response))
            assert _sorted(response.json()) == _sorted(refused.value.status())
            return
        assert response.status == 200, response.data
        obj = self._user.call("GET", self._path())
        said = obj["metadata"].get("managedFields", [])
        assert any(managed(_sent(response, late)) == said for late in (0, 1, 2)), (self.live, said)
        self.live = obj
        self.accepted += 1

    def _rehearse(self, patched: Callable[[], Value]) -> tuple[int, Value]:
        """Let the server make an object of what we expect, and return what it answers; or how we refuse."""
        try:
            body = copy.deepcopy(patched())
        except Refused as refused:
            return refused.code, refused.status()
        body.get("metadata", {}).pop("managedFields", None)
        answer = self._request("PUT", self._path(dryRun="All"), body)
        return answer.status, answer.json()

    def _compare(self, rehearsal: tuple[int, Value], response: urllib3.BaseHTTPResponse, patch: Value) -> None:
        code, expected = rehearsal
        answer = response.json()
        if (code == 400 and answer["code"] == 422) or (code == 422 and not expected["details"].get("kind")):
            return  # an object that cannot be decoded is told differently in a PUT and in a patch
        if min(code, answer.get("code", 0)) >= 400 and json.dumps(patch).count('"$') > 1:
            return  # which of several mistakes is told is chance on the real server
        assert _comparable(answer) == _comparable(expected), (patch, self.live)

    def _check_managers(
        self, response: urllib3.BaseHTTPResponse, live: Value | None, answer: Value, manager: str
    ) -> None:
        new = copy.deepcopy(answer)
        new["metadata"].pop("managedFields", None)

        def managed(now: datetime) -> Any:
            made = self._kind.fields.update(live, new, manager, now)
            return (keep_times(made, live) if live else made)["metadata"].get("managedFields")

        said = answer["metadata"].get("managedFields")
        assert any(managed(_sent(response, late)) == said for late in (0, 1, 2)), (said, managed(_sent(response)), live)

    def _accept(self, response: urllib3.BaseHTTPResponse) -> None:
        self.accepted += 1
        self.live = response.json()


def _owner(user: User, namespace: str) -> Value:
    """Return a reference to an owner that is there to stay, as a garbage collector may be at work."""
    uid = user.call("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
    return {"apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": uid}


def _sent(response: urllib3.BaseHTTPResponse, late: int = 0) -> datetime:
    return parsedate_to_datetime(response.headers["Date"]) - timedelta(seconds=late)


def _with_managed_fields(obj: Value, source: Value) -> Value:
    rest = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    managed = {name: source["metadata"][name] for name in ("managedFields",) if name in source["metadata"]}
    return obj | {"metadata": rest | managed}


def _comparable(answer: Value) -> Value:
    causes = answer.get("details", {}).get("causes", [])
    causes.sort(key=lambda cause: (cause["message"], cause["field"]))
    return answer | {"metadata": {name: value for name, value in answer["metadata"].items() if name not in SYSTEM}}


def _sorted(status: Value) -> Value:
    status["details"]["causes"].sort(key=lambda cause: (cause["message"], cause["field"]))
    return status


@pytest.mark.parametrize("kind", KINDS)
def test_built_in_objects_after_random_writes_are_as_the_server_has_them(
    control_plane: ControlPlane, namespace: str, kind: str
) -> None:
    things = [Thing(control_plane.admin, namespace, f"x{seed}", KINDS[kind], seed) for seed in range(12)]
    for _ in range(25):
        for thing in things:
            thing.step()
    assert sum(thing.accepted for thing in things) > 100
