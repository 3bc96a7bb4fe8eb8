"""`haldane apply` of several files: checked as one, then applied in order, or not at all."""

from pathlib import Path

import pytest

from tests.builders import service_file
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane


def write(folder: Path, name: str, text: str) -> str:
    """A file with that text: its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


def services(server: AdminServer) -> list[str]:
    """The names of the stored services."""
    return sorted(server.do(server.store.load()).services)


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    """The files of the services `ads` and `fraud`."""
    return (
        write(tmp_path, "fraud.yaml", service_file("fraud", 10001)),
        write(tmp_path, "ads.yml", service_file("ads", 10002)),
    )


def test_every_file_is_applied_in_order(two: tuple[str, str], haldane: Haldane, server: AdminServer) -> None:
    """`-f a -f b` is both of them, not the last."""
    done = haldane("apply", "-f", two[0], "-f", two[1])
    assert done.code == 0, done
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["fraud", "ads"]
    assert services(server) == ["ads", "fraud"]


def test_a_folder_is_all_service_files_in_it(
    two: tuple[str, str], tmp_path: Path, haldane: Haldane, server: AdminServer
) -> None:
    """Every .yaml and .yml file, by name, and nothing else; an empty folder is wrong usage."""
    write(tmp_path, "notes.txt", "not a service file")
    (tmp_path / "empty").mkdir()
    document = haldane("apply", "-f", str(tmp_path), "-o", "json").document
    assert [response["service"]["name"] for response in document["applied"]] == ["ads", "fraud"]
    assert services(server) == ["ads", "fraud"]
    done = haldane("apply", "-f", str(tmp_path / "empty"))
    assert done.code == 2
    assert "has no .yaml or .yml file" in done.err


def test_one_wrong_file_stops_them_all(
    two: tuple[str, str], tmp_path: Path, haldane: Haldane, server: AdminServer
) -> None:
    """Nothing is applied, and everything that is wrong in any file is named with its file and line."""
    wrong = write(tmp_path, "wrong.yaml", service_file("wrong", 10003) + "colour: red\n")
    worse = write(tmp_path, "worse.yaml", "service: worse\n")
    done = haldane("apply", "-f", two[0], "-f", wrong, "-f", worse)
    assert (done.code, services(server)) == (2, [])
    assert "nothing was applied: 2 of 3 files cannot be" in done.err
    assert f"{wrong}:8: colour: " in done.err
    assert f"{worse}:" in done.err
    document = haldane("apply", "-f", two[0], "-f", wrong, "-o", "json")
    assert [v["file"] for v in document.document["error"]["violations"]] == [wrong]


@pytest.mark.parametrize(
    ("name", "port", "clash"), [("fraud", 10009, "declares fraud too"), ("other", 10001, "fraud and other both claim")]
)
def test_files_that_clash_are_named(
    two: tuple[str, str], tmp_path: Path, haldane: Haldane, server: AdminServer, name: str, port: int, clash: str
) -> None:
    """One service twice, or two services in one place: nothing is applied, and both files are named."""
    other = write(tmp_path, "other.yaml", service_file(name, port))
    done = haldane("apply", "-f", two[0], "-f", two[1], "-f", other)
    assert (done.code, services(server)) == (2, [])
    assert f"{other}: clashes with {two[0]}: " in done.err
    assert clash in done.err


def test_a_dry_run_of_several_stores_nothing(two: tuple[str, str], haldane: Haldane, server: AdminServer) -> None:
    """Each is said to be fine, and nothing is there."""
    done = haldane("apply", "--dry-run", "-f", two[0], "-f", two[1])
    assert done.out.count("would be applied") == 2
    assert services(server) == []


def test_several_files_can_be_applied_again(two: tuple[str, str], haldane: Haldane) -> None:
    """One request id for the command is enough to repeat it safely."""
    command = ("apply", "-f", two[0], "-f", two[1], "--request-id", "abc")
    assert haldane(*command).code == 0
    again = haldane(*command)
    assert again.code == 0
    assert haldane("events", "-o", "json").document["events"][-1]["sequence"] == 2


def test_standard_input_is_read_once(haldane: Haldane) -> None:
    """The second would be empty."""
    done = haldane("apply", "-f", "-", "-f", "-")
    assert done.code == 2
    assert "standard input can be read once" in done.err


def test_what_stands_is_named_if_a_file_is_refused_after_all(
    tmp_path: Path, haldane: Haldane, server: AdminServer
) -> None:
    """Every file was right, and the store took only some: the same command again applies the rest."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        write(folder, f"s{number:02}.yaml", service_file(f"s{number:02}", 11000 + number))
    command = ("apply", "-f", str(folder), "--request-id", "abc")
    with server.refusing(after=1):
        done = haldane(*command)
    assert done.code == 1
    assert "not durable, nothing was changed: full; applied before it: s00, s01, " in done.err
    assert len(services(server)) == 50
    again = haldane(*command)
    assert (again.code, again.out.count("unchanged"), again.out.count(": applied")) == (0, 50, 10)
    assert len(services(server)) == 60


def test_more_than_fits_into_one_request_is_said_so(tmp_path: Path, haldane: Haldane) -> None:
    """Before anything is sent."""
    for number in range(17):
        write(tmp_path, f"{number}.yaml", "#" * (1 << 20))
    done = haldane("apply", "-f", str(tmp_path))
    assert done.code == 2
    assert "17 files of 17825" in done.err


def test_the_snippets_options_are_for_the_snippet(haldane: Haldane) -> None:
    """The whole bootstrap has no use for them."""
    wanted = ("bootstrap", "--fleet", "edge", "--route-config", "mine", "--own-cluster", "a")
    assert haldane(*wanted).code == 2
    done = haldane(*wanted, "--rds-only", "-o", "json")
    manager = done.document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["rds"]["route_config_name"] == "mine"


def test_what_cannot_be_known_is_noted(tmp_path: Path, haldane: Haldane, server: AdminServer) -> None:
    """Nothing is wrong: the file is applied, and `lint` says the same with its line."""
    path = write(tmp_path, "own.yaml", service_file("own", more="route_config: mine\n"))
    done = haldane("apply", "-f", path)
    assert (done.code, services(server)) == (0, ["own"])
    assert done.err.startswith("note: own: route_config: responses that break off")
    assert haldane("apply", "-f", path, "-o", "json").document["notes"]
    linted = haldane("lint", "-f", path)
    assert linted.code == 0
    assert f"note: {path}:7: route_config: responses that break off" in linted.out
    assert [note["field"] for note in haldane("lint", "-f", path, "-o", "json").document["notes"]] == ["route_config"]
