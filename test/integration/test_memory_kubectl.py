"""A session with the real kubectl, on the in-memory API server and on a real one: what it prints is the same."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disvc.api.crd import crd
from disvc.testing.binaries import binary
from disvc.testing.crds import install
from disvc.testing.memory.controlplane import MemoryControlPlane
from disvc.testing.namespaces import create_namespace, delete_namespace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.plane import Plane

SAMPLES = Path(__file__).parents[2] / "config" / "samples"
DISVC = (SAMPLES / "rolling-update-v1.yaml").read_text()
NAMESPACE = "kubectl-session"

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 100m}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  clusterIP: None
  ports: [{port: 80, name: http}]
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: red, size: "1"}
"""
EVENT = f"""
apiVersion: v1
kind: Event
metadata: {{name: web.1}}
involvedObject: {{apiVersion: apps/v1, kind: Deployment, name: web, namespace: {NAMESPACE}, uid: UID-OF-deployment/web}}
reason: Tested
message: the session goes on
type: Normal
firstTimestamp: "2026-01-02T03:04:05Z"
lastTimestamp: "2026-01-02T03:04:05Z"
count: 1
source: {{component: test}}
"""
NODE = """
apiVersion: v1
kind: Node
metadata: {name: kubectl-session}
status:
  addresses: [{type: Hostname, address: 127.0.0.1}]
  daemonEndpoints: {kubeletEndpoint: {Port: 1}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: pending, labels: {app: pod}}
spec:
  initContainers: [{name: loader, image: loader}]
  containers: [{name: server, image: server}, {name: sidecar, image: sidecar}]
"""
BOUND = POD.replace("pending", "bound").replace("spec:", "spec:\n  nodeName: kubectl-session")
SHARED = CONFIG.replace("settings", "shared")
LABELLED = CONFIG.replace("name: settings", "name: older, labels: {part: pruned}")
CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: controller}
spec:
  replicas: 0
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: server, image: nginx:1}]}
"""
NEWER = DEPLOYMENT.replace("nginx:1", "nginx:2")
MISSPELT = CONFIG.replace("data:", "dta:")
OWNED = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: owned
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: settings, uid: UID-OF-configmap/settings}]
"""


@dataclass(frozen=True)
class Step:
    """One command; in what it reads, `UID-OF-configmap/settings` is an object's UID."""

    command: str
    stdin: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def edit(*expressions: str) -> dict[str, str]:
    """Return what makes kubectl edit with sed."""
    return {"EDITOR": "sed -i " + " ".join(f"-e {shlex.quote(each)}" for each in expressions)}


