"""The Grafana dashboard of routers and operator.

Panels are declared as data below and turned into Grafana's JSON by its own library.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TimeZoneBrowser,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

UID: Final = "puna"
TITLE: Final = "Puna"
WIDTH: Final = 24
"""Columns of Grafana's grid."""
DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
NAMESPACE: Final = 'namespace=~"$namespace"'
ENDPOINT: Final = f'{NAMESPACE}, endpoint=~"$endpoint"'
REVISION: Final = f'{NAMESPACE}, revision=~"($endpoint)-[0-9a-f]{{8}}"'
"""Revisions of the chosen endpoints: of what knows its revision only."""
PER_ENDPOINT: Final = "{{namespace}}/{{endpoint}}"
PER_REVISION: Final = "{{namespace}}/{{revision}}"
PER_RUN: Final = "{{namespace}}/{{name}}"
SECONDS: Final = "s"
RATIO: Final = "percentunit"
REQUESTS: Final = "reqps"
PER_SECOND: Final = "cps"
PLAIN: Final = "short"
BYTES: Final = "bytes"


class Query(NamedTuple):
    """One query, and what its series are called."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Graph:
    """One panel of values over time."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str = ""
    stacked: bool = False
    limit: float | None = None
    """Value from which on it is drawn red."""


@dataclass(frozen=True, slots=True)
class Number:
    """One panel of the newest value."""

    title: str
    unit: str
    expression: str
    description: str = ""
    limit: float | None = None
    """Value from which on it is red."""


@dataclass(frozen=True, slots=True)
class Section:
    """One row of the dashboard."""

    title: str
    panels: tuple[Graph | Number, ...]
    columns: int = 3


def rate(metric: str, selector: str, *labels: str) -> str:
    """Return the rate of a counter, summed by labels."""
    return f"sum by ({', '.join(labels)}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def total(metric: str, selector: str, *labels: str) -> str:
    """Return the sum of a gauge by labels."""
    return f"sum by ({', '.join(labels)}) ({metric}{{{selector}}})"


def quantiles(histogram: str, selector: str, *labels: str, legend: str) -> tuple[Query, ...]:
    """Return the 50th, 95th and 99th percentile of a histogram."""
    buckets = rate(f"{histogram}_bucket", selector, *labels, "le")
    return tuple(
        Query(f"histogram_quantile({share}, {buckets})", f"{legend} {name}")
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    )


def _of_endpoint(metric: str, more: str = "") -> str:
    return rate(metric, f"{ENDPOINT}{more}", "namespace", "endpoint")


def _of_run(number: str, of: str = "") -> Query:
    """Return the query of one number of every training run."""
    metric = f"puna_training_{number}{{{NAMESPACE}}}"
    return Query(f"max by (namespace, name) ({metric})", PER_RUN + of)


