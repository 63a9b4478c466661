"""Which files the studio reads and writes, and that a write never loses what somebody else wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datagen.errors import ConfigError
from datagen.studio.files import GONE, ChangedError, Files, ForbiddenError

NAME = "taxonomies/shop.yaml"


@pytest.fixture
def files(project: Path) -> Files:
    return Files(project)


def test_taxonomies_templates_and_recipes_are_listed_and_nothing_else(project: Path, files: Files) -> None:
    (project / "secret.yaml").write_text("a: 1", encoding="utf-8")
    (project / "taxonomies/notes.txt").write_text("mine", encoding="utf-8")
    (project / "taxonomies/.hidden.yaml").write_text("a: 1", encoding="utf-8")
    assert sorted(files.list()) == ["recipes/shop.yaml", NAME, "templates/shop/few.j2", "templates/shop/pair.j2"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "secret.yaml",
        "taxonomies",
        "taxonomies/../secret.yaml",
        "../shop/taxonomies/shop.yaml",
        "taxonomies//shop.yaml",
        "taxonomies/./shop.yaml",
        "taxonomies\\..\\secret.yaml",
        "taxonomies/shop.yaml\0",
        "taxonomies/a.py",
        "templates/shop/few.yaml",
        "recipes/a.j2",
        "taxonomies/.git/a.yaml",
        "outputs/run/run.yaml",
    ],
)
def test_no_other_name_is_read_or_written(project: Path, files: Files, name: str) -> None:
    (project / "secret.yaml").write_text("a: 1", encoding="utf-8")
    with pytest.raises(ForbiddenError):
        files.read(name)
    with pytest.raises(ForbiddenError):
        files.write(name, "b: 2", GONE)
    assert (project / "secret.yaml").read_text(encoding="utf-8") == "a: 1"


@pytest.mark.parametrize("link", ["file", "folder", "dangling"])
def test_a_link_is_neither_listed_nor_followed(project: Path, files: Files, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "other.yaml").write_text("a: 1", encoding="utf-8")
    name = "taxonomies/linked/other.yaml" if link == "folder" else "taxonomies/linked.yaml"
    target = {"file": outside / "other.yaml", "folder": outside, "dangling": outside / "new.yaml"}[link]
    (project / "taxonomies" / ("linked" if link == "folder" else "linked.yaml")).symlink_to(target)
    assert name not in files.list()
    with pytest.raises(ForbiddenError):
        files.write(name, "b: 2", GONE)
    assert [path.name for path in outside.iterdir()] == ["other.yaml"]
    assert (outside / "other.yaml").read_text(encoding="utf-8") == "a: 1"


def test_a_write_changes_the_file_if_it_is_the_one_that_was_read(project: Path, files: Files) -> None:
    read = files.read(NAME)
    version = files.write(NAME, f"{read.text}# more\n", read.version)
    assert (project / NAME).read_text(encoding="utf-8") == f"{read.text}# more\n"
    assert version == files.read(NAME).version == files.list()[NAME] != read.version


def test_a_write_over_a_newer_file_is_refused_with_what_it_holds(project: Path, files: Files) -> None:
    read = files.read(NAME)
    (project / NAME).write_text("theirs", encoding="utf-8")
    with pytest.raises(ChangedError) as refused:
        files.write(NAME, "mine", read.version)
    assert refused.value.now.text == "theirs"
    assert (project / NAME).read_text(encoding="utf-8") == "theirs"
    assert files.write(NAME, "mine", refused.value.now.version)


def test_a_removed_file_is_told_and_can_be_written_again(project: Path, files: Files) -> None:
    read = files.read(NAME)
    (project / NAME).unlink()
    with pytest.raises(ChangedError) as refused:
        files.write(NAME, "mine", read.version)
    assert refused.value.now.text is None
    files.write(NAME, "mine", refused.value.now.version)
    assert (project / NAME).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("data", [b"a: 1\r\nb: 2\r\n", b"\xef\xbb\xbfa: 1\nb: 2\n", b"\xef\xbb\xbfa: 1\r\nb: 2"])
def test_byte_order_mark_and_line_ends_stay(project: Path, files: Files, data: bytes) -> None:
    (project / NAME).write_bytes(data)
    read = files.read(NAME)
    assert read.text is not None
    assert not set("\r\ufeff") & set(read.text)
    files.write(NAME, read.text.replace("1", "3"), read.version)
    assert (project / NAME).read_bytes() == data.replace(b"1", b"3")


def test_a_file_keeps_its_permissions_and_nothing_is_left_beside_it(project: Path, files: Files) -> None:
    os.chmod(project / NAME, 0o640)
    files.write(NAME, "mine", files.read(NAME).version)
    assert (project / NAME).stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (project / "taxonomies").iterdir()] == ["shop.yaml"]


def test_a_file_that_is_no_text_is_told_with_its_line_and_never_written(project: Path, files: Files) -> None:
    (project / NAME).write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8") as refused:
        files.read(NAME)
    assert refused.value.where == f"{NAME}:2"
    with pytest.raises(ConfigError, match="not UTF-8"):
        files.write(NAME, "mine", GONE)
    assert (project / NAME).read_bytes() == b"a: 1\nb: \xff\n"