STEPS = [
    Step("get all"),
    Step("get namespaces default kube-system"),
    Step("get configmap none"),
    Step("get nones"),
    # create, apply
    Step("create -f -", CONFIG),
    Step("create -f -", CONFIG),
    Step("create configmap other --from-literal=a=b"),
    Step("create secret generic secret --from-literal=a=b"),
    Step("create serviceaccount robot"),
    Step("create role reader --verb=get,list --resource=configmaps,deployments.apps/status"),
    Step("create rolebinding reads --role=reader --serviceaccount=kubectl-session:robot"),
    Step("apply -f -", DEPLOYMENT + "---" + SERVICE),
    Step("apply -f -", DEPLOYMENT + "---" + SERVICE),
    Step("diff -f -", NEWER),
    Step("apply -f -", NEWER),
    Step("apply -f - --dry-run=server", DEPLOYMENT),
    Step("create -f - --dry-run=server -o yaml", CONFIG.replace("settings", "dry")),
    Step("create deployment made --image=nginx --replicas=0 --dry-run=server -o yaml"),
    # get
    Step("get deployments"),
    Step("get deployments -o wide"),
    Step("get deployment web -o yaml"),
    Step("get deployment web -o yaml --show-managed-fields"),
    Step("get services -o wide"),
    Step("get configmaps"),
    Step("get cm,secrets,sa"),
    Step("get roles,rolebindings -o wide"),
    Step("get deployment web -o custom-columns=NAME:.metadata.name,IMAGE:.spec.template.spec.containers[*].image"),
    Step("get cm -o jsonpath={.items[*].metadata.name}"),
    Step("get cm settings -o go-template={{.data.colour}}"),
    Step("get cm -o name"),
    Step("get cm --sort-by=.metadata.name --no-headers"),
    Step("get cm --show-labels"),
    Step("get cm --field-selector=metadata.name=settings"),
    Step("get cm --field-selector=data.colour=red"),
    Step("get deployments -l app=web --show-kind"),
    Step("get deployments -l app!=web"),
    Step("get deployments -l app="),
    Step("get deployments -l 'app in (web,db),!none' -L app"),
    Step("get all -A -l app=web"),
    Step("get --raw /api/v1/namespaces/kubectl-session/configmaps/settings"),
    Step("get --raw /apis/none.example.com/v1"),
    # server-side apply
    Step("apply --server-side --field-manager=first -f -", SHARED),
    Step("apply --server-side --field-manager=second -f -", SHARED.replace("red", "blue")),
    Step(
        "apply --server-side --field-manager=second --force-conflicts -f -",
        SHARED.replace("red", "blue"),
    ),
    Step("get cm shared -o yaml --show-managed-fields"),
    Step("apply --server-side -f -", DEPLOYMENT),
    Step("apply --server-side --force-conflicts -f -", DEPLOYMENT),
    # patch, edit, label, annotate, scale, set
    Step(
        """patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"nginx:3"}]}}}}'"""
    ),
    Step("""patch deployment web --type=merge -p '{"spec":{"replicas":3}}'"""),
    Step("""patch deployment web --type=json -p '[{"op":"replace","path":"/spec/replicas","value":1}]'"""),
    Step("""patch deployment web --type=json -p '[{"op":"test","path":"/spec/replicas","value":7}]'"""),
    Step("""patch deployment web --type=merge -p '{"spec":{"replicas":-1}}'"""),
    Step("""patch deployment web --type=merge -p '{"spec":{"selector":{"matchLabels":{"app":"db"}}}}'"""),
    Step("patch deployment web -p '{}'"),
    Step('patch deployment web --subresource=status --type=merge -p \'{"status":{"replicas":2}}\''),
    Step("edit configmap settings", environment=edit("s/colour: red/colour: green/")),
    Step("edit configmap settings", environment=edit("s/nothing/something/")),
    Step("edit deployment web", environment=edit("s/replicas: 1/replicas: -2/")),
    Step("label deployment web tier=front"),
    Step("label deployment web tier=back"),
    Step("label deployment web tier=back --overwrite"),
    Step("label deployment web tier-"),
    Step("label deployment web 'tier=not valid'"),
    Step("annotate configmap settings note=here"),
    Step("annotate configmap --all note=there --overwrite"),
    Step("scale deployment web --replicas=4"),
    Step("scale deployment web --replicas=5 --current-replicas=2"),
    Step("set image deployment/web web=nginx:4"),
    Step("set resources deployment/web --limits=cpu=1"),
    Step("get deployment web -o yaml"),
    Step("autoscale deployment web --max=3"),
    Step("get hpa"),
    Step("expose deployment web --name=exposed --port=80 --cluster-ip=None"),
    Step("create ingress ing --rule=example.com/*=web:80"),
    Step("get ingress,hpa,pdb"),
    # bad input
    Step("apply -f -", MISSPELT),
    Step("apply --validate=warn -f -", MISSPELT),
    Step("apply --validate=ignore -f -", MISSPELT),
    Step("create token robot"),
    Step("create token robot --duration=20m --audience=some -o yaml"),
    Step("create token robot --duration=1m"),
    Step("create token nobody"),
    # what is no longer there goes
    Step("apply --prune -l part=pruned -f -", LABELLED),
    Step("apply --prune -l part=pruned -f -", LABELLED.replace("older", "newer")),
    Step("create -f -", CONTROLLER),
    Step("scale replicationcontroller/controller --replicas=0"),
    Step("get rc,pv -o wide"),
    Step("delete rc controller"),
    Step("create -f -", DEPLOYMENT.replace("name: web, labels", "name: Web!, labels")),
    Step(
        "create -f -", DEPLOYMENT.replace("image: nginx:1", "image: 7").replace("name: web, labels", "name: w, labels")
    ),
    Step("create -f -", "apiVersion: none.example.com/v1\nkind: None\nmetadata: {name: a}"),
    Step("create -f -", SERVICE.replace("port: 80", "port: 0").replace("name: web", "name: bad")),
    Step("create namespace Not-valid"),
    Step("create configmap x --namespace=not-there"),
    # replace, wait, describe, events
    Step("replace -f -", CONFIG.replace("red", "white")),
    Step("replace -f -", CONFIG.replace("settings", "missing")),
    Step("replace --force -f -", CONFIG.replace("settings", "other")),
    Step("wait --for=jsonpath={.data.colour}=white configmap/settings --timeout=5s"),
    Step("wait --for=condition=Available deployment/web --timeout=1s"),
    Step("create -f -", EVENT),
    Step("events"),
    Step("events --for=deployment/web"),
    Step("get events"),
    Step("get events --field-selector=involvedObject.name=web -o wide"),
    Step("describe deployment web"),
    Step("describe secret secret"),  # of one key, as kubectl shows the keys of a map in any order
    Step("describe service web"),
    Step("describe namespace kubectl-session"),
    Step("describe role reader"),
    # rights
    Step("auth can-i create pods"),
    Step("auth can-i list configmaps --as=system:serviceaccount:kubectl-session:robot"),
    Step("auth can-i delete configmaps --as=system:serviceaccount:kubectl-session:robot"),
    Step("auth can-i --list --as=system:serviceaccount:kubectl-session:robot"),
    Step("auth whoami --as=bob --as-group=devs"),
    Step("get configmaps --as=system:serviceaccount:kubectl-session:robot"),
    Step("get pods --as=bob"),
    Step("delete configmap settings --as=bob"),
    Step("get namespaces --as=bob"),
    # explain
    Step("explain deployment"),
    Step("explain deployment.spec"),
    Step("explain deployment.spec.template.spec.containers.resources"),
    Step("explain configmap --recursive"),
    Step("explain deployment.spec.none"),
    Step("explain horizontalpodautoscaler --api-version=autoscaling/v1"),
    Step("explain service.spec.type"),
    Step("explain service.spec"),
    Step("explain pod.spec.containers.ports"),
    Step("explain pod --recursive"),
    Step("explain crd.spec.versions.schema.openAPIV3Schema"),
    Step("explain quota.spec.hard"),
    # a custom resource
    Step("explain disvc"),
    Step("explain disvc.spec"),
    Step("explain disvc.spec.deploymentStrategy --recursive"),
    Step("explain disvc --recursive"),
    Step("apply -f -", DISVC),
    Step("get disvc"),
    Step("get disvc -o wide"),
    Step("get disvc,cm"),
    Step("get disvc iris-rolling -o yaml"),
    Step("apply -f -", DISVC.replace("version: v1", "version: v2")),
    Step("diff -f -", DISVC),
    Step("apply --server-side -f -", DISVC),
    Step("apply --server-side --force-conflicts -f -", DISVC),
    Step("scale disvc iris-rolling --replicas=3"),
    Step("scale disvc iris-rolling --replicas=-1"),
    Step("""patch disvc iris-rolling --type=merge -p '{"spec":{"replicas":2}}'"""),
    Step("""patch disvc iris-rolling -p '{"spec":{"replicas":2}}'"""),
    Step("""patch disvc iris-rolling --type=json -p '[{"op":"remove","path":"/spec/replicas"}]'"""),
    Step("""patch disvc iris-rolling --type=merge -p '{"spec":{"replicas":"two"}}'"""),
    Step("edit disvc iris-rolling", environment=edit("s/version: v1/version: v3/")),
    Step("label disvc iris-rolling a=b"),
    Step("describe disvc iris-rolling"),
    Step("create -f -", DISVC.replace("name: iris-rolling", "name: Iris")),
    Step("create -f -", DISVC.replace("spec:", "spc:", 1)),
    Step("create -f -", DISVC.replace("spec:", "spec:\n  replicsa: 1", 1)),
    Step("create --validate=ignore -f -", DISVC.replace("spec:", "spec:\n  replicsa: 1", 1).replace("iris-", "i-")),
    Step("get disvc --sort-by=.metadata.name"),
    Step("delete disvc --all"),
    Step("wait --for=delete disvc/iris-rolling --timeout=5s"),
    # logs, of what no kubelet runs
    Step("create -f -", NODE + "---" + POD + "---" + BOUND),
    Step("logs none"),
    Step("logs pending"),
    Step("logs pending -c none"),
    Step("logs pending -c loader -f --previous"),
    Step("logs pending --as=bob"),
    Step("logs bound"),
    Step("logs bound -c sidecar --tail=1 --since=1m --timestamps"),
    Step("logs -l app=pod -c server"),
    Step("logs --limit-bytes=-1 bound"),
    Step("get --raw /api/v1/namespaces/kubectl-session/pods/pending/log"),
    Step("get --raw /api/v1/namespaces/kubectl-session/pods/pending/log?container=loader&sinceTime=x"),
    Step("delete node kubectl-session"),
    Step("logs bound"),
    Step("delete pods --all --force"),
    # delete
    Step("delete deployment web --cascade=background --dry-run=server"),
    Step("delete deployment web --cascade=background"),
    Step("delete service,configmap,ingress,hpa --all"),
    Step("delete configmap none"),
    Step("delete configmap none --ignore-not-found"),
    Step("delete secret secret --now"),
    Step("get all"),
]

