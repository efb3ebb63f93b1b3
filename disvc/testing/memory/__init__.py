"""A Kubernetes API server in this process: in memory, started in milliseconds, called directly or over HTTP.

`APIServer` answers requests and knows nothing of sockets, threads, clocks or chance: what it needs of them it is given.

    server = APIServer(Environment(), builtin.TYPES)
    manager = Manager(server.transport())

A request from top to bottom:

    transport, http        a client's bytes become a `Request`, whose user `authentication` tells
      server               … and that, once it is known what its path means (`requests`, `registry`, `routing`) and
                           that the user may do it (`authorization`), a `Call`
        reading            get, list: what there is, or was at a revision
        watching           watch: what happens, from any revision
        writing            create, update, patch:
          options            what the query asks for
          decoding           the body as an object with known fields only; or `patching`: what a patch makes of the old
          field_managers     … and who has set which field (`apply`)
          admission          what the namespace lets in, and `webhooks` make of it, or deny
          resource           the kind's defaults, preparation and validation (`builtin`, `structural`); `metadata` is
                             what all kinds have in common, `subresources` what of an object is written by itself
        deletion           delete, deletecollection: gone, or terminating; `holders` are emptied first
          store              every version of every object under one revision
        answers            what goes back; `errors` is what does so where a request is refused
      presentation         … in the form that the client accepts
    custom                 after each request: the resources of CRDs come and go
    garbage                when it suits: what nobody owns goes; `housekeeping` is when in a process
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from disvc.testing.memory.server import APIServer
else:

    def __getattr__(name: str) -> object:
        """Import the server when it is asked for: `controlplane`, which runs one elsewhere, has no use for it here."""
        if name != "APIServer":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from disvc.testing.extra import require

        require("testing", "The in-memory API server")
        from disvc.testing.memory.server import APIServer

        return APIServer


__all__ = ["APIServer"]
