"""A real control plane for tests: kube-apiserver and etcd (and kube-controller-manager on request) on loopback.

Promises:

* Each `ControlPlane` is independent: own ports, own certificates, own data in a temporary folder. Several may run.
* The ports are its own for its whole life, also while the API server is stopped: it holds them bound, and the
  servers listen beside it (SO_REUSEPORT). So a restart is on the same URL, and no other process can slip in.
* Nothing is left over when it is stopped or when the process that holds it is killed (`disvc.testing.supervisor`).
* It is not tied to an event loop. `start` and `stop` block, for fixtures and scripts; what a test does while other
  things of its own run (restarts, compaction, kubectl) are coroutines. The short requests are plain calls.

Users are known by client certificates and authorised by RBAC. The API server also trusts the front-proxy
certificate: who holds it may act for any user by the headers X-Remote-User and X-Remote-Group.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import urllib3
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from disvc.testing.audit import AuditLog
from disvc.testing.binaries import binary
from disvc.testing.certificates import Authority, Credentials, write_private_key
from disvc.testing.supervisor import Supervisor, SupervisorError
from disvc.testing.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["ControlPlane", "ControlPlaneError", "KubectlError"]

_HOST = "127.0.0.1"
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_POLL_S = 0.05
_KUBECTL_TIMEOUT_S = 120.0
# k8s.io/kubernetes/pkg/serviceaccount validates with go-jose's default leeway.
_TOKEN_LEEWAY_S = 60.0

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


class ControlPlaneError(Exception):
    """A component did not start, ended, or did not answer; the message says which, and the end of its log."""


class KubectlError(Exception):
    """kubectl ended with an error; the message has the command and what it wrote to stderr."""


class ControlPlane:
    """One kube-apiserver with its etcd; use as `async with` or `with`, or call `start` and `stop`."""

    def __init__(
        self,
        *,
        apiserver_flags: Sequence[str] = (),
        controller_manager: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        """Configure a control plane; nothing runs yet.

        Args:
            apiserver_flags: added to kube-apiserver's, like "--watch-cache=false" or
                "--feature-gates=WatchList=false"; a flag given twice counts as it does there.
            controller_manager: also run kube-controller-manager (garbage collection, namespaces, Deployments, …).
            start_timeout_s: how long each component may take to be ready, in seconds.
        """
        self._apiserver_flags = tuple(apiserver_flags)
        self.components = (
            "etcd",
            "kube-apiserver",
            *(["kube-controller-manager"] if controller_manager else []),
        )
        """The binaries that this control plane needs."""
        self._start_timeout_s = start_timeout_s
        self._supervisor: Supervisor | None = None
        self._reserved: dict[str, socket.socket] = {}

    url: str
    """The API server's URL, https://127.0.0.1:PORT."""
    folder: Path
    """Temporary; the components' logs are in `folder / "logs"`."""
    ca_file: Path
    """The authority of the serving certificate and of the users' client certificates (PEM)."""
    serving: Credentials
    """The API server's serving certificate, for 127.0.0.1 and localhost: also good for a proxy in front of it."""
    front_proxy: Credentials
    """The client certificate whose holder may set X-Remote-User and X-Remote-Group."""
    admin: User
    """A user who may do everything (group system:masters)."""
    audit: AuditLog
    """Every request to the API server, to count calls from."""

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start everything, wait until it is ready, and return self; blocks for some seconds.

        The first time on a machine, the binaries are built, which takes minutes and is told on stderr.

        Raises:
            BinaryNotFoundError: a binary is missing and cannot be built.
            ControlPlaneError: a component did not become ready in time.
        """
        self._binaries = {name: str(binary(name)) for name in self.components}
        try:
            self._supervisor = Supervisor()
            self.folder = self._supervisor.folder
            self._prepare()
            self._start_etcd()
            self._start_apiserver()
            # Made by the API server itself, a moment after it is ready.
            self._wait(
                "kube-apiserver", lambda: self._launcher.request("GET", "/api/v1/namespaces/default").status
            )
            if "kube-controller-manager" in self.components:
                self._start_controller_manager()
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
        try:
            return await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            self.stop()  # ends what the thread has started, and so the thread
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # -- faults -------------------------------------------------------------------------------------------------------

    async def stop_apiserver(self) -> None:
        """End the API server in order (SIGTERM), and wait for it; its URL refuses connections afterwards."""
        await asyncio.to_thread(self._end_apiserver, signal.SIGTERM)

    async def kill_apiserver(self) -> None:
        """Kill the API server (SIGKILL), and wait for it; its URL refuses connections afterwards."""
        await asyncio.to_thread(self._end_apiserver, signal.SIGKILL)

    async def start_apiserver(self) -> None:
        """Start the API server again, on the same URL and data, and wait until it is ready.

        Raises:
            ControlPlaneError: it runs already, or did not become ready in time.
        """
        await asyncio.to_thread(self._start_apiserver)

    async def compact(self) -> int:
        """Make etcd forget all but the current state, and return the revision up to which it did.

        Every resourceVersion seen so far is below it. An API server that runs may still answer from its caches;
        after a restart of it, or from the start with "--watch-cache=false", a watch from such a resourceVersion and
        a list continued at one are answered with 410 Expired.

        Raises:
            ControlPlaneError: etcd refused or is not there.
        """
        return await asyncio.to_thread(self._compact)

    # -- users --------------------------------------------------------------------------------------------------------

    def user(
        self, name: str, groups: Sequence[str] = (), rules: Sequence[Mapping[str, Sequence[str]]] = ()
    ) -> User:
        """Make a user with exactly these rights of its own, in all namespaces; called again, it changes the rights.

        The rights are in force when this returns.

        Args:
            name: as the API server will know it.
            groups: the user's groups; rights bound to them come on top.
            rules: PolicyRules of RBAC, like {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}.

        Raises:
            RequestFailedError: the API server refused a rule.
            ControlPlaneError: the rights did not come into force.
        """
        user = self._certified_user(name, groups)
        # RBAC is read through an informer: a path that only this version of the rules allows tells when it got there.
        marker = f"/disvc-testing/{uuid.uuid4()}"
        role_name = f"disvc-testing:{name}"
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role_name},
            "rules": [*rules, {"nonResourceURLs": [marker], "verbs": ["get"]}],
        }
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role_name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }
        for resource, body in (("clusterroles", role), ("clusterrolebindings", binding)):
            path = f"/apis/rbac.authorization.k8s.io/v1/{resource}/{role_name}?fieldManager=disvc-testing&force=true"
            self._launcher.call("PATCH", path, body, content_type="application/apply-patch+yaml")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": name, "nonResourceAttributes": {"path": marker, "verb": "get"}},
        }
        reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        self._wait(
            "kube-apiserver",
            lambda: 200 if self._launcher.call("POST", reviews, review)["status"]["allowed"] else 403,
        )
        return user

    def kubeconfig(self, user: User, server: str | None = None) -> Path:
        """Write a kubeconfig for a user that points to `server`, like a proxy's URL; by default to the API server."""
        path = self.folder / "users" / f"{uuid.uuid4()}.kubeconfig"
        _write_kubeconfig(path, server or self.url, self.ca_file, Credentials(user.cert_file, user.key_file))
        return path

    def service_account_token(self, namespace: str, name: str, lifetime_s: float) -> str:
        """A signed token for an existing service account that the API server refuses after `lifetime_s` seconds.

        The server allows for a minute of clock skew, so `exp` in the token is a minute before it ends, and may be in
        the past. It also remembers a token that it has accepted for up to 10 s (a constant of kube-apiserver), so
        that a token in use is refused up to 10 s late.

        Raises:
            RequestFailedError: there is no such service account.
        """
        account = self._launcher.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
        now = time.time()
        claims = {
            "iss": _ISSUER,
            "aud": [_ISSUER],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "iat": int(now - _TOKEN_LEEWAY_S),
            "nbf": int(now - _TOKEN_LEEWAY_S),
            "exp": int(now + lifetime_s - _TOKEN_LEEWAY_S),
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
            },
        }
        return jwt.encode(claims, (self.folder / "service-accounts.key").read_bytes(), algorithm="ES256")

    async def kubectl(self, *args: str, stdin: str | None = None, user: User | None = None) -> str:
        """Run the real kubectl, by default as the admin, and return its stdout.

        Raises:
            BinaryNotFoundError: there is no kubectl and it cannot be built.
            KubectlError: it ended with an error, or took longer than two minutes.
        """
        return await asyncio.to_thread(self._kubectl, args, stdin, (user or self.admin).kubeconfig)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Reserve the ports; write certificates, keys and the audit policy."""
        for name in ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager"):
            self._reserved[name] = _reserve_port()
        self.url = f"https://{_HOST}:{self._port('kube-apiserver')}"
        for folder in ("logs", "users", "kubectl-cache"):
            (self.folder / folder).mkdir()
        self._authority = Authority("ca", self.folder)
        self.ca_file = self._authority.ca_file
        names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        self.serving = self._authority.server("serving", names, (_HOST, "::1"))
        # An authority of its own: else any client certificate called front-proxy-client would be as good.
        self._front_proxy_authority = Authority("front-proxy-ca", self.folder)
        self.front_proxy = self._front_proxy_authority.client("front-proxy", "front-proxy-client")
        write_private_key(ec.generate_private_key(ec.SECP256R1()), self.folder / "service-accounts.key")
        (self.folder / "audit-policy.yaml").write_text(_AUDIT_POLICY)
        self.admin = self._certified_user("disvc-testing:admin", ("system:masters",))
        # For requests of this class itself, so that those by tests can be counted.
        self._launcher = self._certified_user("disvc-testing:launcher", ("system:masters",))
        self.audit = AuditLog(
            self.folder / "audit.log",
            lambda mark: self._launcher.call("GET", f"/version?mark={mark}") and None,
        )

    def _certified_user(self, name: str, groups: Sequence[str]) -> User:
        credentials = self._authority.client(f"users/{uuid.uuid4()}", name, groups)
        kubeconfig = credentials.cert_file.with_suffix(".kubeconfig")
        _write_kubeconfig(kubeconfig, self.url, self.ca_file, credentials)
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
        client, peer = (f"http://{_HOST}:{self._port(name)}" for name in ("etcd", "etcd-peer"))
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
        self._wait(
            "etcd", lambda: urllib3.request("GET", f"{client}/health", retries=False, timeout=5.0).status
        )

    def _start_apiserver(self) -> None:
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://{_HOST}:{self._port('etcd')}",
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
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={self.folder / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={self.folder / 'service-accounts.key'}",
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
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            "--leader-elect=false",
        )
        pool = urllib3.PoolManager(ca_certs=str(self.ca_file), retries=False, timeout=5.0)
        self._wait(
            "kube-controller-manager", lambda: pool.request("GET", f"https://{_HOST}:{port}/healthz").status
        )

    def _end_apiserver(self, how: signal.Signals) -> None:
        supervisor = self._running()
        supervisor.signal("kube-apiserver", how)
        if supervisor.wait("kube-apiserver", self._start_timeout_s) is None:
            supervisor.signal("kube-apiserver", signal.SIGKILL)
            msg = f"kube-apiserver did not end within {self._start_timeout_s:.0f} s of {how.name}; killed it"
            raise ControlPlaneError(msg + self._end_of_log("kube-apiserver"))

    def _compact(self) -> int:
        # Kept by API servers to tell each other how far one of them has compacted (storage/etcd3/compact.go).
        key = base64.b64encode(b"compact_rev_key").decode()
        revision = int(self._etcd("/v3/kv/range", {"key": key})["header"]["revision"])
        for _ in range(2):  # two writes, so that the last revision that anyone saw is below the compacted one
            value = base64.b64encode(str(revision).encode()).decode()
            revision = int(self._etcd("/v3/kv/put", {"key": key, "value": value})["header"]["revision"])
        self._etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return revision

    def _etcd(self, path: str, body: object) -> dict[str, Any]:
        url = f"http://{_HOST}:{self._port('etcd')}{path}"
        try:
            response = urllib3.request("POST", url, json=body, retries=False, timeout=30.0)
        except urllib3.exceptions.HTTPError as error:
            msg = f"etcd did not answer {path}: {error}"
            raise ControlPlaneError(msg + self._end_of_log("etcd")) from error
        if response.status != 200:  # noqa: PLR2004 - HTTP's OK
            msg = f"etcd refused {path}: {response.status}: {response.data.decode(errors='replace')}"
            raise ControlPlaneError(msg)
        decoded: dict[str, Any] = response.json()
        return decoded

    def _kubectl(self, args: Sequence[str], stdin: str | None, kubeconfig: Path) -> str:
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(
                self.folder / "kubectl-cache"
            ),  # its own cache goes by port, and ports come again
        }
        command = [str(binary("kubectl")), *args]
        try:
            done = subprocess.run(  # noqa: S603 - the test's own command
                command,
                input=stdin,
                env=environment,
                text=True,
                capture_output=True,
                timeout=_KUBECTL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"kubectl {' '.join(args)} took longer than {_KUBECTL_TIMEOUT_S:.0f} s and was killed"
            raise KubectlError(msg) from error
        if done.returncode != 0:
            msg = f"kubectl {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()}"
            raise KubectlError(msg)
        return done.stdout

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            msg = "this control plane is not started, or was stopped"
            raise ControlPlaneError(msg)
        return self._supervisor

    def _port(self, name: str) -> int:
        port: int = self._reserved[name].getsockname()[1]
        return port

    def _spawn(self, name: str, *flags: str) -> None:
        try:
            self._running().start(name, [self._binaries[name], *flags], self.folder / "logs" / f"{name}.log")
        except SupervisorError as error:
            raise ControlPlaneError(str(error)) from error

    def _wait(self, name: str, status: Callable[[], int]) -> None:
        """Wait for a component to answer 200."""
        supervisor = self._running()
        deadline = time.monotonic() + self._start_timeout_s
        answer = "nothing"
        while time.monotonic() < deadline:
            try:
                answer = str(status())
            except urllib3.exceptions.HTTPError as error:
                answer = re.sub(r"<.*?>: ", "", str(error))
            if answer == "200":
                return
            if (code := supervisor.exit_code(name)) is not None:
                msg = f"{name} ended with {code} before it was ready"
                raise ControlPlaneError(msg + self._end_of_log(name))
            time.sleep(_POLL_S)
        msg = f"{name} was not ready after {self._start_timeout_s:.0f} s; its last answer was: {answer}"
        raise ControlPlaneError(msg + self._end_of_log(name))

    def _end_of_log(self, name: str) -> str:
        log = self.folder / "logs" / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(["; its log ends with:", *lines[-15:]])


def _reserve_port() -> socket.socket:
    """A socket bound to a free loopback port, which does not listen and so takes no connection."""
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((_HOST, 0))
    return reserved


def _write_kubeconfig(path: Path, server: str, ca_file: Path, credentials: Credentials) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(ca_file)}}],
        "users": [
            {
                "name": "test",
                "user": {
                    "client-certificate": str(credentials.cert_file),
                    "client-key": str(credentials.key_file),
                },
            }
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(content))
