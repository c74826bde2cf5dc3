"""Alert rules and their runbook: one declaration for both.

Counters are read through `rate` or `increase` alone. A counter that has counted nothing yet may
have no series, and neither has an endpoint that is gone: a comparison with no series is no alert,
so every rule that is about something missing says so with `absent`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent
from typing import Any, Final

import yaml

from hack.generate.markdown import NOTE, code, table

HEADER: Final = "# Generated from hack/generate/alerts.py by `make generate`. Do not edit.\n"
PAGE: Final = "docs/alerts.md"
WIDTH: Final = 10_000
"""Characters in a line: no text is broken, for its templates stay readable then."""
ROUTER_JOB: Final = "puna-router"
"""Value of label `job` that the chart's PodMonitor gives the routers' series."""
ENDPOINT_OF_REVISION: Final = '"endpoint", "$1", "revision", "(.+)-[0-9a-f]{8}"'
"""Arguments of `label_replace`: label `revision` is the endpoint's name and eight hex digits."""


class Severity(StrEnum):
    """Who has to know."""

    CRITICAL = "critical"
    """Requests fail, or nobody can see whether they do: somebody has to look now."""
    WARNING = "warning"
    """Requests are answered, but not as they should be: somebody has to look today."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert."""

    name: str
    expression: str
    """PromQL; each series of its result is one alert."""
    pending: str
    """Time for which the expression has to hold."""
    severity: Severity
    summary: str
    description: str
    """Template of Prometheus: what is told of one series."""
    meaning: str
    remedy: tuple[str, ...]
    """What to look at and do, in this order."""

    @property
    def runbook(self) -> str:
        """Place in the documentation."""
        return f"{PAGE}#{self.name.lower()}"

    @property
    def promql(self) -> str:
        """The expression without indentation."""
        return dedent(self.expression).strip()

    def to_rule(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.promql,
            "for": self.pending,
            "labels": {"severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook": self.runbook,
            },
        }


