"""The demo: three workflows under load, told as they happen, with a table in the end.

    story ─► stage ─► local_cluster ◄─ asks ─ load ─ samples ─► summary
      └─ tells and checks ─► narrator

`hack/demo.py` is its command line.
"""
