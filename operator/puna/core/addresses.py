"""Addresses: which hosts and folders of nodes a spec may name."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from puna_fetch.addresses import parse_networks, refusal


def refused_host(
    host: str, allowed_networks: Iterable[str], *, api_server: str | None
) -> str | None:
    """Return what a host is that must not be connected to; None if it may, or is a name."""
    networks = parse_networks(allowed_networks)
    is_api_server = host == api_server
    try:
        if any(ip_address(host) in network for network in networks):
            return None
        return f"{host} is the API server" if is_api_server else refusal(host, networks)
    except ValueError:
        return f"{host} is the API server" if is_api_server else None


def folder_of(uri: str, folders: tuple[str, ...]) -> str | None:
    """Return the longest allowed folder that holds the path of a file:// uri."""
    path = PurePosixPath(unquote(urlsplit(uri).path))
    holding = [folder for folder in folders if path.is_relative_to(folder)]
    return max(holding, key=len, default=None)
