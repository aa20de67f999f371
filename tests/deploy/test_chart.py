"""The Helm chart renders valid objects for small, standard and large installations."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.helm import CHART, helm
from tests.test_compose import SETTINGS

KUBERNETES = "1.35"
SIZES = ["small", "standard", "large"]
GATEWAY = CHART.parents[2] / "gateway"
RULES = CHART.parents[1] / "prometheus" / "rules.yml"
OF_PROMETHEUS_OPERATOR = ("ServiceMonitor", "PrometheusRule")
Object = dict[str, Any]


@cache
def rendered(size: str) -> list[Object]:
    done = helm("template", "news", CHART, "-n", "press", "-f", CHART / f"ci/{size}-values.yaml")
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(size: str, kind: str) -> dict[str, Object]:
    return {found["metadata"]["name"]: found for found in rendered(size) if found["kind"] == kind}


def refusal(setting: str, size: str | None = "standard") -> str:
    """Return helm's error if this setting is added to those of a size, or to none."""
    values = () if size is None else ("-f", CHART / f"ci/{size}-values.yaml")
    done = helm("template", "news", CHART, *values, "--set", setting)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("size", SIZES)
def test_kubernetes_has_every_field_of_every_object(size: str) -> None:
    own = [found for found in rendered(size) if found["kind"] not in OF_PROMETHEUS_OPERATOR]
    for found in own:
        kubernetes_validate.validate(found, KUBERNETES, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(own[0] | {"specification": {}}, KUBERNETES, strict=True)


@pytest.mark.parametrize("size", SIZES)
def test_helm_finds_nothing_to_object_to(size: str) -> None:
    done = helm("lint", CHART, "--strict", "-f", CHART / f"ci/{size}-values.yaml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("size", SIZES)
def test_pods_meet_the_restricted_standard_and_answer_probes(size: str) -> None:
    deployments = of_kind(size, "Deployment")
    assert set(deployments) == {f"news-newswire-{name}" for name in (*SETTINGS, "gateway")}
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"livenessProbe", "readinessProbe"} <= set(container)
        assert {"requests", "limits"} == set(container["resources"])


def test_no_pod_is_ended_because_another_one_does_not_answer() -> None:
    probed = {
        name.removeprefix("news-newswire-"): {
            kind: container[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        for name, found in of_kind("standard", "Deployment").items()
        for container in found["spec"]["template"]["spec"]["containers"]
        if "httpGet" in container["livenessProbe"]
    }
    own = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    of_operations = dict.fromkeys(own, "/openapi.json")  # its /healthz asks all services
    assert probed == {"ingest": own, "search": own, "notify": own, "operations": of_operations}


@pytest.mark.parametrize("size", SIZES)
def test_services_get_only_settings_that_they_have_and_secrets_only_as_files(size: str) -> None:
    for name, settings in SETTINGS.items():
        container = of_kind(size, "Deployment")[f"news-newswire-{name}"]["spec"]["template"]["spec"]["containers"][0]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        known = {f"NEWSWIRE_{field.upper()}" for field in all_fields()}
        assert {variable.removesuffix("_FILE") for variable in variables} <= known
        assert all(value == f"/run/newswire/{key[9:-5]}" for key, value in variables.items() if key.endswith("_FILE"))
        given = {key: value for key, value in variables.items() if not key.endswith("_FILE")}
        settings.model_validate({key[9:].lower(): value for key, value in given.items()})


def all_fields() -> set[str]:
    return set().union(*(settings.model_fields for settings in SETTINGS.values()))


@pytest.mark.parametrize("size", SIZES)
def test_every_selector_chooses_the_pods_of_one_deployment(size: str) -> None:
    pods = {
        name: found["spec"]["template"]["metadata"]["labels"] for name, found in of_kind(size, "Deployment").items()
    }
    for service in of_kind(size, "Service").values():
        selector = service["spec"]["selector"]
        assert sum(selector.items() <= labels.items() for labels in pods.values()) == 1
    for name, deployment in of_kind(size, "Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"].items() <= pods[name].items()


def test_prometheus_reads_all_metrics_from_operations_with_their_own_labels() -> None:
    (monitor,) = of_kind("standard", "ServiceMonitor").values()
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    services = of_kind("standard", "Service")
    assert [name for name, found in services.items() if chosen <= found["metadata"]["labels"].items()] == [
        "news-newswire-operations"
    ]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True  # else Prometheus renames `service` and `instance`
    assert endpoint["port"] in {port["name"] for port in services["news-newswire-operations"]["spec"]["ports"]}
    assert "operations.replicas" in refusal("operations.replicas=2")


def test_the_alerts_are_a_prometheus_rule_if_that_is_wanted() -> None:
    (rule,) = of_kind("standard", "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert of_kind("small", "PrometheusRule") == {}


def test_the_operators_port_is_not_reachable_through_the_ingress() -> None:
    (ingress,) = of_kind("standard", "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert (rule["host"], backend) == ("news.example", {"name": "news-newswire", "port": {"name": "http"}})
    assert of_kind("standard", "Service")["news-newswire"]["spec"]["ports"] == [
        {"name": "http", "port": 80, "targetPort": "public"}
    ]
    (policy,) = (found for name, found in of_kind("standard", "NetworkPolicy").items() if name.endswith("-gateway"))
    public, operators = policy["spec"]["ingress"]
    assert public["ports"] == [{"port": "public"}]
    assert operators["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_only_search_reaches_elasticsearch_and_only_notify_the_world() -> None:
    ports = {
        name.removeprefix("news-newswire-"): {
            port["port"] for rule in found["spec"]["egress"] for port in rule["ports"]
        }
        for name, found in of_kind("standard", "NetworkPolicy").items()
    }
    assert [name for name in ports if 9200 in ports[name]] == ["search"]
    assert [name for name in ports if 80 in ports[name] or 25 in ports[name]] == ["notify"]
    assert ports["gateway"] == ports["operations"] == {53, "http"}


def test_a_scaled_service_has_no_fixed_number_of_replicas() -> None:
    scaled = of_kind("large", "HorizontalPodAutoscaler")
    assert set(scaled) == {f"news-newswire-{name}" for name in ("ingest", "search", "notify")}
    for name in scaled:
        assert "replicas" not in of_kind("large", "Deployment")[name]["spec"]
        assert name in of_kind("large", "PodDisruptionBudget")


def test_a_setting_of_one_service_counts_even_if_it_is_false_and_no_variable_occurs_twice() -> None:
    changes = "settings.PUBLIC_READ=true,search.settings.PUBLIC_READ=false,notify.settings.SHUTDOWN_DELAY=0"
    changes += ",settings.DATA_DIR=/data,ingest.settings.TRUSTED_PROXIES=,shutdownDelay=30"
    done = helm("template", "news", CHART, "-f", CHART / "ci/standard-values.yaml", "--set", changes)
    variables = {}
    for found in yaml.safe_load_all(done.stdout):
        if found["kind"] == "Deployment":
            (container,) = found["spec"]["template"]["spec"]["containers"]
            names = [each["name"] for each in container.get("env", [])]
            assert len(names) == len(set(names))  # Helm 4 refuses a second variable of the same name
            variables[found["metadata"]["name"]] = {
                each["name"]: each.get("value") for each in container.get("env", [])
            }
            if found["metadata"]["name"] == "news-newswire-gateway":
                assert "sleep 30 &&" in container["lifecycle"]["preStop"]["exec"]["command"][2]
    ingest, search, notify = (variables[f"news-newswire-{service}"] for service in ("ingest", "search", "notify"))
    assert (ingest["NEWSWIRE_PUBLIC_READ"], search["NEWSWIRE_PUBLIC_READ"]) == ("true", "false")
    assert (search["NEWSWIRE_SHUTDOWN_DELAY"], notify["NEWSWIRE_SHUTDOWN_DELAY"]) == ("30", "0")
    assert (ingest["NEWSWIRE_TRUSTED_PROXIES"], ingest["NEWSWIRE_DATA_DIR"]) == ("", "/data")


def test_images_in_a_bucket_need_no_volume() -> None:
    assert of_kind("large", "PersistentVolumeClaim") == {}
    (claim,) = of_kind("small", "PersistentVolumeClaim").values()
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert of_kind("small", "Deployment")["news-newswire-ingest"]["spec"]["strategy"] == {"type": "Recreate"}


def test_a_cluster_with_ipv6_users_certificates_and_a_collector_of_its_own(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "ipv6": True,
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        "gateway": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}},
        "settings": {"MEDIA_MAX_BYTES": 20_971_520, "READ_RATE": 0.5, "HUB": False},
        "telemetry": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
        "certificates": {"secret": "authorities"},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(own))
    done = helm("template", "news", CHART, "-f", CHART / "ci/standard-values.yaml", "-f", tmp_path / "values.yaml")
    assert done.returncode == 0, done.stderr
    found = [document for document in yaml.safe_load_all(done.stdout) if document]
    for each in found:
        if each["kind"] == "Deployment":
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found if each["kind"] == "Deployment"
    }
    assert not any({"runAsUser", "runAsGroup", "fsGroup"} & set(pod["securityContext"]) for pod in pods.values())
    (ingest,) = pods["news-newswire-ingest"]["containers"]
    assert ingest["command"][3:5] == ["--host", "::"]
    variables = {each["name"]: each["value"] for each in ingest["env"]}
    assert variables["NEWSWIRE_MEDIA_MAX_BYTES"] == "20971520"
    assert variables["NEWSWIRE_READ_RATE"] == "0.5"
    assert variables["NEWSWIRE_HUB"] == "false"
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    assert {"name": "certificates", "mountPath": "/etc/newswire/certificates", "readOnly": True} in ingest[
        "volumeMounts"
    ]
    (gateway,) = (each["data"] for each in found if each["kind"] == "ConfigMap")
    assert "listen 8000; listen [::]:8000;" in gateway["nginx.conf"]
    reached = {each["metadata"]["name"]: str(each["spec"]) for each in found if each["kind"] == "NetworkPolicy"}
    assert {name.rpartition("-")[2] for name, spec in reached.items() if "4318" in spec} == set(SETTINGS)


READS_OLD_TEXTS = ("ingest", "search", "notify")


def test_the_archive_is_mounted_by_all_that_read_old_texts_and_by_nothing_else() -> None:
    claims = of_kind("standard", "PersistentVolumeClaim")
    claim = claims["news-newswire-archive"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "shared",
        "resources": {"requests": {"storage": "50Gi"}},
    }
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for name in SETTINGS:
        pod = of_kind("standard", "Deployment")[f"news-newswire-{name}"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        mounted = {"name": "archive", "mountPath": "/archive"} in container["volumeMounts"]
        named = {"name": "NEWSWIRE_ARCHIVE_URL", "value": "file:///archive"} in container["env"]
        assert mounted is named is (name in READS_OLD_TEXTS)
        claimed = {"name": "archive", "persistentVolumeClaim": {"claimName": "news-newswire-archive"}}
        assert (claimed in pod["volumes"]) is mounted


def test_an_archive_in_a_bucket_is_reached_by_all_that_read_old_texts() -> None:
    assert "news-newswire-archive" not in of_kind("large", "PersistentVolumeClaim")
    policies = of_kind("large", "NetworkPolicy")
    reached = {
        name
        for name in (*SETTINGS, "gateway")
        for rule in policies[f"news-newswire-{name}"]["spec"]["egress"]
        if {"port": 9000} in rule["ports"]
    }
    assert reached == set(READS_OLD_TEXTS)
    for name in READS_OLD_TEXTS:
        container = of_kind("large", "Deployment")[f"news-newswire-{name}"]["spec"]["template"]["spec"]["containers"][0]
        variables = {variable["name"] for variable in container["env"]}
        assert {"NEWSWIRE_ARCHIVE_URL", "NEWSWIRE_ARCHIVE_SECRET_ACCESS_KEY_FILE"} <= variables


def test_what_is_missing_or_contradictory_is_said_with_its_remedy() -> None:
    assert "set publicUrl: the address under which readers reach Newswire" in refusal("publicUrl=")
    assert "set secretSettings.REDIS_URL to the Secret and key" in refusal("publicUrl=https://news.example", size=None)
    assert "ReadWriteMany, or a bucket" in refusal("ingest.replicas=2", size="small")
    assert "several replicas need a volume with ReadWriteMany, or a bucket (settings.ARCHIVE_URL)" in refusal(
        "archive.accessMode=ReadWriteOnce"
    )
    assert "archive.volume and settings.ARCHIVE_URL name two archives" in refusal("settings.ARCHIVE_URL=s3://bucket")
    assert "search: REDIS_URL is set in settings and in secretSettings" in refusal(
        "search.settings.REDIS_URL=redis://x"
    )
    assert "ingest: REDIS_URL is set in settings, as REDIS_URL_FILE, and in secretSettings; remove one" in refusal(
        "settings.REDIS_URL_FILE=/etc/redis"
    )
    assert "search: settings has ELASTICSEARCH_URL_FILE, and ELASTICSEARCH_URL is set as well; remove one" in refusal(
        "search.settings.ELASTICSEARCH_URL_FILE=/etc/url"
    )
    assert "settings has PUBLIC_URL_FILE, and PUBLIC_URL is set as well" in refusal("settings.PUBLIC_URL_FILE=/etc/url")
    assert "NEWSWIRE_REDIS_URL" in refusal("settings.NEWSWIRE_REDIS_URL=x")
    assert "replica" in refusal("ingest.replica=3")
    assert "at least ten more than shutdownDelay" in refusal("shutdownDelay=36")


def test_the_gateway_routes_as_in_the_compose_file() -> None:
    data = of_kind("small", "ConfigMap")["news-newswire-gateway"]["data"]
    for name, source in {
        "nginx.conf": "nginx.conf",
        "routes.conf": "routes.conf",
        "operators.conf": "operators-open.conf",
        "operators-in-public.conf": "operators-closed.conf",
    }.items():
        assert data[name].strip() == (GATEWAY / source).read_text().strip(), name
    for service in SETTINGS:
        assert f"upstream {service} {{ server news-newswire-{service}:8000" in data["upstreams.conf"]


def test_nginx_accepts_the_configuration_of_the_gateway(tmp_path: Path) -> None:
    data = of_kind("small", "ConfigMap")["news-newswire-gateway"]["data"]
    for name, content in data.items():
        moved = content.replace("/tmp/", "/etc/nginx/newswire/").replace("/etc/nginx/newswire", str(tmp_path))
        (tmp_path / name).write_text(re.sub(r"server news-newswire-\w+:", "server 127.0.0.1:", moved))
    done = subprocess.run(["nginx", "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
