"""Control of one Envoy: from documents and Pods to files that Envoy reads.

Pure: world, shares, splice, catalogue, errors, access_log, listener, routes, clusters, snapshot,
static, bootstrap, documents, backends, choice. All others do I/O and decide nothing about what is
rendered.
"""
