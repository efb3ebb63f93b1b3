"""A real control plane for tests: kube-apiserver, etcd and, on request, kube-controller-manager, on loopback.

What it promises, and what it shares with the in-memory one, is told in `disvc.testing.plane`.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import urllib3

from disvc.testing.binaries import binary
from disvc.testing.etcd import compact
from disvc.testing.plane import HOST, ControlPlaneError, Plane
from disvc.testing.tokens import ISSUER

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ControlPlane", "ControlPlaneError"]

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


class ControlPlane(Plane):
    """One kube-apiserver with its etcd; use as `async with` or `with`, or call `start` and `stop`."""

    components: tuple[str, ...]
    """The binaries that it runs."""

    def __init__(
        self,
        *,
        apiserver_flags: Sequence[str] = (),
        controller_manager: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        """Configure a control plane; nothing runs yet, and all but `components` is known from `start` on.

        The first time that one starts on a machine, the binaries are built, which takes minutes and is told on stderr.

        Args:
            apiserver_flags: added to kube-apiserver's, like "--watch-cache=false" or
                "--feature-gates=WatchList=false"; a flag given twice counts as it does there.
            controller_manager: also run kube-controller-manager (garbage collection, Deployments, …).
            start_timeout_s: how long each component may take to be ready, in seconds.

        """
        self.components = ("etcd", "kube-apiserver")
        if controller_manager:
            self.components += ("kube-controller-manager",)
        self._apiserver_flags = tuple(apiserver_flags)
        super().__init__(
            "kube-apiserver", ("etcd", "etcd-peer", "kube-controller-manager"), start_timeout_s=start_timeout_s
        )

    async def stop_apiserver(self) -> None:
        """End the API server in order (SIGTERM), and wait for it; its URL refuses connections from then on.

        Raises:
            ControlPlaneError: it did not end in time, and was killed.

        """
        await asyncio.to_thread(self._end_apiserver, signal.SIGTERM)

    async def kill_apiserver(self) -> None:
        """Kill the API server (SIGKILL), and wait for it; its URL refuses connections from then on."""
        await asyncio.to_thread(self._end_apiserver, signal.SIGKILL)

    async def start_apiserver(self) -> None:
        """Start the API server again, on the same URL and data, and wait until it is ready.

        Raises:
            ControlPlaneError: it runs already, or was not ready in time.

        """
        await asyncio.to_thread(self._start_apiserver)

    async def compact(self) -> int:
        """Make etcd forget all but the current state, and return its revision.

        Every resourceVersion seen so far is below it. An API server that runs may still answer from its
        caches. After a restart of it, or at once where it was started with "--watch-cache=false", a watch
        from such a resourceVersion and a list continued at one are answered with 410 Expired.

        Raises:
            EtcdError: etcd refused or is not there.

        """
        return await asyncio.to_thread(compact, self._etcd_url("etcd"))

    def _launch_components(self) -> None:
        self._binaries = {name: str(binary(name)) for name in self.components}
        (self.folder / "audit-policy.yaml").write_text(_AUDIT_POLICY)
        self._start_etcd()
        self._start_apiserver()
        # Made by the API server itself, a moment after it is ready.
        default = "/api/v1/namespaces/default"
        self._wait("kube-apiserver", lambda: self._launcher.request("GET", default).status)
        if "kube-controller-manager" in self.components:
            self._start_controller_manager()

    def _start_etcd(self) -> None:
        client, peer = self._etcd_url("etcd"), self._etcd_url("etcd-peer")
        self._run(
            "etcd",
            "--name=default",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--socket-reuse-port",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._wait("etcd", lambda: urllib3.request("GET", f"{client}/health", retries=False, timeout=5.0).status)

    def _start_apiserver(self) -> None:
        self._run(
            "kube-apiserver",
            f"--etcd-servers={self._etcd_url('etcd')}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={self._port('kube-apiserver')}",
            "--permit-port-sharing",
            "--endpoint-reconciler-type=none",  # an Endpoints object may not hold a loopback address
            f"--tls-cert-file={self.serving.cert_file}",
            f"--tls-private-key-file={self.serving.key_file}",
            f"--client-ca-file={self.ca_file}",
            f"--requestheader-client-ca-file={self._front_proxy_authority.ca_file}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={self.front_proxy.cert_file}",
            f"--proxy-client-key-file={self.front_proxy.key_file}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self._token_key.with_suffix('.pub')}",
            f"--service-account-signing-key-file={self._token_key}",
            "--disable-admission-plugins=ServiceAccount",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            "--audit-log-maxsize=1000000",  # megabytes: the log is read as one file
            *self._apiserver_flags,
        )
        self._wait("kube-apiserver", lambda: self._launcher.request("GET", "/readyz").status)

    def _start_controller_manager(self) -> None:
        user = self._certified_user("system:kube-controller-manager", ("system:masters",))
        port = self._port("kube-controller-manager")
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={user.kubeconfig}",
            f"--bind-address={HOST}",
            f"--secure-port={port}",
            "--permit-port-sharing",
            f"--tls-cert-file={self.serving.cert_file}",
            f"--tls-private-key-file={self.serving.key_file}",
            f"--root-ca-file={self.ca_file}",
            f"--service-account-private-key-file={self._token_key}",
            "--leader-elect=false",
        )
        pool = urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False, timeout=5.0)
        health = f"https://{HOST}:{port}/healthz"
        self._wait("kube-controller-manager", lambda: pool.request("GET", health).status)

    def _end_apiserver(self, how: signal.Signals) -> None:
        supervisor = self._running()
        supervisor.signal("kube-apiserver", how)
        if supervisor.wait("kube-apiserver", self._start_timeout_s) is None:
            supervisor.signal("kube-apiserver", signal.SIGKILL)
            msg = f"kube-apiserver was killed, as it still ran {self._start_timeout_s:.0f} s after {how.name}"
            raise ControlPlaneError(msg + self._end_of_log("kube-apiserver"))

    def _etcd_url(self, name: str) -> str:
        return f"http://{HOST}:{self._port(name)}"

    def _run(self, name: str, *flags: str) -> None:
        self._spawn(name, self._binaries[name], *flags)
