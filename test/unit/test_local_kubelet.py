"""The way of a log from a kubelet on this machine to the API server that asks for it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from disvc.local.cri_log import Record, time_of
from disvc.local.kubelet import LogServer
from disvc.local.logs import NoLog, RunLog
from disvc.runtime import Key
from disvc.testing.certificates import Authority
from disvc.testing.memory.kubelet_client import KubeletClient
from disvc.testing.memory.pod_logs import KubeletError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from disvc.local.runner import ProcessRunner
    from disvc.runtime.transport import Stream
    from disvc.testing.certificates import Credentials


class Runner:
    """What has one log; `asked` is what was asked for."""

    def __init__(self, path: Path) -> None:
        self.current = RunLog(path)
        self.asked: list[tuple[Key, str, bool]] = []

    def log(self, pod: Key, container: str, *, previous: bool) -> RunLog:
        self.asked.append((pod, container, previous))
        if previous:
            raise NoLog("there was none before")
        return self.current


@pytest.fixture
def serving(tmp_path: Path) -> Credentials:
    return Authority("ca", tmp_path).server("serving", ["localhost"], ["127.0.0.1"])


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    path = tmp_path / "0.log"
    path.write_bytes(Record(time_of(0), True, b"begun").line())
    return Runner(path)


@pytest.fixture
async def server(runner: Runner, serving: Credentials) -> AsyncIterator[LogServer]:
    async with LogServer(cast("ProcessRunner", runner), serving) as server:
        yield server


@pytest.fixture
async def kubelets() -> AsyncIterator[KubeletClient]:
    async with KubeletClient() as client:
        yield client


def url(server: LogServer, query: str = "") -> str:
    return f"https://127.0.0.1:{server.port}/containerLogs/ns/p/c{query}"


async def whole(stream: Stream) -> tuple[int, bytes]:
    return stream.status, b"".join([chunk async for chunk in stream.chunks()])


async def test_a_log_is_served_to_whoever_does_not_look_at_the_certificate(
    server: LogServer, runner: Runner, kubelets: KubeletClient
) -> None:
    assert await whole(await kubelets.fetch(url(server, "?limitBytes=3"))) == (200, b"beg")
    assert runner.asked == [(Key("ns", "p"), "c", False)]


async def test_what_there_is_not_and_what_cannot_be_read_is_refused(server: LogServer, kubelets: KubeletClient) -> None:
    assert await whole(await kubelets.fetch(url(server, "?previous=true"))) == (400, b"there was none before")
    assert (await whole(await kubelets.fetch(url(server, "?tailLines=x"))))[0] == 400
    assert (await whole(await kubelets.fetch(url(server, "?tailLines=-1"))))[0] == 422


async def test_a_log_that_is_followed_ends_with_its_run(
    server: LogServer, runner: Runner, kubelets: KubeletClient
) -> None:
    async with asyncio.timeout(60):
        chunks = (await kubelets.fetch(url(server, "?follow=true"))).chunks()
        assert await anext(chunks) == b"begun\n"
        runner.current.ended.set()
        assert [chunk async for chunk in chunks] == []


async def test_a_log_that_is_followed_ends_with_its_server(
    runner: Runner, serving: Credentials, kubelets: KubeletClient
) -> None:
    async with asyncio.timeout(60):
        async with LogServer(cast("ProcessRunner", runner), serving) as server:
            chunks = (await kubelets.fetch(url(server, "?follow=true"))).chunks()
            assert await anext(chunks) == b"begun\n"
        assert [chunk async for chunk in chunks] == []


async def test_a_log_is_followed_no_more_when_its_reader_leaves(
    server: LogServer, runner: Runner, kubelets: KubeletClient
) -> None:
    def is_read() -> bool:
        return any(Path(file.path) == runner.current.path for file in psutil.Process().open_files())

    async with asyncio.timeout(60):
        async with aclosing(
            cast("AsyncGenerator[bytes]", (await kubelets.fetch(url(server, "?follow=true"))).chunks())
        ) as chunks:
            assert await anext(chunks) == b"begun\n"
            assert is_read()
        while is_read():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


async def test_a_kubelet_that_does_not_listen_is_told_in_the_words_of_go(
    runner: Runner, serving: Credentials, kubelets: KubeletClient
) -> None:
    async with LogServer(cast("ProcessRunner", runner), serving) as server:
        gone = url(server)
    with pytest.raises(KubeletError) as caught:
        await kubelets.fetch(gone)
    assert str(caught.value) == f'Get "{gone}": dial tcp 127.0.0.1:{server.port}: connect: connection refused'
