"""The node agent: makes this host a Kubernetes node whose Pods are native processes."""
