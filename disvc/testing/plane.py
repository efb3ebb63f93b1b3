"""What every control plane of a test has: processes on loopback ports of its own, users with certificates, kubectl.

Promises of a `Plane`:

* Each is independent: own ports, own certificates, own data in a temporary folder. Several may run at once.
* The ports are its own for its whole life, also while nothing listens on them: it holds them bound, and the servers
  listen beside it (SO_REUSEPORT). A restart is on the same URL, and no other process can slip in.
* Nothing is left over when it is stopped, nor when the process that holds it is killed (see `supervisor`).
* It is not tied to an event loop. `start` and `stop` block, for fixtures and scripts. What a test does while other
  things of its own run (compaction, kubectl) are coroutines. Short requests are plain calls.

Users are known by client certificates and authorised by RBAC. The API server also trusts the front-proxy certificate:
who holds it may act for any user by the headers X-Remote-User and X-Remote-Group.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import urllib3
from cryptography.hazmat.primitives.asymmetric import ec

from disvc.testing.audit import AuditLog
from disvc.testing.certificates import Authority, Credentials, write_private_key
from disvc.testing.kubeconfig import write_kubeconfig
from disvc.testing.kubectl import run_kubectl
from disvc.testing.rights import grant
from disvc.testing.shared_port import LOOPBACK as HOST
from disvc.testing.shared_port import share_port
from disvc.testing.supervisor import Supervisor, SupervisorError
from disvc.testing.tokens import sign_token
from disvc.testing.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["HOST", "ControlPlaneError", "Plane"]

_POLL_S = 0.05
_OK = 200


class ControlPlaneError(Exception):
    """A component did not start, ended, or did not answer; the message has the end of its log."""


class Plane(ABC):
    """One API server and what it needs; use as `async with` or `with`, or call `start` and `stop`.

    Args:
        apiserver: the component that is the API server.
        others: further components that have a port.
        start_timeout_s: how long each component may take to be ready, in seconds.
        port: the API server's, 0 for a free one.

    """

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

    def __init__(self, apiserver: str, others: Sequence[str] = (), *, start_timeout_s: float, port: int = 0) -> None:
        self._apiserver = apiserver
        self._wanted_ports = {apiserver: port, **dict.fromkeys(others, 0)}
        self._start_timeout_s = start_timeout_s
        self._supervisor: Supervisor | None = None
        self._reserved: dict[str, socket.socket] = {}

    @abstractmethod
    def _launch_components(self) -> None:
        """Start all components, and wait until they are ready; the files are there."""

    @abstractmethod
    async def compact(self) -> int:
        """Make the API server forget all but the current state, and return its revision."""

    def start(self) -> Self:
        """Start everything, wait until it is ready, and return self; blocks until then.

        Raises:
            BinaryNotFoundError: a binary is missing and cannot be built.
            ControlPlaneError: it is started already, a port is taken, or a component was not ready in time.

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
        launching = asyncio.create_task(asyncio.to_thread(self._launch))
        try:
            await asyncio.shield(launching)
        except BaseException:
            supervisor, self._supervisor = self._supervisor, None  # the thread finds nothing running, and ends
            await asyncio.gather(launching, return_exceptions=True)
            self._supervisor = supervisor  # what it wrote is removed with the folder
            self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def check(self) -> None:
        """Return if the API server runs. Raises `ControlPlaneError`, with the end of its log."""
        if (code := self._running().exit_code(self._apiserver)) is not None:
            raise ControlPlaneError(f"{self._apiserver} ended with {code}" + self._end_of_log(self._apiserver))

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
        self._wait(self._apiserver, lambda: _OK if in_force() else 403)
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
        for name, port in self._wanted_ports.items():
            self._reserved[name] = _reserve_port(port)
        self._supervisor = Supervisor()
        self.folder = self._supervisor.folder
        self.url = f"https://{HOST}:{self._port(self._apiserver)}"

    def _launch(self) -> None:
        self._write_files()
        self._launch_components()

    def _write_files(self) -> None:
        for folder in ("logs", "users", "kubectl-cache"):
            (self.folder / folder).mkdir()
        self._authority = Authority("ca", self.folder)
        self.ca_file = self._authority.ca_file
        self.serving = self._authority.server("serving", ("localhost", "kubernetes.default.svc"), (HOST, "::1"))
        # An authority of its own, as no client certificate of the other one may pass for the proxy's.
        self._front_proxy_authority = Authority("front-proxy-ca", self.folder)
        self.front_proxy = self._front_proxy_authority.client("front-proxy", "front-proxy-client")
        self._token_key = self.folder / "service-accounts.key"
        write_private_key(ec.generate_private_key(ec.SECP256R1()), self._token_key)
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

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            msg = "this control plane is not started, or was stopped"
            raise ControlPlaneError(msg)
        return self._supervisor

    def _port(self, name: str) -> int:
        port: int = self._reserved[name].getsockname()[1]
        return port

    def _spawn(self, name: str, *command: str) -> None:
        try:
            self._running().start(name, command, self.folder / "logs" / f"{name}.log")
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


def _reserve_port(port: int) -> socket.socket:
    """Bind a socket to a loopback port, 0 for a free one; as it does not listen, it takes no connection."""
    try:
        if port:  # another one that shares its port would let this one in
            socket.create_server((HOST, port)).close()
        return share_port(port)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        msg = f"{HOST}:{port} cannot be listened on ({why}); give another port, or 0 for a free one"
        raise ControlPlaneError(msg) from error
