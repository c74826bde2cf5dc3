"""Control of one Envoy: from documents and Pods to files that Envoy reads.

Pure: world, shares, splice, catalogue, errors, access_log, listener, headers, tls, routes,
clusters, balancing, upstream, external, addresses, snapshot, static, bootstrap, documents,
backends, peers, health, picker_file, status_page, choice. All others do I/O and decide nothing
about what is rendered.
"""