OF_ENDPOINTS: Final = (
    Alert(
        name="PunaEndpointWithoutBackends",
        expression=f"""
            min by (namespace, endpoint) (
              sum by (namespace, instance, endpoint) (
                label_replace(puna_router_backends_healthy, {ENDPOINT_OF_REVISION})
              )
            ) == 0
            and on (namespace, endpoint) (
              sum by (namespace, endpoint) (
                label_replace(puna_router_backends, {ENDPOINT_OF_REVISION})
              ) > 0
              or
              sum by (namespace, endpoint) (puna_router_queue_depth) > 0
              or
              sum by (namespace, endpoint) (
                rate(puna_router_requests_total{{code=~"429|503"}}[5m])
              ) > 0
            )
        """,
        pending="5m",
        severity=Severity.CRITICAL,
        summary="An endpoint has no healthy backend.",
        description="A router of namespace {{ $labels.namespace }} has no healthy backend for "
        "endpoint {{ $labels.endpoint }}.",
        meaning="Nobody answers for the endpoint, and it has backends or clients ask for it. "
        "An endpoint with 0 replicas that nobody asks for is no alert; neither is one whose Pods "
        "are all away while nobody asks, because routers cannot tell the two apart.",
        remedy=(
            (
                "`kubectl --namespace NAMESPACE describe llme ENDPOINT`: the conditions say what "
                "Pods wait for, and Events what happened."
            ),
            (
                "`kubectl --namespace NAMESPACE logs --selector puna.dev/endpoint=ENDPOINT "
                "--all-containers --prefix`: the last words of llama-server."
            ),
            (
                "Pods are Ready and still not healthy: Envoy's check of `/health` fails. "
                "`GET /state` at port 9090 of the router tells the health of each; a NetworkPolicy "
                "between router and servers is the usual cause."
            ),
            (
                "A change caused it: `puna abort ENDPOINT` ends a canary, the former spec brings "
                "the former revision back."
            ),
        ),
    ),
    Alert(
        name="PunaErrorRatioHigh",
        expression="""
            sum by (namespace, endpoint) (
              rate(puna_router_requests_total{endpoint!="none", code=~"5.."}[5m])
            )
            /
            sum by (namespace, endpoint) (rate(puna_router_requests_total{endpoint!="none"}[5m]))
            > 0.05
        """,
        pending="10m",
        severity=Severity.CRITICAL,
        summary="More than 5% of an endpoint's requests fail.",
        description="{{ $value | humanizePercentage }} of the requests for endpoint "
        "{{ $labels.endpoint }} in namespace {{ $labels.namespace }} end with a status of 500 "
        "to 599.",
        meaning="Servers fail or break off. Refusals with 429 do not count, nor do clients that "
        "leave (code 0).",
        remedy=(
            (
                "Panel *Requests by status* tells the status: 502 and 503 are the router's (see "
                "[reasons](router.md#http-surface)), 504 is silence for `idleTimeoutSeconds`, 500 "
                "is llama-server's own."
            ),
            (
                "The access log of the router's container `envoy` names `backend`, `reason` and "
                "`details` of each request."
            ),
            "Only one `revision` fails: `puna abort ENDPOINT` if it is a canary's.",
        ),
    ),
    Alert(
        name="PunaFirstTokenSlow",
        expression="""
            histogram_quantile(
              0.95,
              sum by (namespace, endpoint, le) (
                rate(puna_router_time_to_first_token_seconds_bucket[10m])
              )
            ) > 30
        """,
        pending="15m",
        severity=Severity.WARNING,
        summary="Clients wait for more than 30 s for the first token.",
        description="5% of the requests for endpoint {{ $labels.endpoint }} in namespace "
        "{{ $labels.namespace }} wait for more than {{ $value | humanizeDuration }} for the first "
        "byte of their answer.",
        meaning="95th percentile, waits in the queue and the reading of the prompt included. An "
        "answer that is no stream comes as a whole: for such clients it is the whole time.",
        remedy=(
            (
                "Panel *Wait for a slot* is high too: there are too few slots. Add replicas, or "
                "`server.slots` where memory allows."
            ),
            (
                "It is not: prompts are long or read anew. See panel *Prompts taken from the "
                "cache*; strategy `PrefixAffinity` sends the turns of a conversation to one server."
            ),
            (
                "*Time between tokens* is high too: the device is too slow for the model, or "
                "others use it."
            ),
        ),
    ),
    Alert(
        name="PunaQueueNearlyFull",
        expression="""
            max by (namespace, endpoint) (
              puna_router_queue_depth / (puna_router_queue_limit > 0)
            ) > 0.8
        """,
        pending="5m",
        severity=Severity.WARNING,
        summary="An endpoint's queue is more than 80% full.",
        description="{{ $value | humanizePercentage }} of the places to wait for endpoint "
        "{{ $labels.endpoint }} in namespace {{ $labels.namespace }} are taken in a router.",
        meaning="Every slot is busy, and soon requests are refused with `429 queue_full`. Each "
        "router has its share of the places; the fullest one counts.",
        remedy=(
            "Panels *Slots* and *Healthy backends*: a server that is away takes its slots with it.",
            (
                "Panel *Requests by API key*: one client may be the cause. Give its key limits "
                "([keys](keys.md#limits))."
            ),
            (
                "Otherwise add replicas. A longer queue (`routing.queue.maxDepth`) helps against "
                "bursts only."
            ),
        ),
    ),
    Alert(
        name="PunaRequestsRefused",
        expression="""
            sum by (namespace, endpoint) (
              rate(puna_router_refused_total{reason=~"queue_full|queue_timeout"}[5m])
            )
            /
            sum by (namespace, endpoint) (rate(puna_router_requests_total[5m]))
            > 0.05
        """,
        pending="10m",
        severity=Severity.WARNING,
        summary="More than 5% of an endpoint's requests find no slot.",
        description="{{ $value | humanizePercentage }} of the requests for endpoint "
        "{{ $labels.endpoint }} in namespace {{ $labels.namespace }} are refused because the "
        "queue is full or the wait too long.",
        meaning="Clients get 429 with reason `queue_full` or `queue_timeout`. Refusals because of "
        "a key's limits do not count: they are what the limit is for.",
        remedy=(
            "As for [PunaQueueNearlyFull](#punaqueuenearlyfull).",
            (
                "`queue_timeout` alone: requests take longer than `routing.queue.timeoutSeconds` "
                "lets others wait for them."
            ),
        ),
    ),
    Alert(
        name="PunaBackendsEjected",
        expression="max by (namespace, revision) (puna_router_backends_ejected) > 0",
        pending="5m",
        severity=Severity.WARNING,
        summary="Backends refuse connections.",
        description="Backends of revision {{ $labels.revision }} in namespace "
        "{{ $labels.namespace }} that refused connections and get no requests: {{ $value }}.",
        meaning="A server refused two connections in a row, and again whenever it was tried. The "
        "others do its work.",
        remedy=(
            (
                "`kubectl --namespace NAMESPACE get pods --selector puna.dev/endpoint=ENDPOINT`: "
                "a server that restarts, or a node that cannot be reached."
            ),
            "External servers (`externalEndpoints`) are among them: look at these by hand.",
        ),
    ),
)
OF_ROUTERS: Final = (
    Alert(
        name="PunaRouterDown",
        expression=f'up{{job="{ROUTER_JOB}"}} == 0',
        pending="5m",
        severity=Severity.CRITICAL,
        summary="A router does not answer Prometheus.",
        description="Router {{ $labels.pod }} in namespace {{ $labels.namespace }} has not been "
        "scraped for 5 minutes.",
        meaning="The Pod is there, but its control process does not answer at port 9090. Envoy "
        "beside it may still serve, with the configuration of before.",
        remedy=(
            "`kubectl --namespace NAMESPACE describe pod POD` and the log of container `control`.",
            "Other routers are scraped: a NetworkPolicy keeps Prometheus out of this namespace.",
        ),
    ),
    Alert(
        name="PunaRoutersAbsent",
        expression="absent(puna_router_endpoints) and on () sum(puna_endpoints) > 0",
        pending="10m",
        severity=Severity.CRITICAL,
        summary="There are endpoints, but no router is scraped.",
        description="No series of a router have come for 10 minutes, although there are "
        "LLMEndpoints.",
        meaning="No router runs, or Prometheus does not scrape them: then no other alert of "
        "endpoints and routers can fire.",
        remedy=(
            "`kubectl get pods --all-namespaces --selector app.kubernetes.io/component=router`.",
            (
                "They run: `metrics.podMonitor.enabled` of the chart is off, its labels are not "
                "what Prometheus selects by, or Prometheus may not look into these namespaces."
            ),
            "There are none: see the log of the operator.",
        ),
    ),
    Alert(
        name="PunaPickerDown",
        expression="puna_router_picker_up == 0",
        pending="2m",
        severity=Severity.WARNING,
        summary="A router runs without its picker.",
        description="The picker of router {{ $labels.pod }} in namespace {{ $labels.namespace }} "
        "does not answer.",
        meaning="Envoy balances by itself: requests are answered, but wait inside llama-server "
        "without a bound, and limits of tokens and concurrency of keys are not held.",
        remedy=(
            (
                "A guard starts a picker that dies or hangs within seconds; if it cannot, the log "
                "of container `picker` says why."
            ),
            "It is killed for its memory: raise `router.resources.picker`.",
        ),
    ),
    Alert(
        name="PunaPickerBypassed",
        expression="""
            sum by (namespace) (rate(puna_router_picker_bypassed_total[5m]))
            /
            sum by (namespace) (rate(puna_router_requests_total[5m]))
            > 0.01
            unless on (namespace) puna_router_picker_up == 0
        """,
        pending="10m",
        severity=Severity.WARNING,
        summary="Requests go past a picker that is too slow.",
        description="{{ $value | humanizePercentage }} of the requests in namespace "
        "{{ $labels.namespace }} went past the picker, which did not answer in time.",
        meaning="The picker runs but does not keep up. What goes past it is not counted in "
        "queue and slots.",
        remedy=(
            (
                "CPU of container `picker` is at its limit: raise `router.resources.picker`, or "
                "`router.replicas`."
            ),
            "The node is overloaded: give routers nodes of their own (`router.nodeSelector`).",
        ),
    ),
    Alert(
        name="PunaDocumentsRejected",
        expression="max by (namespace) (puna_router_documents_rejected) > 0",
        pending="5m",
        severity=Severity.WARNING,
        summary="Routers refuse the newest configuration of endpoints.",
        description="Endpoints of namespace {{ $labels.namespace }} whose newest configuration "
        "routers refuse: {{ $value }}. The last good one serves.",
        meaning="Envoy does not take what the operator made of the spec. Requests are answered "
        "as before the change.",
        remedy=(
            (
                "`kubectl --namespace NAMESPACE get llme`, then `describe`: condition `Ready` with "
                "reason `RouterRejected` carries Envoy's words."
            ),
            "Undo the change. What the API server accepts a router should too: report it.",
        ),
    ),
    Alert(
        name="PunaPublicationsRefused",
        expression="""
            sum by (namespace) (increase(puna_router_publications_refused_total[15m])) > 0
        """,
        pending="5m",
        severity=Severity.WARNING,
        summary="The running Envoy refuses what it had validated.",
        description="Envoy in namespace {{ $labels.namespace }} has refused a configuration in "
        "the last 15 minutes that it had validated.",
        meaning="Validation runs in a process of its own; the one that serves was in another "
        "state, or at the limits of its memory or files. It serves with the last good "
        "configuration.",
        remedy=(
            "The log of the router's container `control` carries Envoy's words.",
            (
                "Restart the router: `kubectl --namespace NAMESPACE rollout restart "
                "deployment/puna-router`; streams get `router.drainSeconds` to end."
            ),
        ),
    ),
)
OF_OPERATOR: Final = (
    Alert(
        name="PunaOperatorAbsent",
        expression="absent(puna_queue_depth)",
        pending="5m",
        severity=Severity.CRITICAL,
        summary="The operator is not scraped.",
        description="No series of the operator have come for 5 minutes.",
        meaning="It does not run, or Prometheus does not scrape it. Models are served as they "
        "are; no change is carried out, and no lost object comes back.",
        remedy=(
            (
                "`kubectl get pods --all-namespaces --selector "
                "app.kubernetes.io/name=puna,app.kubernetes.io/component=operator`, then its log."
            ),
            (
                "It runs: `metrics.serviceMonitor.enabled` of the chart is off, or its labels are "
                "not what Prometheus selects by."
            ),
        ),
    ),
    Alert(
        name="PunaReconcileFailing",
        expression="""
            sum by (kind, result) (
              rate(puna_reconcile_total{result=~"error|rejected"}[10m])
            ) > 0
        """,
        pending="15m",
        severity=Severity.WARNING,
        summary="The operator cannot carry out what resources ask for.",
        description="Passes over {{ $labels.kind }} have been ending with {{ $labels.result }} "
        "for 15 minutes.",
        meaning="`rejected`: the API server refuses a child. `error`: a bug. The resource is "
        "tried again every 30 s, the others are not held up.",
        remedy=(
            "The operator's log names the resource, and with `error` holds a traceback.",
            (
                "`rejected`: condition `Ready` with reason `ApplyRejected` carries the API "
                "server's words; often a quota, an admission policy or a missing permission."
            ),
            "`error`: report it with the traceback.",
        ),
    ),
    Alert(
        name="PunaReconcileQueueStuck",
        expression="avg_over_time(puna_queue_oldest_seconds[5m]) > 15",
        pending="5m",
        severity=Severity.WARNING,
        summary="Resources wait for a worker of the operator.",
        description="On average of 5 minutes a resource has waited for {{ $value | "
        "humanizeDuration }} for a worker of the operator.",
        meaning="Changes are carried out late. `/healthz` fails after a wait of 60 s and the "
        "Pod starts anew, so the average is looked at: it shows both a wait that goes on and one "
        "that comes back after each start.",
        remedy=(
            (
                "Panel *Time of a pass*: passes are slow because the API server is, see "
                "*Requests to the API server*."
            ),
            "They are not: raise `settings.workers`, or CPU in `resources`.",
        ),
    ),
)
OF_TRAINING: Final = (
    Alert(
        name="PunaTrainingStuck",
        expression="""
            time() - max by (namespace, name) (puna_training_progress_timestamp_seconds) > 1800
        """,
        pending="5m",
        severity=Severity.WARNING,
        summary="A training run is alive and makes no progress.",
        description="Run {{ $labels.name }} in namespace {{ $labels.namespace }} has told no "
        "progress for {{ $value | humanizeDuration }}.",
        meaning="Its Pod runs and holds its accelerator, but it is silent. While the trainer "
        "learns it tells its progress every second or every step; half an hour of silence is "
        "normal at most where a very large file is written or copied. A run that is suspended, "
        "queued or waits for a node is no alert.",
        remedy=(
            (
                "`puna train logs NAME` (or `kubectl --namespace NAMESPACE logs "
                "--selector puna.dev/training-job=NAME --tail 20`): what it did last."
            ),
            "The dataset or the upload lies on a server or a volume that does not answer.",
            (
                "Several nodes: one rank waits for another. Look at all Pods of the run, and "
                "whether a NetworkPolicy keeps them apart."
            ),
            (
                "The log goes on, and the status does not: the API server cannot reach the node "
                "of the Pod, see `kubectl logs`."
            ),
            (
                "Delete the Pod: another one goes on from the newest checkpoint, and this does "
                "not count towards `backoffLimit`."
            ),
        ),
    ),
    Alert(
        name="PunaTrainingFailed",
        expression="""
            time() - max by (namespace, name, reason) (puna_training_failed_timestamp_seconds)
            < 43200
        """,
        pending="1m",
        severity=Severity.WARNING,
        summary="A training run has failed.",
        description="Run {{ $labels.name }} in namespace {{ $labels.namespace }} failed "
        "{{ $value | humanizeDuration }} ago: {{ $labels.reason }}.",
        meaning="Nothing tries it again. It is told for 12 hours, or until the TrainingJob is "
        "retried or deleted. The last good checkpoint is kept.",
        remedy=(
            "`kubectl --namespace NAMESPACE describe tj NAME`: condition `Failed` in a sentence.",
            (
                "`NonFiniteLoss`: the loss became NaN or infinite. Lower "
                "`hyperparameters.learningRate`, raise `warmupSteps`, look for broken samples."
            ),
            (
                "`OutOfMemory`: lower `hyperparameters.batchSize` or raise `accumulationSteps`, or "
                "raise `resources.limits.memory`."
            ),
            ("`DiskFull`: the output volume is full; make it larger, or lower `checkpoint.keep`."),
            (
                "`DataCorrupt`, `DataUnavailable`, `BadConfig`: what the message names has to be "
                "mended first."
            ),
            (
                "`ParityFailed`, `EvaluationRegressed`: the model is not what was asked for; see "
                "the report in the output folder. Nothing of it is served."
            ),
            (
                "It goes on from its checkpoint with `kubectl annotate tj NAME "
                'puna.dev/retry="$(date +%s)" --overwrite`.'
            ),
        ),
    ),
    Alert(
        name="PunaTrainingRestarts",
        expression="""
            sum by (namespace, name) (
              max_over_time(puna_training_retries[1h]) - min_over_time(puna_training_retries[1h])
            ) >= 3
        """,
        pending="1m",
        severity=Severity.WARNING,
        summary="A training run starts again and again.",
        description="Run {{ $labels.name }} in namespace {{ $labels.namespace }} has been ended "
        "too early {{ $value }} times within an hour.",
        meaning="Failures count towards `backoffLimit`; disruptions (kind `ignored`) do not, so "
        "that these can go on without an end. Each attempt repeats what lies between the last "
        "checkpoint and its end.",
        remedy=(
            "`kubectl --namespace NAMESPACE describe tj NAME`: how each attempt ended.",
            (
                "`Disrupted`, `Interrupted`: nodes are drained or others have a higher priority. "
                "Give the run nodes of its own (`nodeSelector`), or lower "
                "`checkpoint.everySteps`."
            ),
            "`Killed`: the node ran out of memory; set `resources.limits.memory`.",
            "Otherwise see [PunaTrainingFailed](#punatrainingfailed).",
        ),
    ),
)
GROUPS: Final = {
    "puna.endpoints": OF_ENDPOINTS,
    "puna.routers": OF_ROUTERS,
    "puna.operator": OF_OPERATOR,
    "puna.training": OF_TRAINING,
}
ALERTS: Final = tuple(alert for alerts in GROUPS.values() for alert in alerts)

