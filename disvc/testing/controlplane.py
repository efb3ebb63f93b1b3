"""A real control plane for tests: kube-apiserver, etcd and, on request, kube-controller-manager, on loopback.

Promises:

* Each `ControlPlane` is independent: own ports, own certificates, own data in a temporary folder. Several may
  run at once.
* The ports are its own for its whole life, also while the API server is stopped: it holds them bound, and the
  servers listen beside it (SO_REUSEPORT). A restart is on the same URL, and no other process can slip in.
* Nothing is left over when it is stopped, nor when the process that holds it is killed (see `supervisor`).
* It is not tied to an event loop. `start` and `stop` block, for fixtures and scripts. What a test does while
  other things of its own run (restarts, compaction, kubectl) are coroutines. Short requests are plain calls.

Users are known by client certificates and authorised by RBAC. The API server also trusts the front-proxy
certificate: who holds it may act for any user by the headers X-Remote-User and X-Remote-Group.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
import uuid
from typing import TYPE_CHECKING

import urllib3
from cryptography.hazmat.primitives.asymmetric import ec

from disvc.testing.audit import AuditLog
from disvc.testing.binaries import binary
from disvc.testing.certificates import Authority, Credentials, write_private_key
from disvc.testing.etcd import compact
from disvc.testing.kubeconfig import write_kubeconfig
from disvc.testing.kubectl import run_kubectl
from disvc.testing.rights import grant
from disvc.testing.supervisor import Supervisor, SupervisorError
from disvc.testing.tokens import ISSUER, sign_token
from disvc.testing.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["ControlPlane", "ControlPlaneError"]

_HOST = "127.0.0.1"
_POLL_S = 0.05
_OK = 200

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


class ControlPlaneError(Exception):
    """A component did not start, ended, or did not answer; the message has the end of its log."""


class ControlPlane:
    """One kube-apiserver with its etcd; use as `async with` or `with`, or call `start` and `stop`."""

    components: tuple[str, ...]
    """The binaries that it runs."""
    url: str
    """The API server's URL, https://127.0.0.1:PORT."""
    folder: Path
    """Temporary; the components' logs are in `folder / "logs"`."""
    ca_file: Path
    """The authority of the serving certificate and of the users' client certificates (PEM)."""
    serving: Credentials
    """The API server's serving certificate, for 127.0.0.1 and localhost; good for a proxy too."""
    front_proxy: Credentials
    """The client certificate whose holder may set X-Remote-User and X-Remote-Group."""
    admin: User
    """A user who may do everything (group system:masters)."""
    audit: AuditLog
    """Every request to the API server, to count calls from."""

    def __init__(
        self,
        *,
        apiserver_flags: Sequence[str] = (),
        controller_manager: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        """Configure a control plane; nothing runs yet, and all but `components` is known from `start` on.

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
        self._start_timeout_s = start_timeout_s
        self._supervisor: Supervisor | None = None
        self._reserved: dict[str, socket.socket] = {}

    def start(self) -> Self:
        """Start everything, wait until it is ready, and return self; blocks for some seconds.

        The first time on a machine, the binaries are built, which takes minutes and is told on stderr.

        Raises:
            BinaryNotFoundError: a binary is missing and cannot be built.
            ControlPlaneError: it is started already, or a component was not ready in time.

        """
        self._claim()
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill everything and remove the folder; nothing happens if it is stopped."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close()
        while self._reserved:
            self._reserved.popitem()[1].close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._claim()
        try:
            await asyncio.to_thread(self._launch)
        except BaseException:
            self.stop()  # when cancelled, this also ends the thread, which finds nothing running
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

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

    def user(self, name: str, groups: Sequence[str] = (), rules: Sequence[Mapping[str, Sequence[str]]] = ()) -> User:
        """Make a user with exactly these rights of its own, in all namespaces; called again, it changes them.

        The rights are in force when this returns.

        Args:
            name: as the API server will know it.
            groups: the user's groups; rights bound to them come on top.
            rules: PolicyRules, like {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}.

        Raises:
            RequestFailedError: the API server refused a rule.
            ControlPlaneError: the rights did not come into force.

        """
        in_force = grant(self._launcher, name, rules)
        self._wait("kube-apiserver", lambda: _OK if in_force() else 403)
        return self._certified_user(name, groups)

    def kubeconfig(self, user: User, server: str | None = None) -> Path:
        """Write a kubeconfig that points a user to `server` (a proxy's URL), by default to the API server."""
        path = self.folder / "users" / f"{uuid.uuid4()}.kubeconfig"
        write_kubeconfig(path, server or self.url, self.ca_file, Credentials(user.cert_file, user.key_file))
        return path

    def service_account_token(self, namespace: str, name: str, lifetime_s: float) -> str:
        """Sign a token of an existing service account that the API server refuses after `lifetime_s` seconds.

        The API server remembers for 10 s (a constant of its own) that it accepted a token: one in use is
        refused up to 10 s late. The token's `exp` is a minute early, see `disvc.testing.tokens`.

        Raises:
            RequestFailedError: there is no such service account.

        """
        account = self._launcher.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
        return sign_token(self._token_key, namespace, name, account["metadata"]["uid"], lifetime_s)

    async def kubectl(self, *args: str, stdin: str | None = None, user: User | None = None) -> str:
        """Run the real kubectl, by default as the admin, and return its stdout.

        Raises:
            BinaryNotFoundError: there is no kubectl and it cannot be built.
            KubectlError: it ended with an error, or took longer than two minutes.

        """
        kubeconfig = (user or self.admin).kubeconfig
        cache = self.folder / "kubectl-cache"
        return await asyncio.to_thread(run_kubectl, args, stdin=stdin, kubeconfig=kubeconfig, cache=cache)

    def _claim(self) -> None:
        """Take the folder and the ports, which is quick, and makes `stop` able to undo all that follows."""
        if self._supervisor is not None:
            msg = f"the control plane on {self.url} is started already"
            raise ControlPlaneError(msg)
        self._supervisor = Supervisor()
        self.folder = self._supervisor.folder
        for name in ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager"):
            self._reserved[name] = _reserve_port()
        self.url = f"https://{_HOST}:{self._port('kube-apiserver')}"

    def _launch(self) -> None:
        self._binaries = {name: str(binary(name)) for name in self.components}
        self._write_files()
        self._start_etcd()
        self._start_apiserver()
        # Made by the API server itself, a moment after it is ready.
        default = "/api/v1/namespaces/default"
        self._wait("kube-apiserver", lambda: self._launcher.request("GET", default).status)
        if "kube-controller-manager" in self.components:
            self._start_controller_manager()

    def _write_files(self) -> None:
        for folder in ("logs", "users", "kubectl-cache"):
            (self.folder / folder).mkdir()
        self._authority = Authority("ca", self.folder)
        self.ca_file = self._authority.ca_file
        self.serving = self._authority.server("serving", ("localhost", "kubernetes.default.svc"), (_HOST, "::1"))
        # An authority of its own, as no client certificate of the other one may pass for the proxy's.
        self._front_proxy_authority = Authority("front-proxy-ca", self.folder)
        self.front_proxy = self._front_proxy_authority.client("front-proxy", "front-proxy-client")
        self._token_key = self.folder / "service-accounts.key"
        write_private_key(ec.generate_private_key(ec.SECP256R1()), self._token_key)
        (self.folder / "audit-policy.yaml").write_text(_AUDIT_POLICY)
        self.admin = self._certified_user("disvc-testing:admin", ("system:masters",))
        # For the requests of this class itself, so that a test can count its own.
        self._launcher = self._certified_user("disvc-testing:launcher", ("system:masters",))
        self.audit = AuditLog(
            self.folder / "audit.log", lambda mark: self._launcher.call("GET", f"/version?mark={mark}")
        )

    def _certified_user(self, name: str, groups: Sequence[str]) -> User:
        credentials = self._authority.client(f"users/{uuid.uuid4()}", name, groups)
        kubeconfig = credentials.cert_file.with_suffix(".kubeconfig")
        write_kubeconfig(kubeconfig, self.url, self.ca_file, credentials)
        return User(
            name=name,
            groups=tuple(groups),
            server=self.url,
            ca_file=self.ca_file,
            cert_file=credentials.cert_file,
            key_file=credentials.key_file,
            kubeconfig=kubeconfig,
        )

    def _start_etcd(self) -> None:
        client, peer = self._etcd_url("etcd"), self._etcd_url("etcd-peer")
        self._spawn(
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
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={self._etcd_url('etcd')}",
            f"--bind-address={_HOST}",
            f"--advertise-address={_HOST}",
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
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={user.kubeconfig}",
            f"--bind-address={_HOST}",
            f"--secure-port={port}",
            "--permit-port-sharing",
            f"--tls-cert-file={self.serving.cert_file}",
            f"--tls-private-key-file={self.serving.key_file}",
            f"--root-ca-file={self.ca_file}",
            f"--service-account-private-key-file={self._token_key}",
            "--leader-elect=false",
        )
        pool = urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False, timeout=5.0)
        health = f"https://{_HOST}:{port}/healthz"
        self._wait("kube-controller-manager", lambda: pool.request("GET", health).status)

    def _end_apiserver(self, how: signal.Signals) -> None:
        supervisor = self._running()
        supervisor.signal("kube-apiserver", how)
        if supervisor.wait("kube-apiserver", self._start_timeout_s) is None:
            supervisor.signal("kube-apiserver", signal.SIGKILL)
            msg = f"kube-apiserver was killed, as it still ran {self._start_timeout_s:.0f} s after {how.name}"
            raise ControlPlaneError(msg + self._end_of_log("kube-apiserver"))

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            msg = "this control plane is not started, or was stopped"
            raise ControlPlaneError(msg)
        return self._supervisor

    def _port(self, name: str) -> int:
        port: int = self._reserved[name].getsockname()[1]
        return port

    def _etcd_url(self, name: str) -> str:
        return f"http://{_HOST}:{self._port(name)}"

    def _spawn(self, name: str, *flags: str) -> None:
        try:
            self._running().start(name, [self._binaries[name], *flags], self.folder / "logs" / f"{name}.log")
        except SupervisorError as error:
            raise ControlPlaneError(str(error)) from error

    def _wait(self, name: str, status: Callable[[], int]) -> None:
        """Wait for a component to answer 200."""
        deadline = time.monotonic() + self._start_timeout_s
        answer = "none"
        while time.monotonic() < deadline:
            try:
                answer = str(status())
            except urllib3.exceptions.HTTPError as error:
                answer = str(error)
            if answer == str(_OK):
                return
            if (code := self._running().exit_code(name)) is not None:
                msg = f"{name} ended with {code} before it was ready"
                raise ControlPlaneError(msg + self._end_of_log(name))
            time.sleep(_POLL_S)
        msg = f"{name} was not ready after {self._start_timeout_s:.0f} s; its last answer was {answer}"
        raise ControlPlaneError(msg + self._end_of_log(name))

    def _end_of_log(self, name: str) -> str:
        log = self.folder / "logs" / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(["; its log ends with:", *lines[-15:]])


def _reserve_port() -> socket.socket:
    """Bind a socket to a free loopback port; as it does not listen, it takes no connection."""
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((_HOST, 0))
    return reserved
