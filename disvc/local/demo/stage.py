"""What the story is made of: acts on the cluster, each told, and waiting for what comes of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import yaml

from disvc.local.demo.news import UNTYPED_DISVCS
from disvc.local.ingress.controller import SECRETS
from disvc.testing.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from disvc.local.cluster import LocalCluster
    from disvc.local.demo.narrator import Narrator
    from disvc.local.demo.news import News
    from disvc.local.ingress.configuration import Ports

    Value = dict[str, Any]

QUICK: Final = {"propagationSeconds": 1, "drainSeconds": 2, "progressDeadlineSeconds": 120}
"""The deploymentStrategy of the demo's DISVCs."""
_PATIENCE_SECONDS: Final = 120.0


class Stage:
    """A cluster, and who tells what happens on it. What waits raises `TimeoutError` when it does not come about."""

    def __init__(self, cluster: LocalCluster, news: News, narrator: Narrator, samples: Path) -> None:
        self._cluster = cluster
        self._news = news
        self._narrator = narrator
        self._samples = samples
        self.operator = cluster.operator

    @property
    def ports(self) -> Ports:
        """Where clients connect to."""
        return self._cluster.ingress.ports

    def outside(self, name: str) -> str:
        """Return the host of a DISVC for clients outside the cluster."""
        return f"{name}-{self._cluster.namespace}.example.com"

    def inside(self, name: str) -> str:
        """Return the host of a DISVC for clients inside the cluster."""
        return f"{name}.{self._cluster.namespace}.svc.cluster.local"

    def show(self, sample: str) -> None:
        """Show a manifest."""
        self._narrator.yaml((self._samples / sample).read_text())

    async def apply(self, sample: str) -> None:
        """Apply a manifest of a DISVC, with a strategy that one can watch."""
        disvc = yaml.safe_load((self._samples / sample).read_text())
        disvc["metadata"]["namespace"] = self._cluster.namespace
        disvc["spec"]["deploymentStrategy"] = QUICK
        await self._cluster.client.apply(UNTYPED_DISVCS, disvc)
        self._narrator.tell(f"config/samples/{sample} is applied", "bold")

    async def patch(self, name: str, spec: Value, words: str) -> None:
        """Change the spec of a DISVC, and say so."""
        await self._cluster.client.patch(UNTYPED_DISVCS, name, {"spec": spec}, self._cluster.namespace)
        self._narrator.tell(words, "bold")

    async def change_model(self, name: str, spelling: str, uri: str) -> None:
        """Change the model of a DISVC, whose manifest spells `inferenceService` in this way."""
        spec = {spelling: {"predictor": {"model": {"storageUri": uri}}}}
        await self.patch(name, spec, f"storageUri of {name} is changed to {uri}")

    async def scale(self, name: str, replicas: int) -> None:
        """Scale a DISVC, and wait until it is ready."""
        await self.patch(name, {"replicas": replicas}, f"{name} is scaled to {replicas}")
        await self.ready(name, replicas)

    async def ready(self, name: str, replicas: int) -> None:
        """Wait until a DISVC is rolled out with so many members."""

        def is_so(status: Value) -> bool:
            return _is_ready(status) and status.get("ready") == f"{replicas}/{replicas}"

        await self.until(name, is_so, f"until {name} has {replicas} ready members")

    async def rolled_out(self, name: str, old: int, new: int) -> None:
        """Wait until a new revision is rolled out, and nothing is left of the old one."""

        def is_so(status: Value) -> bool:
            return _is_ready(status) and bool(status["targetRevision"]["name"] == f"{name}-v{new}")

        await self.until(name, is_so, f"until {name}-v{new} is rolled out")
        await self.gone(f"{name}-v{old}-")
        self._narrator.promise(True, f"{name}-v{new} is rolled out, and nothing of {name}-v{old} is left")

    async def until(self, name: str, is_so: Callable[[Value], bool], words: str) -> Value:
        """Wait until the status of a DISVC is so, and return it; meanwhile `words` are shown."""
        with self._narrator.waiting(words):
            return await self._news.until(name, is_so, _PATIENCE_SECONDS)

    async def gone(self, *prefixes: str) -> None:
        """Wait until InferenceServices and pods whose names begin so are gone."""
        with self._narrator.waiting(f"until {', '.join(prefixes)}* is gone"):
            await self._news.until_gone(*prefixes, seconds=_PATIENCE_SECONDS)

    async def make_certificate(self, name: str) -> bytes:
        """Make Secret grpc-tls for a DISVC's host, and return the authority that clients have to trust, as PEM."""
        folder = self._cluster.plane.folder / "grpc-tls"
        folder.mkdir()
        authority = Authority("demo-ca", folder)
        made = authority.server("server", [self.outside(name)], [])
        files = {"tls.crt": made.cert_file, "tls.key": made.key_file}
        secret = {
            "metadata": {"name": "grpc-tls", "namespace": self._cluster.namespace},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(file.read_bytes()).decode() for name, file in files.items()},
        }
        await self._cluster.client.create(SECRETS, secret)
        self._narrator.tell(f"Secret grpc-tls has a certificate for {self.outside(name)}")
        return authority.ca_file.read_bytes()


def _is_ready(status: Value) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
