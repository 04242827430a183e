"""A source that changes while it is read, or is not whole, gives one line and no target."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tfreuse
from tests.cli.command import tree
from tests.cli.graphs import repeated
from tests.offline import checks
from tfreuse.bridge import savedmodel
from tfreuse.errors import InputError
from tfreuse.offline.graphs import optimize_graph_file

INDEX, SHARD = "variables/variables.index", "variables/variables.data-00000-of-00001"


def touched(path: Path) -> None:
    """Other bytes, as many as before."""
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.rename(path)


def aged(model: Path) -> None:
    """As if written a while ago: a change within one tick of the file system's clock shows no other time."""
    for path in model.rglob("*"):
        os.utime(path, (path.stat().st_mtime - 10,) * 2)


@pytest.mark.parametrize("change", [touched, grown, replaced, Path.unlink])
@pytest.mark.parametrize("name", ["saved_model.pb", INDEX, SHARD, "fingerprint.pb"])
@pytest.mark.parametrize("when", ["parse", "serialize"])
def test_a_source_that_changes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Path], Any], when: str
) -> None:
    """Before the files are copied, and after."""
    aged(model)
    real = getattr(savedmodel, when)

    def meanwhile(*args: Any) -> Any:
        if (model / name).exists():
            change(model / name)
        return real(*args)

    monkeypatch.setattr(savedmodel, when, meanwhile)
    with pytest.raises(InputError, match="changed while it was read") as caught:
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["model"]


def test_a_file_that_is_added(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(savedmodel, "_write_fingerprint", lambda *args: (model / "assets" / "more").write_text("more"))
    with pytest.raises(InputError, match=r"changed while it was read \(assets/more\)"):
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("inspected", [False, True])
def test_a_file_that_is_written_while_it_is_read(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inspected: bool
) -> None:
    aged(model)

    class Slow(tf.io.gfile.GFile):
        def read(self, n: int = -1) -> Any:
            content = super().read(n)
            touched(Path(self.name))
            return content

    graph = tmp_path / "graph.pb"
    graph.write_bytes(repeated().SerializeToString())
    os.utime(graph, (1, 1))  # file systems count in milliseconds, and this test takes fewer
    monkeypatch.setattr(tf.io.gfile, "GFile", Slow)
    with pytest.raises(InputError, match=r"saved_model\.pb changed while it was read; try again when it is whole"):
        tfreuse.optimize_saved_model(model, None if inspected else tmp_path / "target", dry_run=inspected)
    with pytest.raises(InputError, match=r"graph\.pb changed while it was read"):
        optimize_graph_file(graph, tmp_path / "target.pb", outputs=["y"], dry_run=inspected)
    assert sorted(os.listdir(tmp_path)) == ["graph.pb", "model"]


def without(*names: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        for name in names:
            (model / name).unlink()

    return change


def sharded(count: int, *present: int) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        data = (model / SHARD).read_bytes()
        (model / SHARD).unlink()
        for number in present:
            (model / "variables" / f"variables.data-{number:05}-of-{count:05}").write_bytes(data)

    return change


MISSING: dict[str, tuple[Callable[[Path], None], str]] = {
    "index": (without(INDEX), INDEX),
    "shard": (without(SHARD), SHARD),
    "both": (without(INDEX, SHARD), INDEX),
    "first of three": (sharded(3, 1, 2), "variables/variables.data-00000-of-00003"),
    "last of three": (sharded(3, 0, 1), "variables/variables.data-00002-of-00003"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_variables_that_are_missing(model: Path, tmp_path: Path, kind: str) -> None:
    change, missing = MISSING[kind]
    change(model)
    before = tree(tmp_path)
    with pytest.raises(InputError) as caught:
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert str(caught.value) == f"{model} is not whole: {missing} is missing"
    assert tree(tmp_path) == before
    assert tfreuse.inspect(model).failures == []  # which needs none of them


@pytest.mark.parametrize("others", [(), ("variables/variables.data-00001-of-00007", "variables/notes")])
def test_all_shards_are_enough(model: Path, tmp_path: Path, others: tuple[str, ...]) -> None:
    sharded(3, 0, 1, 2)(model)
    for name in others:
        (model / name).write_text("left over")
    tfreuse.optimize_saved_model(model, tmp_path / "target")
    checks.assert_carried(str(model), str(tmp_path / "target"))


def test_a_shard_that_cannot_be_read(model: Path, tmp_path: Path) -> None:
    """A link to nothing; permissions mean nothing to the user that runs tests in containers."""
    (model / SHARD).unlink()
    (model / SHARD).symlink_to("nothing")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InputError, match=r"variables\.data-00000-of-00001") as caught:
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_links_that_lead_back(model: Path, tmp_path: Path) -> None:
    """Two of them would take for ever."""
    (model / "assets" / "one").symlink_to(model)
    (model / "assets" / "two").symlink_to(model)
    with pytest.raises(InputError, match="does a link lead back"):
        tfreuse.optimize_saved_model(model, tmp_path / "target")
    assert os.listdir(tmp_path) == ["model"]
