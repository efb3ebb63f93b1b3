"""A program that is started wrongly, as a process on a real kube-apiserver.

What the program can find out by itself ends it: exit code 1, and one line that says what is wrong, where, and what
to do. What only the server says is waited out, as the cause may go away without a restart (a control plane that
is being restarted, a RoleBinding that is applied a moment later): it is said, and the program is not ready meanwhile.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.testing.certificates import Authority
from disvc.testing.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from disvc.testing.controlplane import ControlPlane

PLAIN = Path(__file__).with_name("programs") / "plain.py"


async def last_words(*options: str, kubeconfig: Path | str) -> str:
    """Return the error that ends the program, having checked that it is one line and the only one of its kind."""
    async with Program(PLAIN, *options, environment={"KUBECONFIG": str(kubeconfig)}) as program:
        assert await program.ended() == 1
        assert len(program.log) == len(program.lines), "\n".join(program.lines)
        (error,) = [entry for entry in program.log if entry["level"] != "info"]
    assert error == program.log[-1]
    assert error["event"] == "exiting"
    assert "exception" not in error
    message: str = error["error"]
    return message


@pytest.fixture
def edited(control_plane: ControlPlane, tmp_path: Path) -> Callable[..., Path]:
    """Write the admin's kubeconfig with other fields in its cluster and its user."""

    def write(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
        content = yaml.safe_load(control_plane.admin.kubeconfig.read_text())
        content["clusters"][0]["cluster"] |= cluster or {}
        if user is not None:
            content["users"][0]["user"] = user
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_kubeconfig_that_is_missing_is_named_with_the_ways_to_give_one(tmp_path: Path) -> None:
    message = await last_words(kubeconfig=tmp_path / "nothing")
    assert message == (
        f"there is no kubeconfig file {tmp_path / 'nothing'}: pass --kubeconfig, set KUBECONFIG, "
        "or run in a pod with a service account"
    )


@pytest.mark.parametrize("content", ["a: [b\n  c: }", "just a text", "", "{clusters: 7}"])
async def test_a_kubeconfig_that_cannot_be_read_is_named_with_what_is_wrong(tmp_path: Path, content: str) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(content)
    assert f"kubeconfig {kubeconfig} cannot be used: " in await last_words(kubeconfig=kubeconfig)


async def test_a_context_that_is_missing_is_named_with_its_kubeconfig(control_plane: ControlPlane) -> None:
    kubeconfig = control_plane.admin.kubeconfig
    message = await last_words("--context=nowhere", kubeconfig=kubeconfig)
    assert f"kubeconfig {kubeconfig} with context nowhere cannot be used" in message


@pytest.mark.parametrize("where", ["cluster", "user"])
async def test_a_certificate_that_is_missing_is_named(edited: Callable[..., Path], tmp_path: Path, where: str) -> None:
    missing = str(tmp_path / "missing.crt")
    kubeconfig = (
        edited(cluster={"certificate-authority": missing})
        if where == "cluster"
        else edited(user={"client-certificate": missing, "client-key": missing})
    )
    message = await last_words(kubeconfig=kubeconfig)
    assert str(kubeconfig) in message
    assert missing in message


@pytest.mark.parametrize("what", ["metrics", "health-probe"])
async def test_a_port_in_use_is_named_with_what_it_was_for(
    control_plane: ControlPlane, taken_port: int, what: str
) -> None:
    option = f"--{what}-bind-address=127.0.0.1:{taken_port}"
    message = await last_words(option, kubeconfig=control_plane.admin.kubeconfig)
    name = {"metrics": "metrics", "health-probe": "probes"}[what]
    assert f"cannot serve {name} at 127.0.0.1:{taken_port}: " in message
    assert f"give {name} another address" in message


async def test_an_address_that_is_none_is_told_how_to_be_one(control_plane: ControlPlane) -> None:
    message = await last_words("--metrics-bind-address=8080", kubeconfig=control_plane.admin.kubeconfig)
    assert message == "'8080' is not an address to listen on; give HOST:PORT or :PORT"


async def test_durations_that_do_not_fit_each_other_are_told_with_the_rule(control_plane: ControlPlane) -> None:
    message = await last_words("--lease-duration=5", kubeconfig=control_plane.admin.kubeconfig)
    assert "lease_duration (5.0 s) must be more than renew_deadline (10.0 s)" in message


async def test_a_log_level_that_is_none_is_told_which_there_are(control_plane: ControlPlane) -> None:
    message = await last_words("--log-level=loud", kubeconfig=control_plane.admin.kubeconfig)
    assert message == "unknown log level 'loud'; give debug, info, warning or error"


async def says_and_waits(kubeconfig: Path, event: str, *words: str) -> None:
    """Check that the program says these words once and then more and more rarely, and that SIGTERM ends it with 0."""
    async with Program(PLAIN, environment={"KUBECONFIG": str(kubeconfig)}) as program:
        entry = await program.logged(event)
        said = f"{entry['error']} {entry.get('hint', '')}"
        assert not [word for word in words if word not in said], said
        await asyncio.sleep(5)
        assert len(program.entries(event)) <= 5
        program.send(signal.SIGTERM)
        assert await program.ended() == 0
        assert not [entry for entry in program.log if "exception" in entry]


async def test_a_server_that_cannot_be_reached_is_waited_for(edited: Callable[..., Path]) -> None:
    kubeconfig = edited(cluster={"server": "https://127.0.0.1:1"})
    await says_and_waits(kubeconfig, "list or watch failed", "https://127.0.0.1:1 cannot be reached")


async def test_a_server_whose_certificate_is_not_trusted_is_said_to_be_so(
    edited: Callable[..., Path], tmp_path: Path, control_plane: ControlPlane
) -> None:
    kubeconfig = edited(cluster={"certificate-authority": str(Authority("other", tmp_path).ca_file)})
    await says_and_waits(
        kubeconfig,
        "list or watch failed",
        f"the TLS handshake with {control_plane.url} failed",
        "certificate-authority",
    )


async def test_credentials_that_the_server_does_not_know_are_said_to_be_so(edited: Callable[..., Path]) -> None:
    await says_and_waits(
        edited(user={"token": "wrong"}), "list or watch failed", "401", "does not accept these credentials"
    )


async def test_a_right_on_leases_that_is_missing_is_named_and_waited_for(control_plane: ControlPlane) -> None:
    config_maps = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
    user = await asyncio.to_thread(control_plane.user, "no-leases", (), [config_maps])
    await says_and_waits(
        user.kubeconfig,
        "the lease cannot be tried for; trying on",
        'User "no-leases" cannot get resource "leases" in API group "coordination.k8s.io" in the namespace "default"',
    )
