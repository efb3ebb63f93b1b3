"""What `kubectl get` shows of each built-in kind: the columns of pkg/printers/internalversion of Kubernetes."""
