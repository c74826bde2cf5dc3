"""Samples of an endpoint, read from Envoy's own series.

Envoy keeps histograms in bins of two significant digits. Its Prometheus text rounds these to far
fewer, so they are asked for as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from math import log
from typing import Any, Final
from urllib.parse import quote

from puna_router.control.admin import Admin
from puna_router.samples import EndpointSamples, RevisionSamples, Spread

SHORTEST: Final = 0.5
"""Milliseconds that a value of 0 counts as: it has no logarithm."""
LEFT: Final = "0"
"""Code of a request whose client left before the answer."""
_COUNTERS: Final = {
    "abandoned_requests": "abandoned",
    "failed_requests": "failed",
    "limited_requests": "limited",
    "generated_tokens": "generated_tokens",
    "generation_milliseconds": "generation_milliseconds",
}
_HISTOGRAMS: Final = {
    "duration": "duration",
    "time_to_first_token": "time_to_first_token",
    "inter_token": "token_time",
}
_REVISION: Final = "[0-9a-f]{8}"
_BOOTSTRAP: Final = f"/config_dump?mask=last_updated&name_regex={quote('^$')}"
"""When Envoy read its bootstrap document, which it does once, and nothing of anything else."""


async def read_samples(
    admin: Admin, served: Mapping[str, Iterable[str]]
) -> dict[str, EndpointSamples]:
    """What Envoy has counted of endpoints' revisions, those that it serves among them.

    Raises:
        AdminError: Envoy does not answer.
    """
    # The start first: if Envoy starts anew meanwhile, its counters have fallen, which shows.
    bootstrap = json.loads(await admin.get(_BOOTSTRAP))["configs"][0]
    info = json.loads(await admin.get("/server_info"))
    names = "|".join(map(re.escape, served))
    pattern = quote(rf"^puna\..*\.revision\.({names})-{_REVISION}(\.|$)")
    stats = await admin.get(f"/stats?format=json&histogram_buckets=detailed&filter={pattern}")
    document = json.loads(stats)
    return {
        endpoint: EndpointSamples(
            uptime_seconds=float(info["uptime_current_epoch"].removesuffix("s")),
            start=bootstrap["last_updated"],
            revisions=parse(document, endpoint, revisions),
        )
        for endpoint, revisions in served.items()
    }


def parse(
    document: Mapping[str, Any], endpoint: str, served: Iterable[str]
) -> dict[str, RevisionSamples]:
    """Samples by revision, from Envoy's JSON.

    One that is served no more may be served again, so all that was counted is told.
    """
    names = _names(endpoint)
    counts: dict[str, dict[str, Any]] = {revision: {} for revision in served}
    for stat in document["stats"]:
        for histogram in stat.get("histograms", {}).get("details", ()):
            found = names.fullmatch(histogram["name"])
            if found and found["name"] in _HISTOGRAMS:
                of = counts.setdefault(found["revision"], {})
                of[_HISTOGRAMS[found["name"]]] = _spread(histogram.get("totals", ()))
        found = names.fullmatch(stat.get("name", ""))
        if found is None:
            continue
        is_answered = found["name"] == "requests" and found["code"] != LEFT
        member = "requests" if is_answered else _COUNTERS.get(found["name"])
        if member is not None:
            of = counts.setdefault(found["revision"], {})
            of[member] = of.get(member, 0) + stat["value"]
    return {revision: _samples(**members) for revision, members in counts.items()}


def _samples(
    *, requests: int = 0, abandoned: int = 0, limited: int = 0, **members: Any
) -> RevisionSamples:
    """What was counted, without requests that limits of their key refused: Envoy counts all."""
    return RevisionSamples(requests=max(0, requests + abandoned - limited), **members)


def _names(endpoint: str) -> re.Pattern[str]:
    """Names of the series of an endpoint's revisions, and of no endpoint with a longer name."""
    return re.compile(
        rf"puna\.(?P<name>[^.]+)\..*\.?revision\.{re.escape(endpoint)}-(?P<revision>{_REVISION})"
        r"(\.key\.[^.]*)?(\.code\.(?P<code>\d+))?"
    )


def _spread(bins: Iterable[Mapping[str, Any]]) -> Spread:
    """Sums over the middles of bins, whose width is a tenth of their value or less."""
    count, logs, squares = 0, 0.0, 0.0
    for item in bins:
        value = log(max(item["lower_bound"] + item["width"] / 2, SHORTEST))
        count += item["count"]
        logs += item["count"] * value
        squares += item["count"] * value * value
    return Spread(count=count, logs=round(logs, 6), squares=round(squares, 6))
