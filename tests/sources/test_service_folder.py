"""The folder whose service files are applied."""

import os
from pathlib import Path

from controller.ports.service_files import FolderContent
from controller.sources.service_folder import ServiceFolder


async def read(folder: ServiceFolder) -> FolderContent:
    """What two looks find the same; the first of them says nothing yet."""
    assert await folder.read() is None
    found = await folder.read()
    assert found
    return found


async def test_a_change_is_believed_once_two_looks_agree(tmp_path: Path) -> None:
    """Files that come, change and go; other names and hidden ones are left alone."""
    folder = ServiceFolder(tmp_path)
    for name in ("a.yaml", "b.yml", "c.txt", ".d.yaml"):
        (tmp_path / name).write_text(name)
    (tmp_path / "more").mkdir()
    assert await read(folder) == FolderContent({"a.yaml": "a.yaml", "b.yml": "b.yml"})
    assert await folder.read() == await folder.read()
    (tmp_path / "a.yaml").write_text("changed")
    assert (await read(folder)).texts["a.yaml"] == "changed"
    (tmp_path / "b.yml").unlink()
    assert (await read(folder)).texts.keys() == {"a.yaml"}


async def test_a_config_map_is_swapped_as_a_whole(tmp_path: Path) -> None:
    """Its files are links through a link to a folder."""
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "a.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    folder = ServiceFolder(tmp_path)
    assert (await read(folder)).texts == {"a.yaml": "one"}
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert (await read(folder)).texts == {"a.yaml": "two"}


async def test_what_cannot_be_read_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    """A link to nothing, a pipe, a folder with such a name, text in no encoding, a file that is too large."""
    (tmp_path / "good.yaml").write_text("good")
    (tmp_path / "link.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "large.yaml").write_text("x" * 300_000)
    found = await read(ServiceFolder(tmp_path))
    assert found.texts == {"good.yaml": "good"}
    assert found.problems.keys() == {"link.yaml", "pipe.yaml", "folder.yaml", "binary.yaml", "large.yaml"}
    assert (found.problems["large.yaml"], found.problem) == ("it has more than 256 KiB", "")


async def test_a_folder_that_is_not_there_has_that_problem(tmp_path: Path) -> None:
    """And is read once it is."""
    folder = ServiceFolder(tmp_path / "services")
    assert "No such file" in (await read(folder)).problem
    (tmp_path / "services").mkdir()
    assert await read(folder) == FolderContent({})