CONTROLLED = [
    Step("create deployment web --image=nginx:1 --replicas=2"),
    Step("wait --for=jsonpath={.status.updatedReplicas}=2 deployment/web --timeout=60s"),
    Step("rollout status deployment/web --timeout=1s"),
    Step("get deployments,replicasets,pods -o wide"),
    Step("get pods -l app=web -o jsonpath={.items[*].metadata.ownerReferences[*].kind}"),
    Step("rollout history deployment/web"),
    Step("set image deployment/web nginx=nginx:2"),
    Step("annotate deployment/web kubernetes.io/change-cause=newer"),
    Step("wait --for=jsonpath={.status.observedGeneration}=3 deployment/web --timeout=60s"),
    Step("wait --for=jsonpath={.status.updatedReplicas}=1 deployment/web --timeout=60s"),
    Step("rollout history deployment/web"),
    Step("rollout history deployment/web --revision=1"),
    Step("rollout undo deployment/web"),
    Step("wait --for=jsonpath={.status.updatedReplicas}=2 deployment/web --timeout=60s"),
    Step("rollout history deployment/web"),
    Step("rollout pause deployment/web"),
    Step("rollout pause deployment/web"),
    Step("rollout resume deployment/web"),
    Step("scale deployment/web --replicas=3"),
    Step("wait --for=jsonpath={.status.updatedReplicas}=3 deployment/web --timeout=60s"),
    Step("get deployment web"),
    Step("describe deployment web"),
    Step("get endpointslices"),
    Step("create service clusterip web --tcp=80 --clusterip=None"),
    Step("wait --for=create endpointslice -l kubernetes.io/service-name=web --timeout=60s"),
    Step("get endpointslices"),
    Step("create -f -", CONFIG),
    Step("create -f -", OWNED),
    Step("delete configmap settings --cascade=orphan"),
    Step("get configmap owned -o jsonpath={.metadata.ownerReferences}"),
    Step("delete deployment web --cascade=orphan"),
    Step("get replicasets -o jsonpath={.items[*].metadata.ownerReferences}"),
    Step("delete replicasets --all --cascade=foreground"),
    Step("get replicasets,pods"),
    Step("create deployment web --image=nginx:1"),
    Step("wait --for=create pod -l app=web --timeout=60s"),
    Step("delete deployment web"),
    Step("wait --for=delete pod -l app=web --timeout=60s"),
    Step("get all -l app=web"),
]
"""For planes with controllers."""

