"""`haldane bootstrap`: which options belong together, and where the SDS files go."""

import json
from pathlib import Path

import pytest
import yaml

from controller.__main__ import main


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--route-config", "x"), "are for --rds-only"),
        (("--grpc", "--rds-only"), "different clients"),
        (("--sds", "/x"), "an Envoy with --tls"),
        (("--write-sds", "x"), "an Envoy with --tls"),
        (("--tls", "relative"), "an absolute path"),
    ],
)
def test_options_that_do_not_belong_together(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage."""
    assert main(["bootstrap", "--fleet", "edge", *options]) == 2
    assert said in capsys.readouterr().err


def test_the_sds_files_are_written_where_one_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bootstrap names them as on the proxy's machine; without --write-sds a note says that Envoy needs them."""
    words = ["bootstrap", "--fleet", "edge", "--tls", "/etc/envoy/tls", "--sds", "/etc/envoy/sds"]
    assert main([*words, "--write-sds", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    (cluster,) = yaml.safe_load(said.out)["static_resources"]["clusters"]
    assert "/etc/envoy/sds/sds-certificate.yaml" in json.dumps(cluster["transport_socket"])
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"sds-certificate.yaml", "sds-ca.yaml"}
    assert "watched_directory: {path: /etc/envoy/tls}" in (tmp_path / "out" / "sds-certificate.yaml").read_text()
    assert not said.err
    assert main(words) == 0
    assert "Envoy reads /etc/envoy/sds/sds-certificate.yaml" in capsys.readouterr().err


def test_the_bootstrap_of_proxyless_grpc_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The controllers in their order, with the files of --tls."""
    assert main(["bootstrap", "--grpc", "--fleet", "edge", "--xds", "a:1,b:2", "--tls", "/t", "--node", "n"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [server["server_uri"] for server in made["xds_servers"]] == ["a:1", "b:2"]
    assert made["xds_servers"][0]["channel_creds"][0]["config"]["ca_certificate_file"] == "/t/ca.crt"
    assert made["node"] == {"id": "n", "cluster": "edge"}
