"""The Helm chart: what it renders is what Kubernetes takes, and what the controller in it takes."""

import copy
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.__main__ import main
from controller.settings import Settings, read_settings
from tests.deploy.programs import DEPLOY, program
from tests.support.requires import in_ci

charts: Any = program("helm/render.py")
CASES = sorted(charts.CASES.glob("*.values.yaml"))
OF_OTHERS = ("cert-manager.io/v1", "monitoring.coreos.com/v1")
"""API groups whose schemas Kubernetes does not have."""
helm = pytest.mark.skipif(not shutil.which("helm"), reason="no helm here: `make charts` renders, where it is")
Manifest = dict[str, Any]


@cache
def rendered(name: str) -> tuple[Manifest, ...]:
    """The objects of a case."""
    return objects_of((charts.CASES / f"{name}.yaml").read_text())


def objects_of(text: str) -> tuple[Manifest, ...]:
    """The objects in what helm renders."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(each for each in yaml.load_all(text, loader) if each)


def one(name: str, kind: str, ends: str = "") -> Manifest:
    """The object of that kind whose name ends so."""
    found = [each for each in rendered(name) if each["kind"] == kind and each["metadata"]["name"].endswith(ends)]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def names() -> list[str]:
    return [each.name.partition(".")[0] for each in CASES]


def pods(name: str) -> Iterator[Manifest]:
    """The pods that a case makes: each a spec."""
    for each in rendered(name):
        spec = each.get("spec", {})
        for template in (spec, spec.get("jobTemplate", {}).get("spec", {})):
            if "containers" in template.get("template", {}).get("spec", {}):
                yield template["template"]["spec"]


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.name)
def test_what_is_rendered_is_current(values: Path) -> None:
    """Of this chart and of these values, known by a digest: `make charts` renders them again, with helm."""
    assert values.with_name(values.name.replace(".values", "")).read_text().startswith(charts.digest(values))


@helm
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.name)
def test_helm_renders_just_that(values: Path) -> None:
    """Not a line has been changed by hand."""
    assert charts.render(values) == values.with_name(values.name.replace(".values", "")).read_text()


@helm
def test_helm_finds_nothing_wrong() -> None:
    """By `helm lint`, strictly."""
    command = ["helm", "lint", "--strict", str(charts.CHART)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@helm
@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("replicas=0", "minimum: got 0, want 1"),
        ("replicas=3", "more than one controller needs store.kind: etcd"),
        ("imgae.tag=1", "'imgae' not allowed"),
        ("operators=null", "nobody may do anything"),
        ("settings.xds_listen=1", "settings.xds_listen: the chart has a value of its own for it"),
        ("store.kind=etcd", "store.etcd.endpoints"),
        ("tls.source=secret", "nobody may do anything"),
        (
            "replicas=2,store.kind=etcd,store.etcd.endpoints={etcd:2379},tls.source=secret,access[0].role=admin",
            "gives the controllers' own certificate the role controller",
        ),
        ("serviceFiles.files.x=1", "'x' does not match pattern"),
        ("persistence.size=much", "does not match pattern"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(option: str, problem: str) -> None:
    """With the value, and what would be right."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        charts.render(charts.CASES / "default.values.yaml", "--set", option)
    assert problem in failed.value.stderr


