"""What a pod's containers are as processes, where its ports are, and when a container is started again: decisions."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from disvc.local.addresses import Addresses, loopback
from disvc.local.containers import CannotRun, loader_command, program, server_command, server_ports
from disvc.local.restarts import CrashLoop
from disvc.testing.shared_port import share_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.local.addresses import Sandbox

    Value = dict[str, Any]

VOLUMES = {"models": Path("/pod/volumes/models")}


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    addresses = Addresses()
    yield addresses
    addresses.close_all()


@pytest.fixture
def sandbox(addresses: Addresses) -> Sandbox:
    return addresses.open([8080, 8081])


def container(*args: str, image: str = "kserve/sklearnserver:v0.20.0", **fields: Any) -> Value:
    mounts = [{"name": "models", "mountPath": "/mnt/models"}]
    return {"name": "kserve-container", "image": image, "args": list(args), "volumeMounts": mounts, **fields}


def test_a_model_server_keeps_its_arguments_and_gets_its_loopback_ports_and_folder_last(sandbox: Sandbox) -> None:
    args = ("--model_name=a-v1-0", "--model_dir=/mnt/models", "--http_port=8080", "--model_name=a")
    command = server_command(container(*args, env=[{"name": "PREDICT_PROBA", "value": "true"}]), sandbox, VOLUMES)
    assert command.module == "disvc.local.server"
    assert command.args[:4] == args
    assert command.args[4:] == (
        f"--http_port={sandbox.port(8080)}",
        f"--grpc_port={sandbox.port(8081)}",
        "--model_dir=/pod/volumes/models",
    )
    assert command.environment == {"PREDICT_PROBA": "true"}


@pytest.mark.parametrize(
    ("args", "ports"),
    [
        ((), {"http_port": 8080, "grpc_port": 8081}),
        (("--http_port=1", "--http_port", "9080", "--grpc_port=9081"), {"http_port": 9080, "grpc_port": 9081}),
        (("--http_port=high", "--grpc_port"), {}),  # which the server itself complains of
    ],
)
def test_a_model_servers_ports_are_those_of_its_last_arguments(args: tuple[str, ...], ports: dict[str, int]) -> None:
    assert server_ports(container(*args)) == ports


def test_a_loader_fetches_what_is_mirrored_from_this_machine_and_the_rest_from_where_it_is() -> None:
    mirror = {"gs://here/model": Path("/models/a b")}
    mirrored = container("gs://here/model", "/mnt/models", image="kserve/storage-initializer:v0.20.0")
    other = container("gs://there/model", "/mnt/models", image="kserve/storage-initializer:v0.20.0")
    assert loader_command(mirrored, VOLUMES, mirror).args == ("file:///models/a b", "/pod/volumes/models")
    assert loader_command(other, VOLUMES, mirror).args == ("gs://there/model", "/pod/volumes/models")


@pytest.mark.parametrize(
    "image",
    ["kserve/sklearnserver", "docker.io/kserve/sklearnserver:v1@sha256:0", "127.0.0.1:5000/kserve/sklearnserver"],
)
def test_an_image_is_known_by_its_name_whatever_its_registry_and_tag(image: str) -> None:
    assert program(container(image=image)) == "disvc.local.server"


@pytest.mark.parametrize(
    ("refused", "reason", "words"),
    [
        (container(image="my-kserve/sklearnserver:v1"), "ImagePullBackOff", "my-kserve/sklearnserver:v1"),
        (container(command=["sh"]), "CreateContainerConfigError", "has a command"),
        (container(volumeMounts=[]), "CreateContainerConfigError", "nothing is mounted at /mnt/models"),
    ],
)
def test_what_no_process_can_be_waits_and_says_why(sandbox: Sandbox, refused: Value, reason: str, words: str) -> None:
    with pytest.raises(CannotRun, match=words) as caught:
        server_command(refused, sandbox, VOLUMES)
    assert caught.value.reason == reason


def test_a_port_of_a_pod_is_a_loopback_port_that_refuses_until_its_server_listens(addresses: Addresses) -> None:
    sandbox = addresses.open([8080])
    assert sandbox.annotations == {"local.disvc/loopback": f'{{"8080": "127.0.0.1:{sandbox.port(8080)}"}}'}
    found = loopback({"metadata": {"annotations": sandbox.annotations}})[8080]
    assert found == ("127.0.0.1", sandbox.port(8080))
    with socket.socket() as client:
        assert client.connect_ex(found) != 0
    for _ in range(2):  # it is started again
        with share_port(found[1]) as server, socket.socket() as client:
            server.listen()
            assert client.connect_ex(found) == 0
    with socket.socket() as foreign, pytest.raises(OSError, match="in use"):
        foreign.bind(found)


def test_pods_have_addresses_and_ports_of_their_own_and_give_them_up(addresses: Addresses) -> None:
    one, other = addresses.open([8080]), addresses.open([8080])
    assert (one.ip, other.ip) == ("10.244.0.2", "10.244.0.3")
    port = one.port(8080)
    assert port is not None
    assert port != other.port(8080)
    addresses.close(one)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_crashed_container_is_started_at_once_and_then_ever_later_until_it_has_run_for_long() -> None:
    loop = CrashLoop(first_seconds=10, most_seconds=50)
    assert [loop.delay(1) for _ in range(5)] == [0, 10, 20, 40, 50]
    assert [loop.delay(101), loop.delay(1)] == [0, 10]
