"""A KServe and a node for one namespace, to run an operator against.

    install(plane.admin)
    async with SimulatedKServe(transport, namespace, serving=plane.serving, ca_file=plane.ca_file) as kserve:
        ...                                   # ISVCs of the namespace become ready
        kserve.behave("a-v1-0", Crash())      # this one's server crashes from now on
        await kserve.stop()                   # KServe is down; its pods go on

What it needs of a control plane: an API server that calls webhooks, and kube-controller-manager, whose controllers make
ReplicaSets, Pods and EndpointSlices, and collect garbage. Nothing here does their work.

The webhooks are answered by the event loop that it was entered in. So no code of that loop may wait for the creation
or the change of an ISVC without awaiting it: `User.call` belongs into `asyncio.to_thread` then.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from disvc.runtime import Client, Key, Manager, NotFound
from disvc.testing.kserve.behaviour import OF_KSERVE, Behaviour, Crash, Healthy
from disvc.testing.kserve.controller import KServeController
from disvc.testing.kserve.kubelet import Kubelet, Node
from disvc.testing.kserve.resources import INFERENCE_SERVICES, ISVC_LABEL
from disvc.testing.kserve.routing import Domain
from disvc.testing.kserve.runtimes import KNOWN, ServingRuntime
from disvc.testing.kserve.simulated_pods import SimulatedPods
from disvc.testing.kserve.webhook import Webhook
from disvc.testing.running import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from types import TracebackType

    from disvc.runtime import Object
    from disvc.runtime.transport import Transport
    from disvc.testing.certificates import Credentials
    from disvc.testing.kserve.runner import Runner

_GRACE_SECONDS = 5.0


class SimulatedKServe:
    """KServe v0.20 in Standard mode, with a kubelet, for one namespace; use as `async with`.

    Args:
        transport: of a user who may do everything in the namespace, and write nodes and webhook configurations.
        namespace: the one whose ISVCs and pods it serves; it exists.
        serving: the certificate of its webhooks, for 127.0.0.1: `ControlPlane.serving`.
        ca_file: the authority of that: `ControlPlane.ca_file`.
        behaviour: how each ISVC behaves that was not told otherwise by `behave`: a pure function of the ISVC.
        domain: the domain and the ingress class of KServe's configuration.
        default_mode: the deployment mode of ISVCs without the annotation; "Knative" is KServe's default, and it is
            refused here as it is where Knative is not installed.
        progress_deadline_seconds: that of KServe's Deployments.
        termination_seconds: how long a pod goes on after its deletion began.
        runner: what runs the pods in place of behaviours. Then of behaviours only those count that are KServe's own,
            and `termination_seconds` does not.
        logs_port: the port of this machine where the logs of such pods are served, as a kubelet does; None: nowhere.

    """

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        *,
        serving: Credentials,
        ca_file: Path,
        behaviour: Callable[[Object[Any]], Behaviour] = lambda isvc: Healthy(),
        domain: Domain = Domain(),  # noqa: B008 - immutable
        default_mode: str = "Knative",
        progress_deadline_seconds: int = 600,
        termination_seconds: float = 0.0,
        runner: Runner | None = None,
        logs_port: int | None = None,
    ) -> None:
        self.namespace = namespace
        self._transport = transport
        self._behaviour = behaviour
        self._told: dict[str, Behaviour] = {}
        self._told_pods: dict[str, Behaviour] = {}
        self._runtimes = dict(KNOWN)
        self._domain = domain
        self._default_mode = default_mode
        self._progress_deadline_seconds = progress_deadline_seconds
        self._termination_seconds = termination_seconds
        self._runner = runner
        self._logs_port = logs_port
        self._certificate = (serving, ca_file)
        self._controller: KServeController | None = None
        self._open = AsyncExitStack()
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            client = Client(self._transport, field_manager="kserve", user_agent="kserve")
            node = Node(client, f"node-{self.namespace}", logs_port=self._logs_port)
            await node.register()
            stack.push_async_callback(node.remove)
            self._kubelet = await stack.enter_async_context(self._node(node))
            serving, ca_file = self._certificate
            self._webhook = Webhook(
                client, self.namespace, serving=serving, ca_file=ca_file, default_mode=self._default_mode
            )
            stack.push_async_callback(self._webhook.remove)
            await self._webhook.register()
            stack.push_async_callback(self._stop_controller)
            await self._start_controller()
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def stop(self) -> None:
        """Stop KServe, and not the kubelet: statuses stay as they are, deletes hang, the webhooks are dead.

        Raises whatever its manager ended with, should it have ended before.
        """
        await self._stop_controller()
        await self._webhook.close()

    async def start(self) -> None:
        """Start KServe again after `stop`: when this returns its webhooks answer, and its controller has begun."""
        self._webhook.open()
        await self._start_controller()

    def behave(self, isvc: str, behaviour: Behaviour) -> None:
        """Make the ISVC of this name behave so from now on, with the pods that it has now; it need not exist."""
        self._tell(isvc, behaviour)

    def fail_pods(self, isvc: str, behaviour: Behaviour = Crash(), *, count: int | None = None) -> None:  # noqa: B008
        """Let the first `count` pods that an ISVC has now, or all of them, behave so; pods that come later do not."""
        for pod in self._kubelet.pods_of(isvc)[:count]:
            self._told_pods[pod.metadata.uid] = behaviour
        self._kubelet.look_again()

    def recover(self, isvc: str) -> None:
        """Undo `behave` and `fail_pods`."""
        for pod in self._kubelet.pods_of(isvc):
            self._told_pods.pop(pod.metadata.uid, None)
        self._tell(isvc, None)

    def put_runtime(self, name: str, runtime: ServingRuntime) -> None:
        """Create or edit a ServingRuntime.

        An edit rolls the pods of the ISVCs that use it, at once. That there is a new one KServe only finds out when
        it tries again, by its back-off.
        """
        known = self._runtimes.get(name)
        self._runtimes[name] = runtime
        if known is not None and known != runtime and self._controller is not None:
            self._controller.runtime_edited(name)

    def _tell(self, isvc: str, behaviour: Behaviour | None) -> None:
        before = self._told.pop(isvc, None)
        if behaviour is not None:
            self._told[isvc] = behaviour
        self._kubelet.look_again()
        # What befalls pods KServe has to see for itself.
        if self._controller is not None and (isinstance(before, OF_KSERVE) or isinstance(behaviour, OF_KSERVE)):
            self._controller.look_again(Key(self.namespace, isvc))

    def _behaviour_of(self, isvc: Object[Any]) -> Behaviour:
        return self._told.get(isvc.metadata.name) or self._behaviour(isvc)

    @asynccontextmanager
    async def _node(self, node: Node) -> AsyncIterator[Kubelet]:
        manager = self._manager("kubelet")
        isvcs = manager.cache(INFERENCE_SERVICES)

        async def choose(pod: Object[Any]) -> Behaviour | None:
            if told := self._told_pods.get(pod.metadata.uid):
                return told
            name = pod.metadata.labels.get(ISVC_LABEL)
            if name is None:
                return Healthy()
            key = Key(pod.metadata.namespace, name)
            try:
                isvc = isvcs.get(key) or await manager.client.get(INFERENCE_SERVICES, name, key.namespace)
            except NotFound:
                return self._told.get(name)
            return self._behaviour_of(isvc)

        clock, seconds = manager.environment.clock, self._termination_seconds
        runner = self._runner or SimulatedPods(clock, choose, termination_seconds=seconds)
        kubelet = Kubelet(manager, node, runner)
        manager.add(node)
        async with running(manager):
            yield kubelet

    async def _start_controller(self) -> None:
        manager = self._manager("kserve")
        controller = KServeController(
            manager,
            runtimes=self._runtimes,
            choose=self._behaviour_of,
            domain=self._domain,
            default_mode=self._default_mode,
            progress_deadline_seconds=self._progress_deadline_seconds,
        )
        await self._running.enter_async_context(running(manager))
        self._controller = controller

    async def _stop_controller(self) -> None:
        self._controller = None
        await self._running.aclose()

    def _manager(self, name: str) -> Manager:
        return Manager(self._transport, name=name, namespaces=[self.namespace], grace_seconds=_GRACE_SECONDS)
