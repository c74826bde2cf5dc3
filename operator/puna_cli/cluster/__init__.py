"""A local cluster: control plane, operator, node agent and front as processes of this machine."""