INTRODUCTION: Final = f"""\
The chart brings these rules as a PrometheusRule (`metrics.rules.enabled`) and a Grafana dashboard
(`metrics.dashboard.enabled`). Both need the operator and the routers to be scraped:
`metrics.serviceMonitor.enabled` and `metrics.podMonitor.enabled`.

Without the Prometheus operator, load `charts/puna/files/alerts.yaml` as a rule file and import
`charts/puna/files/dashboard.json`. Your scrape configuration then has to set labels `namespace`
and `pod`, `job="{ROUTER_JOB}"` for routers (port 9090 of Pods with
`app.kubernetes.io/instance=puna-router`), and no label `endpoint`: the routers' own one is the
name of the LLMEndpoint. `namespace` of the operator's series of training is that of the
TrainingJob: scrape the operator with `honor_labels`. Scrape at least once a minute.

`critical` means that requests fail or that nobody can see whether they do, `warning` that they are
answered, but not as they should be, or that a training run needs somebody.
"""


def alert_rules() -> str:
    """Return the rule file of Prometheus."""
    groups = [
        {"name": name, "rules": [alert.to_rule() for alert in alerts]}
        for name, alerts in GROUPS.items()
    ]
    return HEADER + yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=WIDTH)


def alerts_page() -> str:
    """Return the runbook."""
    rows = [
        (f"[{alert.name}](#{alert.name.lower()})", alert.severity, alert.pending, alert.summary)
        for alert in ALERTS
    ]
    overview = table(("alert", "severity", "after", "when"), rows)
    return "\n".join(
        [f"{NOTE}\n# Alerts\n", INTRODUCTION, overview, *(_section(alert) for alert in ALERTS)]
    )


def _section(alert: Alert) -> str:
    return "\n".join(
        [
            f"## {alert.name}\n",
            f"{alert.summary} {alert.meaning}\n",
            f"Severity {code(alert.severity)}, after {alert.pending} of\n",
            f"```promql\n{alert.promql}\n```\n",
            _numbered(alert.remedy),
        ]
    )


def _numbered(steps: Iterable[str]) -> str:
    return "".join(f"{number}. {step}\n" for number, step in enumerate(steps, start=1))


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