DIFFERENCES = (
    "explain service.spec.type",
    "explain service.spec",
    "explain pod.spec.containers.ports",
    "explain pod --recursive",
    "explain quota.spec.hard",
)
"""Steps whose output differs: the published schemas have neither enums nor the description of a Quantity.

docs/reference/in-memory-api-server.md says so.
"""

NORMALISED = (
    (r"\beyJ[\w.-]+", "TOKEN"),
    (r"^W\d{4} [\d:.]+ +\d+ ", "W "),  # kubectl's own log
    (r"^Warning: v1 Endpoints is deprecated.*\n", ""),  # the page says so
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| [+-]\d{4})", "TIME"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    (r"([rR]esource ?Version\W+)\d+", r"\1VERSION"),
    (r"(LIVE|MERGED)-\d+", r"\1"),
    (r"/tmp/\S*kubectl-edit-\d+\.yaml", "EDITED"),
    (r"127\.0\.0\.1:\d+", "SERVER"),
    (r"(?<=[ (])(\d+[smhd]){1,2}\b", "AGE"),
    (r"web-[0-9a-z]{5,10}(-[0-9a-z]{5})?\b", "web-X"),
    (r"(pod-template-hash\W+)[0-9a-z]{5,10}\b", r"\1X"),
    (r"(?<=\S)  +", "  "),
    (r" +$", ""),
)


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, code: int, stdout: bytes, stderr: bytes) -> Result:
        texts = [_sorted_json(stdout.decode()), stderr.decode()]
        for pattern, replacement in NORMALISED:
            texts = [re.sub(pattern, replacement, text, flags=re.MULTILINE) for text in texts]
        return cls(code, *texts)


