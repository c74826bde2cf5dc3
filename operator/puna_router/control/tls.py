"""TLS of the listener for clients: a certificate in a file of its own, which Envoy follows."""

from __future__ import annotations

from typing import Final

from puna_router.control.world import Resource, Site

CERTIFICATE: Final = "client"
"""Name of the secret that Envoy reads, and of its file in folder `sds`."""

_TYPES: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


def transport_socket(site: Site) -> Resource:
    """Members of a filter chain that takes TLS alone."""
    folder = f"{site.directory}/sds"
    source = {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": f"{folder}/{CERTIFICATE}.json",
            "watched_directory": {"path": folder},
        },
    }
    context = {
        "@type": f"{_TYPES}.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [{"name": CERTIFICATE, "sds_config": source}],
        },
    }
    return {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
    }


def certificate(chain: str, key: str) -> Resource:
    """The secret of one certificate (PEM, with its chain) and its key (PEM)."""
    return {
        "@type": f"{_TYPES}.Secret",
        "name": CERTIFICATE,
        "tls_certificate": {
            "certificate_chain": {"inline_string": chain},
            "private_key": {"inline_string": key},
        },
    }
