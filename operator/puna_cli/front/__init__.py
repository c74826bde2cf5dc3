"""The front: one stable address of 127.0.0.1 before the routers of all namespaces.

Envoy moves the bytes; a small process beside it watches router Pods and writes Envoy's files. The
same process gives PersistentVolumeClaims their folders: elsewhere a storage provider's work.
"""
