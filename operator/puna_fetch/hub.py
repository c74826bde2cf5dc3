"""Where a file of the Hugging Face hub is downloaded from.

The hub's library says the address, also for a mirror named by HF_ENDPOINT. The bytes come through
our own client, under the same rules as any other address: the library would follow redirects
wherever they lead.
"""

from __future__ import annotations

from puna_fetch.hub_uri import parse_hub_uri
from puna_fetch.url import Url, parse_url


def hub_url(uri: str) -> Url:
    """The address that serves the file of an `hf://` uri.

    Raises:
        ValueError: the uri or HF_ENDPOINT is malformed.
    """
    from huggingface_hub import hf_hub_url  # noqa: PLC0415 - slow to import, and needed here alone

    file = parse_hub_uri(uri)
    return parse_url(hf_hub_url(file.repository, file.path, revision=file.revision))
