"""A Kubernetes API server in this process: in memory, started in milliseconds, called directly or over HTTP.

`APIServer` answers requests and knows nothing of sockets, threads, clocks or chance: what it needs of them it is given.
"""