@helm
def test_the_alerts_are_those_of_the_repository() -> None:
    """As the Prometheus operator takes them."""
    text = charts.render(charts.CASES / "default.values.yaml", "--set", "prometheusRule.enabled=true")
    rule = next(each for each in objects_of(text) if each["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())


@helm
def test_the_dashboards_are_those_of_the_repository() -> None:
    """In a ConfigMap with the label that Grafana's sidecar looks for, and nothing else of that folder."""
    text = charts.render(charts.CASES / "default.values.yaml", "--set", "dashboards.enabled=true")
    made = next(each for each in objects_of(text) if each["metadata"]["name"].endswith("-dashboards"))
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = {path.name: json.loads(path.read_text()) for path in (DEPLOY / "grafana").glob("*.json")}
    assert {name: json.loads(content) for name, content in made["data"].items()} == files


@pytest.mark.parametrize("name", names())
def test_kubernetes_takes_every_object(name: str) -> None:
    """By the schemas of its API, strictly: a field that there is not is an error."""
    if not in_ci():
        pytest.importorskip("kubernetes_validate")
    from kubernetes_validate import ValidationError, validate

    objects = [each for each in rendered(name) if each["apiVersion"] not in OF_OTHERS]
    assert objects
    for each in objects:
        validate(each, "1.33", strict=True)
    planted = copy.deepcopy(one(name, "StatefulSet"))
    planted["spec"]["serviceNam"] = "planted"
    with pytest.raises(ValidationError):
        validate(planted, "1.33", strict=True)


@pytest.mark.parametrize("name", names())
def test_the_controller_takes_its_settings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every value of the chart is one that the controller knows, and every port is secured."""
    text = one(name, "ConfigMap", "haldane")["data"]["haldane.toml"]
    (tmp_path / "haldane.toml").write_text(text.replace("/etc/haldane/services", str(tmp_path)))  # it must be there
    container = one(name, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "haldane-0").replace("$(HALDANE_NAME)", "haldane-0"))
    monkeypatch.setenv("HALDANE_CONFIG", str(tmp_path / "haldane.toml"))
    settings = read_settings()
    assert isinstance(settings, Settings)
    assert settings.tls
    assert settings.tls.client_ca_file
    assert settings.access
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    words = json.dumps(tomllib.loads(text)).split('"')
    for file in (word for word in words if word.startswith(("/etc/", "/var/"))):
        assert any(f"{file}/".startswith(f"{mount}/") for mount in mounts), file


@pytest.mark.parametrize("name", names())
def test_every_pod_is_as_poor_as_can_be(name: str) -> None:
    """No root, no capability, nothing to write on but its volumes, no token that it does not need."""
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
    controller = one(name, "StatefulSet")["spec"]["template"]["spec"]
    roles = [
        each for each in rendered(name) if each["kind"] == "Role" and "certificates" not in each["metadata"]["name"]
    ]
    assert controller["automountServiceAccountToken"] is bool(roles)


def test_the_controller_may_read_endpoints_and_nothing_else() -> None:
    """In the namespaces that are named; no role is of the whole cluster."""
    kinds = {each["kind"] for case in names() for each in rendered(case)}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Secret"}
    roles = [each for each in rendered("gateway") if each["kind"] == "Role" and each["metadata"]["name"] == "haldane"]
    assert [role["metadata"]["namespace"] for role in roles] == ["ml", "ml-canaries"]
    (rule,) = {json.dumps(role["rules"], sort_keys=True) for role in roles}
    assert json.loads(rule) == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    ]


def test_an_uninstall_keeps_the_state_unless_told() -> None:
    """The volume claims outlive the StatefulSet; `persistence.retain: false` deletes them with it."""
    policy = "persistentVolumeClaimRetentionPolicy"
    assert one("default", "StatefulSet")["spec"][policy] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert one("gateway", "StatefulSet")["spec"][policy] == {"whenDeleted": "Delete", "whenScaled": "Retain"}


def test_each_secret_that_is_mounted_is_made() -> None:
    """By the job, or by cert-manager; the job may write those and no others."""
    mounted = {
        volume["secret"]["secretName"] for pod in pods("gateway") for volume in pod["volumes"] if "secret" in volume
    }
    job = one("gateway", "Role", "certificates")
    writable = set(job["rules"][1]["resourceNames"])
    assert mounted <= writable
    issued = {each["spec"]["secretName"] for each in rendered("cert-manager") if each["kind"] == "Certificate"}
    used = {v["secret"]["secretName"] for pod in pods("cert-manager") for v in pod["volumes"] if "secret" in v}
    assert used < issued
    certificates = program("image/certificates.py")
    arguments = one("gateway", "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    operators = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--operator"]
    made = certificates.wanted("haldane", [], "edge", operators, "--monitoring" in arguments)
    assert {each.name for each in made} | {"haldane-ca"} == writable


def test_gateways_name_every_controller_in_one_order(capsys: pytest.CaptureFixture[str]) -> None:
    """By names that the bootstrap takes, and that the headless service and the certificate have."""
    (container,) = one("etcd", "Deployment")["spec"]["template"]["spec"]["containers"]
    options = container["args"][: container["args"].index("--")]
    addresses = options[options.index("--xds") + 1].split(",")
    name = one("etcd", "StatefulSet")["metadata"]["name"]
    assert addresses == [f"{name}-{i}.{name}-pods.ml.svc:18000" for i in range(3)]
    assert one("etcd", "Service", "-pods")["spec"]["clusterIP"] == "None"
    assert main(["bootstrap", *options]) == 0, capsys.readouterr()


def test_several_controllers_reach_one_another() -> None:
    """By the names that they advertise, with the role that passing reports on takes, and through the policies."""
    for name in ("etcd", "cert-manager"):
        (container,) = one(name, "StatefulSet")["spec"]["template"]["spec"]["containers"]
        values = {each["name"]: each.get("value") for each in container["env"]}
        service = one(name, "Service", "-pods")
        assert values["HALDANE_ADVERTISE"] == f"$(HALDANE_NAME).{service['metadata']['name']}.ml.svc"
        assert 18001 in [port["port"] for port in service["spec"]["ports"]]
        access = tomllib.loads(one(name, "ConfigMap", "haldane")["data"]["haldane.toml"])["access"]
        assert [each["spiffe"] for each in access if each["role"] == "controller"]
        policy = one(name, "NetworkPolicy", "haldane")
        labels = one(name, "StatefulSet")["spec"]["selector"]["matchLabels"]
        own = {"from": [{"podSelector": {"matchLabels": labels}}], "ports": [{"port": "admin"}]}
        assert own in policy["spec"]["ingress"]


def test_service_files_are_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As they stand in the ConfigMap that is mounted where the settings look for them."""
    for name, text in one("cert-manager", "ConfigMap", "-services")["data"].items():
        (tmp_path / name).write_text(text)
        assert main(["lint", "-f", str(tmp_path / name)]) == 0, capsys.readouterr()
    settings = tomllib.loads(one("cert-manager", "ConfigMap", "haldane")["data"]["haldane.toml"])
    (container,) = one("cert-manager", "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert settings["apply_from"] in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_versions_are_those_of_the_distribution() -> None:
    """The chart is released with the program, and its image has the same tag."""
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((charts.CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
