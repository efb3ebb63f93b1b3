"""What tests of a controller need, first a real Kubernetes control plane; import the module that you need.

`controlplane` launches a real kube-apiserver and etcd, `memory.controlplane` an API server in memory; `audit` reads
what was called on them; `pytest_plugin` hands them to tests as fixtures. Nothing is imported here, so that the plugin
costs nothing where it is not used.
"""
