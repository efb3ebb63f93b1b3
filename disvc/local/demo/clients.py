"""Clients of a model by the v2 protocol, REST and gRPC, of one address of a service each.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import aiohttp
from grpc import aio, ssl_channel_credentials
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ServerReadyRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from disvc.local.ingress.configuration import SERVED_BY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.local.ingress.configuration import Ports

_TIMEOUT_SECONDS: Final = 30.0
_COLUMNS: Final = 4


class Client(Protocol):
    """Asks one address of a service."""

    protocol: str
    """REST or gRPC."""
    address: str
    """What a person would call what it asks."""

    async def ask(self, rows: Sequence[Sequence[float]]) -> tuple[list[int], str]:
        """Return the classes of the rows, and the pod that gave them. Raises whatever went wrong."""
        ...


def request(rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the body of a REST request for the classes of rows."""
    return {"inputs": [{"name": "rows", "shape": [len(rows), _COLUMNS], "datatype": "FP64", "data": rows}]}


class REST:
    """A client over HTTP/1.1 with connections that it keeps, from an address of its own; use as `async with`."""

    protocol = "REST"

    def __init__(self, ports: Ports, host: str, model: str, *, client_ip: str = "127.0.0.1") -> None:
        self.address = host
        self.client_ip = client_ip
        self._url = f"http://{ports.address}:{ports.http}/v2/models/{model}/infer"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(self.client_ip, 0)),
            headers={"Host": self.address},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
            raise_for_status=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, rows: Sequence[Sequence[float]]) -> tuple[list[int], str]:
        """See `Client`."""
        async with self._session.post(self._url, json=request(rows)) as response:
            answer = await response.json()
            return answer["outputs"][0]["data"], response.headers.get(SERVED_BY, "")


class GRPC:
    """A client over HTTP/2, with TLS where it has an authority's certificate (PEM); use as `async with`."""

    protocol = "gRPC"

    def __init__(self, ports: Ports, host: str, model: str, *, ca: bytes | None = None) -> None:
        self.address = f"{host} (TLS)" if ca else host
        self._model = model
        options = [("grpc.default_authority", host), ("grpc.use_local_subchannel_pool", 1)]
        if ca is None:
            self._channel = aio.insecure_channel(f"{ports.address}:{ports.http}", options)
        else:
            options.append(("grpc.ssl_target_name_override", host))
            target = f"{ports.address}:{ports.https}"
            self._channel = aio.secure_channel(target, ssl_channel_credentials(ca), options)
        self._stub = GRPCInferenceServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def is_ready(self) -> bool:
        """Ask for ServerReady. Raises whatever went wrong."""
        answer = await self._stub.ServerReady(ServerReadyRequest(), timeout=_TIMEOUT_SECONDS)
        return bool(answer.ready)

    async def ask(self, rows: Sequence[Sequence[float]]) -> tuple[list[int], str]:
        """See `Client`."""
        call = self._stub.ModelInfer(self._request(rows), timeout=_TIMEOUT_SECONDS)
        answer = await call
        headers = dict(await call.initial_metadata())
        return list(answer.outputs[0].contents.int64_contents), str(headers.get(SERVED_BY, ""))

    def _request(self, rows: Sequence[Sequence[float]]) -> ModelInferRequest:
        wanted = ModelInferRequest(model_name=self._model)
        tensor = wanted.inputs.add(name="rows", datatype="FP64", shape=[len(rows), _COLUMNS])
        tensor.contents.fp64_contents.extend(number for row in rows for number in row)
        return wanted
