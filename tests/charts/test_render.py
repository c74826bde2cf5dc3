"""Sentences about what the chart renders to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hack.generate.alerts import ROUTER_JOB
from hack.generate.settings import variables
from puna.api.pool import Accelerator
from puna.api.rbac import OPERATOR_RULES, ROUTER_ROLE, ROUTER_RULES
from puna.namespace.deployment import build_deployment
from puna.namespace.network_policy import build_network_policies
from puna.settings import Settings
from tests.charts.helm import CHART, SCENARIOS, Helm, HelmError

# The first test may have to build Helm.
pytestmark = pytest.mark.timeout(900)

ONE_NAMESPACE = f"--values={CHART}/ci/02-one-namespace-values.yaml"
OWN_NODES = f"--values={CHART}/ci/03-own-nodes-values.yaml"
MONITORED = f"--values={CHART}/ci/04-monitored-values.yaml"
GIVEN_ACCOUNT = f"--values={CHART}/ci/05-given-account-values.yaml"


def test_servers_let_the_operators_pods_in(helm: Helm) -> None:
    """The operator asks golden prompts of canaries by their addresses."""
    rendered = helm.render()
    _, backends = build_network_policies("team-a", Settings.from_env(rendered.environment))
    source = backends["spec"]["ingress"][0]["from"][1]
    labels = rendered.the("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
    assert source["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "puna-system"
    }


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda path: path.stem)
def test_lint_finds_nothing(helm: Helm, values: Path) -> None:
    helm.run("lint", "--strict", str(CHART), f"--values={values}")


def test_every_setting_is_handed_to_the_operator(helm: Helm) -> None:
    assert set(helm.render().environment) == set(variables())


def test_without_values_the_operator_runs_with_its_own_defaults(helm: Helm) -> None:
    expected = Settings(namespace="puna-system")
    assert Settings.from_env(helm.render().environment) == expected


def test_values_reach_the_settings(helm: Helm) -> None:
    settings = Settings.from_env(helm.render(OWN_NODES).environment)
    digest = "0" * 64
    assert settings.fetch_image == f"registry.example.org/puna@sha256:{digest}"
    assert settings.public_url == "https://llm.example.org/{namespace}/v1"
    assert settings.model_folders == ("/srv/models", "/mnt/models")
    assert settings.model_cache_host_path == "/var/lib/puna"
    assert settings.allowed_networks == ("10.0.0.0/8", "fd00::/8")
    assert settings.workers == 16
    assert settings.router.image == "registry.example.org/router:1.2"
    assert settings.router.replicas == 2
    assert settings.router.bind_address == "$(POD_IP)"
    assert settings.router.service_type == "LoadBalancer"
    assert settings.router.drain_seconds == 90
    assert settings.router.tls_secret == "llm-tls"
    assert settings.router.resources["envoy"].limits == {"memory": "1Gi"}
    assert settings.router.resources["control"] == Settings().router.resources["control"]
    assert settings.router.node_selector == {"role": "edge"}
    assert settings.router.tolerations == ({"key": "edge", "operator": "Exists"},)
    cuda = settings.accelerators[Accelerator.CUDA]
    assert cuda.image == "registry.example.org/llama-server:cuda"
    assert cuda.runtime_class == "nvidia"
    assert cuda.node_selector == {"accelerator": "nvidia"}
    assert cuda.gpu_layers == 99
    assert settings.accelerators[Accelerator.CPU] == Settings().accelerators[Accelerator.CPU]


def test_a_token_for_prometheus_is_where_the_operator_looks(helm: Helm) -> None:
    rendered = helm.render(
        *("--set", "settings.prometheus.url=http://prometheus:9090"),
        *("--set", "settings.prometheus.tokenSecret=reader"),
    )
    settings = Settings.from_env(rendered.environment)
    assert settings.prometheus_url == "http://prometheus:9090"
    pod = rendered.the("Deployment")["spec"]["template"]["spec"]
    (volume,) = (item for item in pod["volumes"] if item["name"] == "prometheus")
    (mount,) = (
        item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "prometheus"
    )
    assert volume["secret"] == {"secretName": "reader"}
    assert settings.prometheus_token_file == f"{mount['mountPath']}/token"


def test_a_number_stays_a_number(helm: Helm) -> None:
    """Helm reads numbers as floats: 3600000 must not become 3.6e+06."""
    environment = helm.render("--set", "settings.progressDeadlineSeconds=3600000").environment
    assert environment["PUNA_PROGRESS_DEADLINE_SECONDS"] == "3600000"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("settings.modelFolder=/srv", "modelFolder"),
        ("settigns.workers=3", "settigns"),
        ("settings.workers=0", "workers"),
        ("settings.prometheus.url=prometheus:9090", "url"),
        ("settings.modelCacheHostPath=srv", "modelCacheHostPath"),
        ("settings.accelerators.tpu.image=x", "tpu"),
        ("settings.accelerators.cuda.gpulayers=3", "gpulayers"),
        ("image.digest=latest", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("router.replicas=0", "replicas"),
        ("router.serviceType=Ingress", "serviceType"),
        ("router.resources.sidecar.limits.cpu=1", "sidecar"),
        ("crds.enabled=maybe", "enabled"),
        ("metrics.podMonitor.interval=5m", "interval"),
        ("metrics.dashboard.folder=x", "folder"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(helm: Helm, argument: str, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        helm.render("--set", argument)


def test_one_operator_runs_at_a_time(helm: Helm) -> None:
    deployment = helm.render().the("Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_the_pod_is_selected_by_labels_that_no_version_changes(helm: Helm) -> None:
    deployment = helm.render(OWN_NODES).the("Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert set(selector) == {
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
    }
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_probes_ask_the_port_that_the_operator_listens_on(helm: Helm) -> None:
    container = helm.render().container
    (port,) = container["ports"]
    assert str(port["containerPort"]) == Settings().listen.rpartition(":")[2]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}


def test_the_roles_hold_the_rules_of_the_code(helm: Helm) -> None:
    roles = {role["metadata"]["name"]: role["rules"] for role in helm.render().of("ClusterRole")}
    assert roles == {"puna-operator": list(OPERATOR_RULES), ROUTER_ROLE: list(ROUTER_RULES)}


def test_permissions_end_at_the_one_namespace(helm: Helm) -> None:
    rendered = helm.render(ONE_NAMESPACE)
    assert list(rendered.of("ClusterRoleBinding")) == []
    assert rendered.the("RoleBinding")["metadata"]["namespace"] == "team-a"
    assert rendered.environment["PUNA_WATCH_NAMESPACE"] == "team-a"


def test_a_given_account_is_used_and_nothing_is_granted(helm: Helm) -> None:
    rendered = helm.render(GIVEN_ACCOUNT)
    assert rendered.pod["spec"]["serviceAccountName"] == "puna-by-hand"
    kinds = {manifest["kind"] for manifest in rendered.objects}
    assert kinds == {"CustomResourceDefinition", "Deployment"}


def test_a_given_account_needs_a_name(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"serviceAccount\.name: required"):
        helm.render("--set", "serviceAccount.create=false")


def test_definitions_are_kept_at_uninstallation_unless_told_otherwise(helm: Helm) -> None:
    keep = {"helm.sh/resource-policy": "keep"}
    for definition in helm.render().of("CustomResourceDefinition"):
        assert definition["metadata"]["annotations"] == keep
    for definition in helm.render("--set", "crds.keep=false").of("CustomResourceDefinition"):
        assert "annotations" not in definition["metadata"]


def test_routers_keep_their_permissions_as_long_as_endpoints_are_kept(helm: Helm) -> None:
    annotations = {
        role["metadata"]["name"]: role["metadata"].get("annotations")
        for role in helm.render().of("ClusterRole")
    }
    assert annotations[ROUTER_ROLE] == {"helm.sh/resource-policy": "keep"}
    assert annotations["puna-operator"] is None


def test_definitions_can_be_left_out(helm: Helm) -> None:
    rendered = helm.render("--set", "crds.enabled=false")
    assert list(rendered.of("CustomResourceDefinition")) == []


def test_a_service_monitor_finds_the_metrics_service(helm: Helm) -> None:
    rendered = helm.render(MONITORED)
    monitor, service = rendered.the("ServiceMonitor"), rendered.the("Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {
        "port": "http",
        "path": "/metrics",
        "interval": "15s",
        "honorLabels": True,
    }


def test_a_service_monitor_without_its_service_is_refused(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"needs metrics\.service\.enabled"):
        helm.render(MONITORED, "--set", "metrics.service.enabled=false")


def test_nothing_of_other_operators_is_made_unless_asked_for(helm: Helm) -> None:
    kinds = {manifest["kind"] for manifest in helm.render().objects}
    assert kinds & {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"} == set()


def test_a_pod_monitor_finds_the_routers_of_all_namespaces(helm: Helm) -> None:
    monitor = helm.render(MONITORED).the("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    spec = monitor["spec"]
    assert spec["namespaceSelector"] == {"any": True}
    router = build_deployment(
        "team-a", Settings().router, account_uid="uid", backend_key="digest", previous=None
    )
    assert router is not None
    template = router["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels[spec["jobLabel"]] == ROUTER_JOB
    (endpoint,) = spec["podMetricsEndpoints"]
    (control,) = (item for item in template["spec"]["containers"] if item["name"] == "control")
    assert endpoint["port"] in {port["name"] for port in control["ports"]}
    assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "15s")


def test_a_pod_monitor_leaves_the_routers_their_label_endpoint(helm: Helm) -> None:
    """The Prometheus operator would put the port's name there, and theirs to exported_endpoint."""
    (endpoint,) = helm.render(MONITORED).the("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"action": "labeldrop", "regex": "endpoint"}]


def test_a_pod_monitor_ends_at_the_one_namespace(helm: Helm) -> None:
    monitor = helm.render(MONITORED, ONE_NAMESPACE).the("PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["team-a"]}


def test_rules_and_their_templates_arrive_as_they_are(helm: Helm) -> None:
    rule = helm.render(MONITORED).the("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    assert "{{ $labels.namespace }}" in json.dumps(rule["spec"])


def test_the_dashboard_arrives_as_it_is_and_where_grafana_looks(helm: Helm) -> None:
    found = helm.render(MONITORED).the("ConfigMap")
    assert found["metadata"]["labels"].items() >= {"grafana_dashboard": "1", "team": "ml"}.items()
    assert found["data"] == {"puna.json": (CHART / "files/dashboard.json").read_text()}
    assert "{{namespace}}" in found["data"]["puna.json"]
