"""What is different for each host of a cluster: certificates, names and keys.

Servers of the cluster and external ones are hosts of one Envoy cluster, so that one picker, one
health check and one retry know them all. What Envoy has once per cluster is chosen by metadata of
the host that an attempt goes to.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from puna_router.control.balancing import AFFINITY_HEADER
from puna_router.control.errors import METADATA
from puna_router.control.external import ExternalServer, is_address
from puna_router.control.world import Host, Resource

CREDENTIAL: Final = "puna.credential"
"""Namespace of the metadata that holds a host's key."""

_SOCKET_MATCH: Final = "envoy.transport_socket_match"
_TYPES: Final = "type.googleapis.com/envoy.extensions"


def transport(servers: Iterable[ExternalServer]) -> Resource:
    """Members of a cluster that say which hosts are spoken to by TLS, and how."""
    matches = [_socket_match(server) for server in servers if server.encrypted]
    return {"transport_socket_matches": matches} if matches else {}


def filters(*, affine: bool, foreign: bool) -> list[Resource]:
    """Filters of each attempt; none where there is nothing to do.

    They take away what the choice of a host has been made by, where it is the prompt. Where
    `foreign` hosts are, each gets its own key or none.
    """
    mutations: list[Resource] = [{"remove": AFFINITY_HEADER}] if affine else []
    if foreign:
        key = f"%UPSTREAM_METADATA({CREDENTIAL}:authorization)%"
        append = {
            "header": {"key": "authorization", "value": key},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        mutations += [{"remove": "authorization"}, {"append": append}]
    if not mutations:
        return []
    return [
        {
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {
                "@type": f"{_TYPES}.filters.http.header_mutation.v3.HeaderMutation",
                "mutations": {"request_mutations": mutations},
            },
        },
        {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": {
                "@type": f"{_TYPES}.filters.http.upstream_codec.v3.UpstreamCodec",
            },
        },
    ]


def naming(host: Host) -> Resource:
    """Members of an endpoint that say under which name it is spoken to."""
    if host.external is None:
        return {}
    authority = host.external.server.authority
    return {"hostname": authority, "health_check_config": {"hostname": authority}}


def host_metadata(host: Host, key: str | None) -> Resource:
    """Metadata of a host by namespace; `key` is for hosts that are not external."""
    told = {"name": host.name, "pool": host.pool}
    metadata = {METADATA: {key: value for key, value in told.items() if value is not None}}
    if host.external is not None and host.external.server.encrypted:
        metadata[_SOCKET_MATCH] = {"external": host.external.server.name}
    required = key if host.external is None else host.external.server.key
    if required is not None:
        metadata[CREDENTIAL] = {"authorization": f"Bearer {required}"}
    return {namespace: values for namespace, values in metadata.items() if values}


def _socket_match(server: ExternalServer) -> Resource:
    validation: Resource = {
        "match_typed_subject_alt_names": [
            {
                "san_type": "IP_ADDRESS" if is_address(server.host) else "DNS",
                "matcher": {"exact": server.host},
            }
        ],
        "trusted_ca": _authorities(server),
    }
    context: Resource = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": validation,
        },
    }
    if not is_address(server.host):
        context["sni"] = server.host
    return {
        "name": server.name,
        "match": {"external": server.name},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
    }


def _authorities(server: ExternalServer) -> Resource:
    if server.authorities is not None:
        return {"inline_string": server.authorities}
    return {"filename": str(system_authorities())}


@cache
def system_authorities() -> Path:
    """File of the authorities that this system trusts."""
    paths = ssl.get_default_verify_paths()
    candidates = (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt")
    return next(
        (Path(found) for found in candidates if found and Path(found).is_file()),
        Path(candidates[-1]),
    )
