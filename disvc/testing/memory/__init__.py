"""A Kubernetes API server in this process: in memory, started in milliseconds, called directly or over HTTP.

`APIServer` answers requests and knows nothing of sockets, threads, clocks or chance: what it needs of them it is given.

    server = APIServer(Environment(), builtin.TYPES)
    manager = Manager(server.transport())

A request from top to bottom:

    transport, http      a client's bytes become a `Request`
      server             … and that, once its resource is known (`registry`), a `Call`
        reading          get, list: what there is, or was at a revision
        watching         watch: what happens, from any revision
        writing          create, update, patch:
          options          what the query asks for
          decoding         the body as an object with known fields only
          admission        what webhooks make of it, or deny
          resource         the kind's defaults, preparation and validation; `metadata` is what all kinds have in common
        deletion         delete, deletecollection: gone, or terminating
          store          every version of every object under one revision
        answers          what goes back; `errors` is what does so where a request is refused
"""

from disvc.testing.memory.server import APIServer

__all__ = ["APIServer"]
