"""What tests of a controller need, first a real Kubernetes control plane; import the module that you need.

`controlplane` launches a real kube-apiserver and etcd; `audit` reads what was called on it; `pytest_plugin`
hands both to tests as fixtures. Nothing is imported here, so that the plugin costs nothing where it is not
used.
"""
