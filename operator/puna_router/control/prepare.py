"""Preparation of the shared folder: Envoy can start before its control process knows anything."""

from __future__ import annotations

import json
from pathlib import Path

from puna_router.control.bootstrap import bootstrap
from puna_router.control.files import Layout, write
from puna_router.control.keys.limits import LIMITS_FILTER
from puna_router.control.listener import ROUTES
from puna_router.control.select_filter import SELECT_FILTER
from puna_router.control.snapshot import discovery_response, render
from puna_router.control.tls import CERTIFICATE
from puna_router.control.world import Site, World


def prepare(site: Site) -> None:
    """Write the resources of a router without endpoints, then the bootstrap document.

    Who waits for the bootstrap document finds all that it names. Resources that are there already
    stay: a container that starts again finds its Envoy serving.
    """
    layout = Layout(Path(site.directory))
    layout.create()
    empty = render(World(), site).snapshot
    # A listener whose certificate is not there yet would keep Envoy from reading the rest.
    listens = not site.encrypted or layout.resource("sds", CERTIFICATE).exists()
    first = {
        layout.resource("cds", "cds"): list(empty.clusters.values()),
        layout.resource("rds", ROUTES): [empty.routes],
        layout.resource("select", SELECT_FILTER): [empty.select],
        layout.resource("limits", LIMITS_FILTER): [empty.limits],
        layout.resource("lds", "lds"): [empty.listener] if listens else [],
    }
    for path, resources in first.items():
        if not path.exists():
            write(path, discovery_response(resources)[0])
    document = bootstrap(site)
    write(layout.bootstrap, json.dumps(document, indent=1, sort_keys=True) + "\n")