KEYED: Final = f'{ENDPOINT}, key!="none"'
ERRORS: Final = ', code=~"5.."'
SECTIONS: Final = (
    Section(
        "Now",
        (
            Number("Requests", REQUESTS, f"sum({_of_endpoint('puna_router_requests_total')})"),
            Number(
                "Errors",
                RATIO,
                f"(sum({_of_endpoint('puna_router_requests_total', ERRORS)}) or vector(0)) "
                f"/ sum({_of_endpoint('puna_router_requests_total')})",
                "Share of requests that end with a status of 500 to 599.",
                limit=0.05,
            ),
            Number("Waiting", PLAIN, f"sum(puna_router_queue_depth{{{ENDPOINT}}})"),
            Number(
                "Busy slots",
                RATIO,
                f"sum(puna_router_slots_busy{{{ENDPOINT}}}) / sum(puna_router_slots{{{ENDPOINT}}})",
            ),
            Number(
                "Backends away",
                PLAIN,
                f"sum(puna_router_backends{{{REVISION}}}) "
                f"- sum(puna_router_backends_healthy{{{REVISION}}})",
                "Backends that get no requests, once for each router that finds so.",
                limit=1,
            ),
            Number(
                "Pickers away",
                PLAIN,
                f"count(puna_router_picker_up{{{NAMESPACE}}}) "
                f"- sum(puna_router_picker_up{{{NAMESPACE}}})",
                limit=1,
            ),
        ),
        columns=6,
    ),
    Section(
        "Requests",
        (
            Graph(
                "Requests by endpoint",
                REQUESTS,
                (Query(_of_endpoint("puna_router_requests_total"), PER_ENDPOINT),),
                "Endpoint none: the router answered itself.",
            ),
            Graph(
                "Requests by status",
                REQUESTS,
                (Query(rate("puna_router_requests_total", ENDPOINT, "code"), "{{code}}"),),
                "Code 0: the client left before the answer.",
                stacked=True,
            ),
            Graph(
                "Errors",
                RATIO,
                (
                    Query(
                        f"{_of_endpoint('puna_router_requests_total', ERRORS)} "
                        f"/ {_of_endpoint('puna_router_requests_total')}",
                        PER_ENDPOINT,
                    ),
                ),
                "Share of requests that end with a status of 500 to 599.",
                limit=0.05,
            ),
            Graph(
                "Requests by pool",
                REQUESTS,
                (
                    Query(
                        rate("puna_router_requests_total", ENDPOINT, "namespace", "pool"),
                        "{{namespace}}/{{pool}}",
                    ),
                ),
            ),
            Graph(
                "Requests and connections under way",
                PLAIN,
                (
                    Query(
                        total("puna_router_requests_active", NAMESPACE, "namespace"),
                        "{{namespace}} requests",
                    ),
                    Query(
                        total("puna_router_connections_active", NAMESPACE, "namespace"),
                        "{{namespace}} connections",
                    ),
                ),
            ),
            Graph(
                "Refusals by reason",
                REQUESTS,
                (
                    Query(
                        rate(
                            "puna_router_refused_total",
                            ENDPOINT,
                            *("namespace", "endpoint", "reason"),
                        ),
                        f"{PER_ENDPOINT} {{{{reason}}}}",
                    ),
                ),
                "Of the picker.",
                stacked=True,
            ),
        ),
    ),
    Section(
        "Latency",
        (
            Graph(
                "Time to first token",
                SECONDS,
                quantiles(
                    "puna_router_time_to_first_token_seconds",
                    ENDPOINT,
                    *("namespace", "endpoint"),
                    legend=PER_ENDPOINT,
                ),
                "From a request's first byte to the first byte of its answer's body; of an answer "
                "that is no stream, the whole time.",
            ),
            Graph(
                "Time between tokens",
                SECONDS,
                quantiles(
                    "puna_router_inter_token_seconds",
                    ENDPOINT,
                    *("namespace", "endpoint"),
                    legend=PER_ENDPOINT,
                ),
                "Mean of each answer.",
            ),
            Graph(
                "Duration of requests",
                SECONDS,
                quantiles(
                    "puna_router_request_duration_seconds",
                    ENDPOINT,
                    *("namespace", "endpoint"),
                    legend=PER_ENDPOINT,
                ),
            ),
        ),
    ),
    Section(
        "Queue and slots",
        (
            Graph(
                "Wait for a slot",
                SECONDS,
                quantiles(
                    "puna_router_queue_wait_seconds",
                    ENDPOINT,
                    *("namespace", "endpoint"),
                    legend=PER_ENDPOINT,
                ),
            ),
            Graph(
                "Queue",
                PLAIN,
                (
                    Query(
                        total("puna_router_queue_depth", ENDPOINT, "namespace", "endpoint"),
                        f"{PER_ENDPOINT} waiting",
                    ),
                    Query(
                        total("puna_router_queue_limit", ENDPOINT, "namespace", "endpoint"),
                        f"{PER_ENDPOINT} places",
                    ),
                ),
            ),
            Graph(
                "Slots",
                PLAIN,
                (
                    Query(
                        total("puna_router_slots_busy", ENDPOINT, "namespace", "endpoint"),
                        f"{PER_ENDPOINT} busy",
                    ),
                    Query(
                        total("puna_router_slots", ENDPOINT, "namespace", "endpoint"),
                        f"{PER_ENDPOINT} all",
                    ),
                ),
            ),
            Graph(
                "Requests that got a slot, or left",
                REQUESTS,
                (
                    Query(_of_endpoint("puna_router_picked_total"), f"{PER_ENDPOINT} got one"),
                    Query(_of_endpoint("puna_router_queue_left_total"), f"{PER_ENDPOINT} left"),
                ),
                "Clients that left while they waited.",
            ),
        ),
        columns=4,
    ),
    Section(
        "Backends and revisions",
        (
            Graph(
                "Healthy backends",
                PLAIN,
                (
                    Query(
                        "min by (namespace, revision) "
                        f"(puna_router_backends_healthy{{{REVISION}}})",
                        f"{PER_REVISION} healthy",
                    ),
                    Query(
                        f"max by (namespace, revision) (puna_router_backends{{{REVISION}}})",
                        f"{PER_REVISION} all",
                    ),
                    Query(
                        f"max by (namespace, revision) (puna_router_backends_ejected{{{REVISION}}})"
                        " > 0",
                        f"{PER_REVISION} ejected",
                    ),
                ),
                "As the router sees them that sees the fewest.",
            ),
            Graph(
                "Traffic by revision",
                RATIO,
                (
                    Query(
                        rate(
                            "puna_router_requests_total",
                            f'{ENDPOINT}, revision!="none"',
                            *("namespace", "endpoint", "revision"),
                        )
                        + " / ignoring (revision) group_left () "
                        + rate(
                            "puna_router_requests_total",
                            f'{ENDPOINT}, revision!="none"',
                            *("namespace", "endpoint"),
                        ),
                        PER_REVISION,
                    ),
                ),
                "Share of the requests that each revision of an endpoint got: what a canary's "
                "weight came to.",
                stacked=True,
            ),
            Graph(
                "Errors by revision",
                RATIO,
                (
                    Query(
                        rate(
                            "puna_router_requests_total",
                            f'{ENDPOINT}, revision!="none"{ERRORS}',
                            *("namespace", "revision"),
                        )
                        + " / "
                        + rate(
                            "puna_router_requests_total",
                            f'{ENDPOINT}, revision!="none"',
                            *("namespace", "revision"),
                        ),
                        PER_REVISION,
                    ),
                ),
                limit=0.05,
            ),
            Graph(
                "Requests under way by revision",
                PLAIN,
                (
                    Query(
                        total(
                            "puna_router_backend_requests_active",
                            REVISION,
                            *("namespace", "revision"),
                        ),
                        PER_REVISION,
                    ),
                ),
            ),
            Graph(
                "Further attempts",
                REQUESTS,
                (
                    Query(
                        rate("puna_router_retries_total", REVISION, "namespace", "revision"),
                        PER_REVISION,
                    ),
                ),
                "On another backend, before the first byte of the answer.",
            ),
            Graph(
                "Connections not taken",
                PER_SECOND,
                (
                    Query(
                        rate(
                            "puna_router_connect_failures_total",
                            REVISION,
                            *("namespace", "revision"),
                        ),
                        PER_REVISION,
                    ),
                ),
            ),
        ),
    ),
    Section(
        "Tokens",
        (
            Graph(
                "Tokens",
                PER_SECOND,
                (
                    Query(
                        _of_endpoint("puna_router_prompt_tokens_total"), f"{PER_ENDPOINT} prompt"
                    ),
                    Query(
                        _of_endpoint("puna_router_cached_tokens_total"), f"{PER_ENDPOINT} cached"
                    ),
                    Query(
                        _of_endpoint("puna_router_generated_tokens_total"),
                        f"{PER_ENDPOINT} generated",
                    ),
                ),
                "Tokens per second: evaluated of prompts, taken from the cache, generated.",
            ),
            Graph(
                "Speed of one stream",
                PER_SECOND,
                (
                    Query(
                        f"{_of_endpoint('puna_router_generated_tokens_total')} "
                        f"/ {_of_endpoint('puna_router_generation_seconds_total')}",
                        PER_ENDPOINT,
                    ),
                ),
                "Tokens generated per second of generation.",
            ),
            Graph(
                "Prompts taken from the cache",
                RATIO,
                (
                    Query(
                        f"{_of_endpoint('puna_router_cached_tokens_total')} / "
                        f"({_of_endpoint('puna_router_cached_tokens_total')} "
                        f"+ {_of_endpoint('puna_router_prompt_tokens_total')})",
                        f"{PER_ENDPOINT} tokens",
                    ),
                    Query(
                        f"{_of_endpoint('puna_router_prefix_hits_total')} / "
                        f"({_of_endpoint('puna_router_prefix_hits_total')} "
                        f"+ {_of_endpoint('puna_router_prefix_misses_total')})",
                        f"{PER_ENDPOINT} requests",
                    ),
                ),
                "Share of prompt tokens that llama-server had in its cache, and of requests that "
                "went to a server which had read the beginning of their prompt.",
            ),
        ),
    ),
    Section(
        "API keys",
        tuple(
            Graph(
                f"{title} by API key",
                unit,
                (
                    Query(
                        f"topk(10, {rate(metric, KEYED, 'namespace', 'key')})",
                        "{{namespace}}/{{key}}",
                    ),
                ),
                "The ten that use most.",
            )
            for title, unit, metric in (
                ("Requests", REQUESTS, "puna_router_requests_total"),
                ("Prompt tokens", PER_SECOND, "puna_router_prompt_tokens_total"),
                ("Generated tokens", PER_SECOND, "puna_router_generated_tokens_total"),
            )
        ),
    ),
    Section(
        "Routers",
        (
            Graph(
                "Pickers",
                PLAIN,
                (Query(f"puna_router_picker_up{{{NAMESPACE}}}", "{{namespace}}/{{pod}}"),),
                "1 while the picker answers.",
            ),
            Graph(
                "Requests past the picker",
                REQUESTS,
                (
                    Query(
                        rate("puna_router_picker_bypassed_total", NAMESPACE, "namespace"),
                        "{{namespace}}",
                    ),
                ),
            ),
            Graph(
                "Refused configuration",
                PLAIN,
                (
                    Query(
                        f"max by (namespace) (puna_router_documents_rejected{{{NAMESPACE}}})",
                        "{{namespace}} documents",
                    ),
                    Query(
                        "sum by (namespace) (increase("
                        f"puna_router_publications_refused_total{{{NAMESPACE}}}[$__rate_interval]))",
                        "{{namespace}} publications",
                    ),
                ),
                "Documents that routers refuse now, and publications that a running Envoy refused.",
            ),
            Graph(
                "Time of a publication",
                SECONDS,
                quantiles(
                    "puna_router_publication_duration_seconds",
                    NAMESPACE,
                    "namespace",
                    legend="{{namespace}}",
                ),
                "From a change to Envoy's acknowledgement.",
            ),
            Graph(
                "Memory of Envoy",
                BYTES,
                (Query(f"puna_router_envoy_memory_bytes{{{NAMESPACE}}}", "{{namespace}}/{{pod}}"),),
            ),
            Graph(
                "Age of Envoy",
                SECONDS,
                (
                    Query(
                        f"puna_router_envoy_uptime_seconds{{{NAMESPACE}}}", "{{namespace}}/{{pod}}"
                    ),
                ),
            ),
        ),
    ),
    Section(
        "Training",
        (
            Graph(
                "Training runs by state",
                PLAIN,
                (Query("sum by (state) (puna_training_jobs)", "{{state}}"),),
                stacked=True,
            ),
            Graph(
                "Training runs that failed",
                PLAIN,
                (
                    Query(
                        "count by (namespace, reason) "
                        f"(puna_training_failed_timestamp_seconds{{{NAMESPACE}}})",
                        "{{namespace}} {{reason}}",
                    ),
                ),
                "By the reason of condition Failed, as long as the TrainingJob is there.",
                stacked=True,
            ),
            Graph(
                "Silence of training",
                SECONDS,
                (
                    Query(
                        "time() - max by (namespace, name) "
                        f"(puna_training_progress_timestamp_seconds{{{NAMESPACE}}})",
                        PER_RUN,
                    ),
                ),
                "Time since a run told its progress.",
                limit=1800,
            ),
            Graph(
                "Attempts that ended too early",
                PLAIN,
                (
                    Query(
                        total("puna_training_retries", NAMESPACE, "namespace", "name", "kind"),
                        f"{PER_RUN} {{{{kind}}}}",
                    ),
                ),
                "counted: failures, which backoffLimit bounds; ignored: disruptions.",
            ),
            Graph("Loss", PLAIN, (_of_run("loss"),)),
            Graph("Validation loss", PLAIN, (_of_run("validation_loss"),)),
            Graph("Steps", PLAIN, (_of_run("step"),)),
            Graph(
                "Speed of training",
                PER_SECOND,
                (
                    _of_run("tokens_per_second", " tokens"),
                    _of_run("images_per_second", " images"),
                ),
            ),
            Graph(
                "Time left",
                SECONDS,
                (_of_run("eta_seconds"),),
                "Until the present stage is done.",
            ),
        ),
    ),
    Section(
        "Operator",
        (
            Graph(
                "Endpoints by Ready",
                PLAIN,
                (Query("sum by (ready) (puna_endpoints)", "{{ready}}"),),
                "An endpoint with 0 replicas is not Ready, nor is one during a canary.",
                stacked=True,
            ),
            Graph(
                "Passes by result",
                PER_SECOND,
                (
                    Query(
                        "sum by (kind, result) (rate(puna_reconcile_total[$__rate_interval]))",
                        "{{kind}} {{result}}",
                    ),
                ),
                "retry: the API server was busy or away; rejected: it refused a child; "
                "error: a bug.",
            ),
            Graph(
                "Time of a pass",
                SECONDS,
                tuple(
                    Query(
                        f"histogram_quantile({share}, sum by (kind, le) "
                        "(rate(puna_reconcile_duration_seconds_bucket[$__rate_interval])))",
                        f"{{{{kind}}}} {name}",
                    )
                    for name, share in (("p50", 0.5), ("p99", 0.99))
                ),
            ),
            Graph(
                "Resources that wait for a worker",
                PLAIN,
                (Query("sum(puna_queue_depth)", "resources"),),
            ),
            Graph(
                "Longest wait for a worker",
                SECONDS,
                (Query("max(puna_queue_oldest_seconds)", "oldest"),),
                limit=15,
            ),
            Graph(
                "Requests to the API server",
                REQUESTS,
                (
                    Query(
                        "sum by (verb, code) (rate(puna_api_requests_total[$__rate_interval]))",
                        "{{verb}} {{code}}",
                    ),
                ),
            ),
            Graph(
                "Lost watches and Events",
                PER_SECOND,
                (
                    Query(
                        "sum by (kind) (rate(puna_watch_restarts_total[$__rate_interval]))",
                        "watch of {{kind}}",
                    ),
                    Query("sum(rate(puna_events_dropped_total[$__rate_interval]))", "Events"),
                ),
            ),
            Graph(
                "Objects in memory",
                PLAIN,
                (Query("sum by (kind) (puna_objects)", "{{kind}}"),),
                stacked=True,
            ),
        ),
        columns=4,
    ),
)
VARIABLES: Final = (
    ("namespace", "Namespace", "label_values(puna_router_endpoints, namespace)"),
    (
        "endpoint",
        "Endpoint",
        f"label_values(puna_router_queue_limit{{{NAMESPACE}}}, endpoint)",
    ),
)
"""Name, title and query of the variables; they hold all values unless some are chosen."""


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it."""
    found = (
        dashboard.Dashboard(TITLE)
        .uid(UID)
        .description("Local language models: endpoints, routers, training and operator of Puna.")
        .tags(["puna", "llm"])
        .timezone(TimeZoneBrowser)
        .time("now-3h", "now")
        .refresh("1m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for name, title, query in VARIABLES:
        found = found.with_variable(_variable(name, title, query))
    numbers = count(1)
    for section in SECTIONS:
        found = found.with_row(dashboard.Row(section.title).id(next(numbers)))
        for panel in section.panels:
            found = found.with_panel(_panel(panel, next(numbers), WIDTH // section.columns))
    return JSONEncoder(sort_keys=True, indent=2).encode(found.build()) + "\n"


def _variable(name: str, title: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(title)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _panel(panel: Graph | Number, number: int, width: int) -> timeseries.Panel | stat.Panel:
    return (
        _number(panel, number, width) if isinstance(panel, Number) else _graph(panel, number, width)
    )


def _number(panel: Number, number: int, width: int) -> stat.Panel:
    return (
        stat.Panel()
        .id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(DATASOURCE)
        .unit(panel.unit)
        .span(width)
        .height(4)
        .no_value("-")
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(panel.limit))
        .with_target(_target(Query(panel.expression, ""), "A"))
    )


def _graph(panel: Graph, number: int, width: int) -> timeseries.Panel:
    found = (
        timeseries.Panel()
        .id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(DATASOURCE)
        .unit(panel.unit)
        .span(width)
        .height(8)
        .min(0)
        .fill_opacity(20 if panel.stacked else 0)
        .show_points(VisibilityMode.NEVER)
        .thresholds(_thresholds(panel.limit))
        .legend(
            common.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(
            common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
    )
    if panel.stacked:
        found = found.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if panel.limit is not None:
        found = found.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    for query, reference in zip(panel.queries, "ABCDEF", strict=False):
        found = found.with_target(_target(query, reference))
    return found


def _target(query: Query, reference: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .expr(query.expression)
        .range()
        .legend_format(query.legend)
        .ref_id(reference)
    )


def _thresholds(limit: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if limit is not None:
        steps.append(Threshold(value=limit, color="red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
