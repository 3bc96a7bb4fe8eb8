"""The bootstrap: values go in as values, mistakes are named, and a real Envoy takes it."""

import functools
import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.bootstrap import configuration, rds_only, render
from controller.bootstrap.identity import NODE
from controller.bootstrap.proxy_tls import ProxyTls
from controller.core.base.value import NAME
from controller.core.model.cluster_names import cluster_name, stats_name
from controller.core.traffic.latency_buckets import EDGES_MS
from controller.core.traffic.response_flags import FIRST_TOKEN, STATS_PREFIX
from controller.telemetry.wanted_metrics import LATENCY, STATS
from tests.support.authority import Authority
from tests.support.envoy import validate

ROOT = Path(__file__).parents[2]
XDS = "127.0.0.1:18000"


def rendered(**options: Any) -> dict[str, Any]:
    """The bootstrap with these options, read back."""
    read: dict[str, Any] = yaml.safe_load(render(**{"fleet": "edge", "xds": XDS, **options}))
    return read


@functools.cache
def rendered_once() -> dict[str, Any]:
    """That of the node `n`."""
    plain = rendered(node="n")
    assert plain["node"] == {"id": "n", "cluster": "edge"}
    return plain


def address(place: dict[str, Any]) -> str:
    """HOST:PORT of an Envoy address."""
    return f"{place['socket_address']['address']}:{place['socket_address']['port_value']}"


@pytest.mark.envoy
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"envoy_admin": None},
        {"protocol": "sotw"},
        {"xds": "[::1]:18000", "envoy_admin": "[::1]:9901"},
        {"xds": "controller.example.org:18000"},
        {"node": "a\"b'c: {d}, #e", "fleet": "1e3"} | {"node": "a\"b'c:{d},#e"},
        {"node": "${fleet}", "fleet": "y"},
        {"node": "0x1f", "fleet": "null"},
        {"node": "~", "fleet": "12"},
    ],
    ids=str,
)
def test_envoy_accepts_the_bootstrap(options: dict[str, Any], tmp_path: Path) -> None:
    """Also names that YAML readers take for numbers, truth or nothing, and ids full of YAML's own signs."""
    code, said = validate(render(**{"fleet": "edge", "xds": XDS, **options}), tmp_path)
    assert code == 0, said


@settings(deadline=None, max_examples=30)
@given(st.from_regex(NAME, fullmatch=True), st.from_regex(NODE, fullmatch=True))
def test_values_are_not_changed_by_yaml(fleet: str, node: str) -> None:
    """Whatever is in a value, it is text in its place and changes nothing beside it."""
    made = rendered(fleet=fleet, node=node)
    assert made.pop("node") == {"id": node, "cluster": fleet}
    assert made == {name: value for name, value in rendered_once().items() if name != "node"}


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"fleet": "Edge"}, "--fleet"),
        ({"fleet": ""}, "--fleet"),
        ({"fleet": "edge\n"}, "--fleet"),
        ({"fleet": "e" * 64}, "--fleet"),
        ({"node": "a b"}, "--node"),
        ({"node": "a\nadmin: {}"}, "--node"),
        ({"node": "n" * 257}, "--node"),
        ({"xds": "18000"}, "--xds"),
        ({"xds": "127.0.0.1"}, "--xds"),
        ({"xds": "127.0.0.1:0"}, "--xds"),
        ({"xds": "127.0.0.1:65536"}, "--xds"),
        ({"xds": "127.0.0.1:٣"}, "--xds"),
        ({"xds": "::1:18000"}, "--xds"),
        ({"xds": "[nonsense]:18000"}, "--xds"),
        ({"xds": "a, b:18000"}, "--xds"),
        ({"xds": ":18000"}, "--xds"),
        ({"envoy_admin": "off"}, "--envoy-admin"),
        ({"envoy_admin": "http://127.0.0.1:9901"}, "--envoy-admin"),
        ({"xds": "127.0.0.1:1,"}, "--xds"),
        ({"xds": "127.0.0.1:1,127.0.0.1:1"}, "--xds"),
    ],
    ids=str,
)
def test_an_error_names_its_option(options: dict[str, Any], option: str) -> None:
    """The message begins with the option and says what would be right."""
    with pytest.raises(ValueError, match=f"^{option}: .*(needed|at most)"):
        rendered(**options)


@pytest.mark.parametrize(
    ("option", "paths"), [("--tls", ("relative",)), ("--sds", ("/a", "b")), ("--controller", ("/a", "/a", "a b"))]
)
def test_an_error_of_tls_names_its_option(option: str, paths: tuple[str, ...]) -> None:
    """As the others do."""
    with pytest.raises(ValueError, match=f"^{option}: .*needed"):
        ProxyTls(*paths)


@pytest.mark.envoy
@pytest.mark.parametrize("controller", ["spiffe://prod/haldane", "ctl.example"])
def test_envoy_accepts_the_side_of_tls(controller: str, tmp_path: Path) -> None:
    """Whole and to be merged, by SPIFFE ID and by DNS name, for several controllers, with its SDS files."""
    made = Authority()
    issued = made.issue("edge")
    files = {"tls.crt": issued.certificate, "tls.key": issued.key, "ca.crt": made.certificate}
    tls = ProxyTls(str(tmp_path), controller=controller)
    for name, content in {**files, **{name: text.encode() for name, text in tls.sds_files().items()}}.items():
        (tmp_path / name).write_bytes(content)
    options: dict[str, Any] = {"fleet": "edge", "xds": f"{XDS},ctl.example:18000", "tls": tls}
    for text in (render(**options), rds_only.render(configuration(**options))):
        code, said = validate(text, tmp_path)
        assert code == 0, said
        assert f'"{tmp_path}/sds-ca.yaml"' in json.dumps(yaml.safe_load(text))
    names = yaml.safe_load(tls.sds_files()["sds-ca.yaml"])["resources"][0]["validation_context"]
    (matcher,) = names["match_typed_subject_alt_names"]
    assert matcher == {"san_type": "URI" if "://" in controller else "DNS", "matcher": {"exact": controller}}


