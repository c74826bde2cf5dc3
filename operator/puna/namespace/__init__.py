"""The router of a namespace: from its endpoints to the shared objects. Pure."""
