"""The `puna` command: a local cluster on this machine, and a conversation with an endpoint."""
