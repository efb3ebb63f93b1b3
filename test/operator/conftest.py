"""What the operator's scenario tests have in common: a namespace with a simulated KServe, and an operator under test.

A scenario says what it needs of a control plane by the fixtures that it asks for, and no more: `make scenarios` runs
each on a real kube-apiserver and on the in-memory one. The operator runs in
this process, as a user who has just the rights of config/rbac/role.yaml, in the test's namespace.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.reconcilers import add_to_manager
from disvc.reconcilers.resources import DISVCS, ENDPOINT_SLICES, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.rollout.configuration import RoutingDefaults
from disvc.runtime import Client, Environment, Manager, NotFound, Resource, connect
from disvc.testing.crds import install
from disvc.testing.history import History

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.history import Moment
    from disvc.testing.users import User

    Value = dict[str, Any]
    Operate = Callable[..., AbstractAsyncContextManager[Manager]]

CONFIG = Path(__file__).parents[2] / "config"
QUICK = {"propagationSeconds": 0, "drainSeconds": 0}


class Cluster:
    """One namespace, as a person with all rights sees it."""

    def __init__(self, plane: ControlPlane, client: Client, namespace: str) -> None:
        self.plane = plane
        self.client = client
        self.namespace = namespace

    @staticmethod
    def manifest(name: str = "m", **spec: Any) -> Value:
        """Return a DISVC of workflow 1, with other or more fields in its spec; rollouts do not wait."""
        model = {
            "modelFormat": {"name": "sklearn"},
            "name": "",
            "protocolVersion": "v2",
            "runtime": "kserve-sklearnserver",
            "storageUri": "gs://kfserving-examples/models/sklearn/1.0/model",
        }
        template = {} if "inferenceService" in spec else {"inferenservice": {"predictor": {"model": model}}}
        return {
            "apiVersion": DISVCS.api_version,
            "kind": DISVCS.kind,
            "metadata": {
                "name": name,
                "annotations": {
                    "serving.kserve.io/autoscalerClass": "none",
                    "serving.kserve.io/deploymentMode": "RawDeployment",
                },
            },
            "spec": {**template, "deploymentStrategy": QUICK, **spec},
        }

    async def create(self, value: Value, resource: Resource[Any] = DISVCS) -> Value:
        return _plain(await self.client.create(_untyped(resource), value, self.namespace))

    async def change(self, name: str, patch: Mapping[str, Any], resource: Resource[Any] = DISVCS) -> Value:
        """Merge-patch an object."""
        return _plain(await self.client.patch(_untyped(resource), name, patch, self.namespace))

    async def set_spec(self, name: str, **spec: Any) -> Value:
        """Change fields of a DISVC's spec."""
        return await self.change(name, {"spec": spec})

    async def delete(self, name: str, resource: Resource[Any] = DISVCS) -> None:
        await self.client.delete(resource, name, self.namespace)

    async def get(self, name: str, resource: Resource[Any] = DISVCS) -> Value:
        return _plain(await self.client.get(_untyped(resource), name, self.namespace))

    async def find(self, name: str, resource: Resource[Any] = DISVCS) -> Value | None:
        """Return an object, None where there is none."""
        try:
            return await self.get(name, resource)
        except NotFound:
            return None

    async def list(self, resource: Resource[Any]) -> dict[str, Value]:
        """Return the namespace's objects of a resource by name."""
        listed = await self.client.list(_untyped(resource), self.namespace)
        return {obj.metadata.name: obj.decode() for obj in listed.items}

    async def names(self, resource: Resource[Any]) -> set[str]:
        return set(await self.list(resource))

    async def status(self, name: str = "m") -> Value:
        value: Value = (await self.get(name)).get("status", {})
        return value

    async def condition(self, kind: str, name: str = "m") -> Value:
        """Return a condition of a DISVC, {} where it is absent."""
        found = (await self.status(name)).get("conditions", [])
        return next((c for c in found if c["type"] == kind), {})

    async def until(self, condition: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
        """Wait until something is so. Raises `TimeoutError`, with the DISVCs as they are then."""
        try:
            async with asyncio.timeout(seconds):
                while not await condition():  # noqa: ASYNC110 - it is the server that changes
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = {name: value.get("status") for name, value in (await self.list(DISVCS)).items()}
            raise TimeoutError(f"not so within {seconds:g} s: {yaml.safe_dump(shown)}") from None

    async def until_phase(self, phase: str, name: str = "m", seconds: float = 60.0) -> None:
        await self.until(lambda: self._is(name, phase), seconds)

    async def _is(self, name: str, phase: str) -> bool:
        return (await self.status(name)).get("phase") == phase

    async def until_condition(
        self, kind: str, status: str = "True", reason: str = "", name: str = "m", seconds: float = 60.0
    ) -> Value:
        """Wait for a condition of the present generation, and return it."""
        found: Value = {}

        async def holds() -> bool:
            nonlocal found
            found = await self.condition(kind, name)
            generation = (await self.get(name))["metadata"]["generation"]
            return (
                found.get("status") == status
                and reason in ("", found["reason"])
                and found["observedGeneration"] == generation
            )

        await self.until(holds, seconds)
        return found

    async def until_ready(self, name: str = "m", seconds: float = 60.0) -> Value:
        """Wait until the latest spec is rolled out and serves, and return the status."""
        await self.until_condition("Ready", name=name, seconds=seconds)
        return await self.status(name)

    async def until_gone(self, resource: Resource[Any], *names: str, seconds: float = 60.0) -> None:
        async def gone() -> bool:
            return not set(names) & await self.names(resource)

        await self.until(gone, seconds)

    async def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return await self.plane.kubectl("-n", self.namespace, *args, stdin=stdin)


def _untyped(resource: Resource[Any]) -> Resource[Value]:
    return Resource(resource.api_version, resource.kind, resource.plural, resource.namespaced)


def _plain(obj: Any) -> Value:
    value: Value = obj.decode()
    return value


@pytest.fixture(scope="session")
def plane(control_plane_with_controllers: ControlPlane) -> ControlPlane:
    """The shared control plane, with the operator's CRD."""
    crd = yaml.safe_load((CONFIG / "crd/bases/serving.kserve.io_distributedinferenceservices.yaml").read_text())
    install(control_plane_with_controllers.admin, crd)
    return control_plane_with_controllers


@pytest.fixture(scope="session")
def operator_user(plane: ControlPlane) -> User:
    """A user with exactly the rights that config/rbac gives the manager."""
    roles = yaml.safe_load_all((CONFIG / "rbac/role.yaml").read_text())
    events = yaml.safe_load_all((CONFIG / "rbac/events.yaml").read_text())
    rules = [rule for role in (*roles, *events) if role["kind"] == "ClusterRole" for rule in role["rules"]]
    return plane.user("operator", rules=rules)


@pytest.fixture
async def cluster(plane: ControlPlane, kserve_namespace: str) -> AsyncIterator[Cluster]:
    """The test's namespace."""
    async with connect(plane.admin.kubeconfig) as transport:
        yield Cluster(plane, Client(transport, field_manager="a-person"), kserve_namespace)


@pytest.fixture
def operate(plane: ControlPlane, operator_user: User, kserve_namespace: str) -> Operate:
    """`async with operate() as manager`: an operator for the namespace; stopped, with a grace, at the end."""

    @asynccontextmanager
    async def run(
        routing: RoutingDefaults | None = None, environment: Environment | None = None, **options: Any
    ) -> AsyncIterator[Manager]:
        async with connect(operator_user.kubeconfig) as transport:
            manager = Manager(transport, namespaces=[kserve_namespace], environment=environment, **options)
            add_to_manager(manager, routing=routing or RoutingDefaults())
            stop = asyncio.Event()
            # No task group: a fixture is begun and ended in two tasks of pytest's.
            running = asyncio.create_task(manager.run(stop=stop, handle_signals=False))
            try:
                yield manager
            finally:
                stop.set()
                await running

    return run


@pytest.fixture
async def operator(operate: Operate) -> AsyncIterator[Manager]:
    """An operator that runs."""
    async with operate() as manager:
        yield manager


@pytest.fixture
async def history(plane: ControlPlane, kserve_namespace: str) -> AsyncIterator[History]:
    """All that happens in the namespace to what a DISVC consists of."""
    resources = (_untyped(DISVCS), ISVCS, SERVICES, INGRESSES, REVISIONS, ENDPOINT_SLICES)
    async with (
        connect(plane.admin.kubeconfig) as transport,
        History(transport, kserve_namespace, *resources) as history,
    ):
        yield history


@pytest.fixture
def violations() -> Callable[[Iterable[Moment]], list[str]]:
    """`violations(await history.moments()) == []`: what holds at every moment of every scenario held at these.

    - No stable address leads to a revision without ready endpoints while another revision has them.
    - At most two revisions have members, those being deleted included.
    - No Service is gone that the Ingress leads to.
    - When the status names another active revision, every stable address leads to that.

    It knows no more of the operator than its users do.
    """
    return lambda moments: [text for moment in moments for text in _violated(moment)]


def _violated(moment: Moment) -> Iterator[str]:
    change = moment.change
    there = {resource.kind: objects for resource, objects in moment.state.items()}
    for name, disvc in there["DistributedInferenceService"].items():
        if disvc["metadata"].get("deletionTimestamp"):
            continue
        at = f"after {change.type} {change.resource.kind} {change.name} ({change.version})"
        serving, addresses = _serving(name, there), _addresses(name, there)
        for address, revision in addresses.items():
            if serving and revision not in serving:
                yield f"{at}: {address} leads to {revision}, while {sorted(serving)} have ready endpoints"
        staffed = {member.rpartition("-")[0] for member, isvc in there["InferenceService"].items() if _of(isvc, disvc)}
        if len(staffed) > 2:
            yield f"{at}: members of {sorted(staffed)}"
        backend = addresses.get("Ingress")
        if backend is not None and change.type == "DELETED" and change.name == backend not in there["Service"]:
            yield f"{at}: the Ingress leads to it"
        if change.object is disvc:
            active = disvc.get("status", {}).get("activeRevision", {}).get("name")
            if active is not None and disvc["status"]["phase"] == "Draining" and set(addresses.values()) != {active}:
                yield f"{at}: the status says {active}, and the addresses lead to {addresses}"


def _of(child: Value, disvc: Value) -> bool:
    return any(owner["uid"] == disvc["metadata"]["uid"] for owner in child["metadata"].get("ownerReferences", ()))


def _serving(name: str, there: Mapping[str, Mapping[str, Value]]) -> set[str]:
    """Return a DISVC's revisions with ready endpoints."""
    return {
        service
        for one in there["EndpointSlice"].values()
        if re.fullmatch(rf"{name}-v\d+", service := one["metadata"]["labels"]["kubernetes.io/service-name"])
        and any(endpoint["conditions"]["ready"] for endpoint in one.get("endpoints") or ())
    }


def _addresses(name: str, there: Mapping[str, Mapping[str, Value]]) -> dict[str, str]:
    """Return the revision that each stable address of a DISVC leads to."""
    found = {}
    if (service := there["Service"].get(name)) is not None:
        found["Service"] = service["spec"]["selector"]["disvc.group"]
    if (ingress := there["Ingress"].get(name)) is not None:
        found["Ingress"] = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
    return found