def _sorted_json(text: str) -> str:
    """Return JSON, which servers write in an order of their own, in alphabetical order, and anything else as it is."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def named(steps: Sequence[Step]) -> dict[str, Step]:
    """Return the steps by name: the command, with a number where it comes again."""
    found: dict[str, Step] = {}
    for step in steps:
        times = sum(each.command == step.command for each in found.values())
        found[f"{step.command} ({times + 1})" if times else step.command] = step
    return found


def environment(plane: Plane) -> dict[str, str]:
    """Return what makes kubectl act as the administrator."""
    cache = plane.folder / "session-cache"
    return {**os.environ, "KUBECONFIG": str(plane.admin.kubeconfig), "KUBECACHEDIR": str(cache)}


class Person:
    """Who types the commands."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._environment = environment(plane)

    async def kubectl(self, command: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> Result:
        """Run one command in the session's namespace."""
        for kind, name in re.findall(r"UID-OF-(\w+)/(\w+)", stdin):
            uid = await self.kubectl(f"get {kind} {name} -o jsonpath={{.metadata.uid}}")
            stdin = stdin.replace(f"UID-OF-{kind}/{name}", uid.stdout)
        process = await asyncio.create_subprocess_exec(
            binary("kubectl"),
            f"--namespace={NAMESPACE}",
            *shlex.split(command),
            env=self._environment | dict(environment or {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Result.of(process.returncode, stdout, stderr)


async def session(plane: Plane, steps: Sequence[Step]) -> dict[str, Result]:
    """Run the steps, one after the other."""
    person = Person(plane)
    return {
        name: await person.kubectl(step.command, step.stdin, step.environment) for name, step in named(steps).items()
    }


def both(real: Plane, memory: Plane, steps: Sequence[Step]) -> dict[str, tuple[Result, Result]]:
    """Run a session on both planes at the same time, each in a new namespace of the same name."""

    async def run() -> tuple[dict[str, Result], dict[str, Result]]:
        return await asyncio.gather(session(real, steps), session(memory, steps))

    for plane in (real, memory):
        install(plane.admin, crd())
        plane.admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    try:
        on_real, on_memory = asyncio.run(run())
    finally:
        for plane in (real, memory):
            delete_namespace(plane.admin, NAMESPACE)
    return {name: (result, on_memory[name]) for name, result in on_real.items()}


@pytest.fixture(scope="module")
def results(control_plane: ControlPlane, memory_control_plane: MemoryControlPlane) -> dict[str, tuple[Result, Result]]:
    return both(control_plane, memory_control_plane, STEPS)


@pytest.fixture(scope="module")
def controlled_results(control_plane_with_controllers: ControlPlane) -> dict[str, tuple[Result, Result]]:
    with MemoryControlPlane(controller_manager=True) as memory:
        return both(control_plane_with_controllers, memory, CONTROLLED)


@pytest.mark.parametrize("name", [name for name in named(STEPS) if name not in DIFFERENCES])
def test_kubectl_prints_the_same(results: dict[str, tuple[Result, Result]], name: str) -> None:
    real, memory = results[name]
    assert memory == real


@pytest.mark.parametrize("name", named(CONTROLLED))
def test_kubectl_prints_the_same_where_controllers_run(
    controlled_results: dict[str, tuple[Result, Result]], name: str
) -> None:
    real, memory = controlled_results[name]
    assert memory == real


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_is_documented_as_different_is_so(results: dict[str, tuple[Result, Result]], name: str) -> None:
    real, memory = results[name]
    assert memory != real, "it is the same now: move the step to the others, and correct the page"
    assert memory.code == real.code


async def test_the_resources_are_among_those_of_a_real_server(
    control_plane: ControlPlane, memory_control_plane: MemoryControlPlane
) -> None:
    install(control_plane.admin, crd())
    install(memory_control_plane.admin, crd())
    real, memory = [
        set((await plane.kubectl("api-resources", "-o", "wide", "--no-headers")).splitlines())
        for plane in (control_plane, memory_control_plane)
    ]
    words = [{" ".join(line.split()) for line in lines} for lines in (real, memory)]
    assert words[1] - words[0] == set()
    assert len(words[1]) > 40


async def test_a_watch_shows_what_happens_as_it_happens(
    control_plane: ControlPlane, memory_control_plane: MemoryControlPlane
) -> None:
    shown = await asyncio.gather(watched(control_plane), watched(memory_control_plane))
    assert shown[1] == shown[0]
    assert [line.split()[0] for line in shown[0]] == ["EVENT", "ADDED", "MODIFIED", "DELETED"]


async def watched(plane: Plane) -> list[str]:
    """Return what `kubectl get --watch` prints while one object comes, changes and goes."""
    namespace = create_namespace(plane.admin, "watched")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plane.admin.call("POST", path, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    process = await asyncio.create_subprocess_exec(
        binary("kubectl"),
        *("get", "configmaps", "--watch", "--output-watch-events", f"--namespace={namespace}"),
        env=environment(plane),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            lines = [await process.stdout.readline(), await process.stdout.readline()]
            await asyncio.to_thread(plane.admin.call, "PUT", f"{path}/a", {"metadata": {"name": "a"}, "data": {}})
            lines.append(await process.stdout.readline())
            await asyncio.to_thread(plane.admin.call, "DELETE", f"{path}/a")
            lines.append(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
        await asyncio.to_thread(delete_namespace, plane.admin, namespace)
    return Result.of(0, b"".join(lines), b"").stdout.splitlines()
