"""A scikit-learn model server as KServe's runtime kserve-sklearnserver runs one, for a laptop.

    python -m disvc.local.server --model_name=iris --model_dir=/models/iris --http_port=8080 --grpc_port=8081

It is kserve's own ModelServer: REST of the protocols v1 and v2, and gRPC of v2. What differs:
- It listens on 127.0.0.1 only, beside the socket that keeps the port for its pod (`shared_port`).
- On SIGTERM both protocols stop at once: nothing new is accepted, what is under way is answered, and then it ends.
  kserve's own order is REST first; it forgets the models before gRPC has stopped, and refuses calls meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import joblib
import kserve
import sklearn  # noqa: F401 - imported here, that a fork need not
import uvicorn
from grpc import aio
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.errors import InferenceError, ModelMissingError
from kserve.logging import logger
from kserve.model_server import parser as kserve_parser
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as v2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor, LoggingInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from kserve.utils.utils import get_predict_input, get_predict_response

from disvc.testing.shared_port import LOOPBACK, share_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_EXTENSIONS: Final = (".joblib", ".pkl", ".pickle")
_PROBABILITIES: Final = "PREDICT_PROBA"


class SKLearnModel(kserve.Model):
    """The model in a folder, by the rules and in the words of KServe's sklearnserver."""

    def __init__(self, name: str, model_dir: str) -> None:
        super().__init__(name)
        self._folder = Path(model_dir)

    def load(self) -> bool:
        """Load the folder's only model file.

        Raises `ModelMissingError` where there is none, `RuntimeError` where there are more, and whatever joblib does
        with one that it cannot read.
        """
        files = [path for path in sorted(self._folder.iterdir()) if path.is_file() and path.suffix in _EXTENSIONS]
        if not files:
            raise ModelMissingError(str(self._folder))
        if len(files) > 1:
            raise RuntimeError(f"More than one model file is detected, Only one is allowed within model_dir: {files}")
        self._model = joblib.load(files[0])
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        """Return the model's classes for the rows of a request, or, if the server is so told, their probabilities."""
        try:
            rows = get_predict_input(payload)
            if os.environ.get(_PROBABILITIES, "false").lower() == "true" and hasattr(self._model, "predict_proba"):
                result = self._model.predict_proba(rows)
            else:
                result = self._model.predict(rows)
            return get_predict_response(payload, result, self.name)
        except Exception as error:
            raise InferenceError(str(error)) from error


class _RESTServer(uvicorn.Server):
    """uvicorn that leaves signals to others."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class LoopbackServer(kserve.ModelServer):
    """kserve's ModelServer on 127.0.0.1; `args` are those of its parser."""

    def __init__(self, args: argparse.Namespace, **options: Any) -> None:
        super().__init__(
            http_port=args.http_port,
            grpc_port=args.grpc_port,
            max_threads=args.max_threads,
            enable_grpc=args.enable_grpc,
            enable_latency_logging=args.enable_latency_logging,
            access_log_format=args.access_log_format,
            timeout_keep_alive=args.timeout_keep_alive,
            **options,
        )
        self._message_sizes = [
            ("grpc.max_send_message_length", args.grpc_max_send_message_length),
            ("grpc.max_receive_message_length", args.grpc_max_receive_message_length),
        ]

    def start(self, models: list[kserve.Model]) -> None:
        """Serve models until SIGTERM."""
        self._register_and_check_atleast_one_model_is_ready(models)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve_rest(stop))
            if self.enable_grpc:
                group.create_task(self._serve_grpc(stop))

    async def _serve_rest(self, stop: asyncio.Event) -> None:
        rest = RESTServer(
            FASTAPI_APP_IMPORT_STRING,
            self.dataplane,
            self.model_repository_extension,
            self.http_port,
            access_log_format=self.access_log_format,
            grace_period=self.grace_period,
            timeout_keep_alive=self.timeout_keep_alive,
        )
        rest.create_application()
        server = _RESTServer(rest.config)
        serving = asyncio.create_task(server.serve(sockets=[share_port(self.http_port)]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving

    async def _serve_grpc(self, stop: asyncio.Event) -> None:
        server = aio.server(
            interceptors=(LoggingInterceptor(), ExceptionToStatusInterceptor()), options=self._message_sizes
        )
        servicer = InferenceServicer(self.dataplane, self.model_repository_extension)
        v2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
        server.add_insecure_port(f"{LOOPBACK}:{self.grpc_port}")
        await server.start()
        logger.info("gRPC server on port %s", self.grpc_port)
        await stop.wait()
        await server.stop(grace=self.grace_period)


def main(args: Sequence[str]) -> None:
    """Serve a model; the arguments are those of a kserve-sklearnserver, and of a repeated one the last counts."""
    parser = argparse.ArgumentParser(parents=[kserve_parser])
    parser.add_argument("--model_dir", required=True, help="the folder with the model file")
    known, _ = parser.parse_known_args(args)
    model = SKLearnModel(known.model_name, known.model_dir)
    try:
        model.load()
    except ModelMissingError:
        logger.error(
            "fail to locate model file for model %s under dir %s, trying loading from model repository.",
            known.model_name,
            known.model_dir,
        )
        LoopbackServer(known, registered_models=kserve.ModelRepository(known.model_dir)).start([])
    else:
        LoopbackServer(known).start([model])


if __name__ == "__main__":
    main(sys.argv[1:])