def test_several_controllers_have_an_order() -> None:
    """Priorities and health checks; a single one has neither."""
    (cluster,) = rendered(xds=f"{XDS},127.0.0.2:18000")["static_resources"]["clusters"]
    assert [each.get("priority", 0) for each in cluster["load_assignment"]["endpoints"]] == [0, 1]
    assert cluster["health_checks"]
    (single,) = rendered()["static_resources"]["clusters"]
    assert "health_checks" not in single


@pytest.mark.envoy
def test_envoy_accepts_the_snippet_for_a_file_of_ones_own(tmp_path: Path) -> None:
    """By itself it is a whole file; it has no listener by LDS and no admin page, and names the route configuration."""
    text = rds_only.render(configuration(fleet="edge", xds=XDS), route_config="mine")
    code, said = validate(text, tmp_path)
    assert code == 0, said
    read = yaml.safe_load(text)
    assert "admin" not in read
    assert read["dynamic_resources"].keys() == {"ads_config", "cds_config"}
    assert '"route_config_name": "mine"' in json.dumps(read)


def test_clusters_of_ones_own_have_the_fine_buckets_too() -> None:
    """Those that are named, and no other of the file."""
    read = yaml.safe_load(rds_only.render(configuration(fleet="edge", xds=XDS), own_clusters=("a-1", "b_2")))
    (setting,) = read["stats_config"]["histogram_bucket_settings"]
    pattern = re.compile(setting["match"]["safe_regex"]["regex"])
    for name in ("a-1", "b_2", stats_name(cluster_name("s", "v1"))):
        assert pattern.fullmatch(f"cluster.{name}.{LATENCY}")
        assert pattern.fullmatch(f"{STATS_PREFIX}.{FIRST_TOKEN}.cluster.{name}")
    assert not pattern.fullmatch(f"cluster.c.{LATENCY}")


def test_the_snippet_names_its_own_option() -> None:
    """As the bootstrap does."""
    with pytest.raises(ValueError, match=r"^--own-cluster: .*needed"):
        rds_only.render(configuration(fleet="edge", xds=XDS), own_clusters=("a.b",))
    with pytest.raises(ValueError, match=r"^--route-config: .*needed"):
        rds_only.render(configuration(fleet="edge", xds=XDS), route_config="a/b")


def test_every_bootstrap_has_a_unique_node_id() -> None:
    """Two printed bootstraps are two proxies."""
    assert rendered()["node"]["id"] != rendered()["node"]["id"]


def test_the_admin_page_has_the_given_address_or_is_left_out() -> None:
    """9901 on this host unless told, and no address at all for `none`."""
    assert address(rendered()["admin"]["address"]) == "127.0.0.1:9901"
    assert "admin" not in rendered(envoy_admin=None)


def test_the_controllers_address_is_resolved_only_if_it_is_a_name() -> None:
    """An address needs no DNS; a name is looked up again and again."""
    for xds, kind in ((XDS, "STATIC"), ("[::1]:1", "STATIC"), ("localhost:18000", "STRICT_DNS")):
        (cluster,) = rendered(xds=xds)["static_resources"]["clusters"]
        assert cluster["type"] == kind
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        assert address(endpoint["endpoint"]["address"]) == xds.replace("[", "").replace("]", "")


def test_latency_buckets_are_set_for_haldane_clusters_alone() -> None:
    """The edges are those by which the book counts; the pattern fits every version's two times and no other metric."""
    (setting,) = rendered()["stats_config"]["histogram_bucket_settings"]
    assert tuple(setting["buckets"]) == EDGES_MS
    pattern = re.compile(setting["match"]["safe_regex"]["regex"])
    ours = stats_name(cluster_name("fraud.scorer", "v1.2"))
    assert pattern.fullmatch(f"cluster.{ours}.{LATENCY}")
    assert pattern.fullmatch(f"{STATS_PREFIX}.{FIRST_TOKEN}.cluster.{ours}")
    for other in (f"cluster.{ours}.external.{LATENCY}", f"cluster.haldane.{LATENCY}", f"cluster.{ours}.upstream_cx_ms"):
        assert not pattern.fullmatch(other)


def test_the_stats_filter_of_the_template_passes_all_that_is_read() -> None:
    """For those who want small flushes: the comment's pattern must not blind the controller."""
    text = re.sub(r"\n#", " ", (ROOT / "envoy" / "bootstrap.yaml").read_text())
    found = re.search(r"stats_matcher: .*?safe_regex: \{regex:\s+'(.*?)'\}", text)
    assert found
    for stat in STATS:
        assert re.fullmatch(found[1], f"cluster.{stats_name(cluster_name('a.b', 'v1'))}.{stat}"), stat


def test_a_wheel_holds_the_template(tmp_path: Path) -> None:
    """In the repository it lies in envoy/, where a reader looks for it; in the package it is a file, not a link."""
    unwanted = shutil.ignore_patterns(".*", "build", "tests", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT, tmp_path / "source", symlinks=True, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(source)]
    if int(version("setuptools").partition(".")[0]) >= 77:  # then nothing has to be fetched for it
        command.append("--no-build-isolation")
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).read("controller/bootstrap/envoy.yaml").decode()
    assert inside == (ROOT / "envoy" / "bootstrap.yaml").read_text()
