"""The five Kubernetes programs of a local cluster: found, or built once from pinned Go modules."""
