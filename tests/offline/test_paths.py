"""Paths of every kind: objects, stores other than the disk, models in text form, names that look odd."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

import tfreuse
from tests.offline import checks, models_v1  # noqa: F401  (models_v1 adds its builders)
from tests.offline.models import optimized, saved
from tfreuse.errors import InputError

STORE = "ram://tests"
"""TensorFlow's file system in memory: only what goes through `tf.io.gfile` finds it."""


@pytest.fixture
def store() -> Iterator[str]:
    """A folder in memory with a model in it."""
    copy(saved("service"), f"{STORE}/source")
    yield STORE
    for folder, _, files in list(tf.io.gfile.walk(STORE)):
        for name in files:
            tf.io.gfile.remove(f"{folder}/{name}")


def copy(source: str, target: str) -> None:
    """A tree, file by file."""
    for folder, _, files in tf.io.gfile.walk(source):
        there = folder.replace(source, target, 1)
        tf.io.gfile.makedirs(there)
        for name in files:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(there, name), overwrite=True)


def files(path: str) -> dict[str, bytes]:
    """Every file below a path in a store, fingerprints (which hold a random number) aside."""
    found = {}
    for folder, _, names in tf.io.gfile.walk(path):
        for name in names:
            if name != "fingerprint.pb":
                with tf.io.gfile.GFile(f"{folder}/{name}", "rb") as file:
                    found[f"{folder}/{name}".removeprefix(path)] = file.read()
    return found


def test_from_a_store(store: str, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    tfreuse.optimize_saved_model(f"{store}/source", target)
    checks.assert_carried(saved("service"), target)
    assert checks.content(target) == checks.content(optimized("service"))


def test_to_a_store(store: str) -> None:
    target = f"{store}/below/target"
    tfreuse.optimize_saved_model(f"{store}/source", target)
    assert files(target) == files(optimized("service"))
    assert tf.io.gfile.listdir(f"{store}/below") == ["target"]
    checks.assert_same(
        checks.run_loaded(saved("service"))["features"],
        _run(target, "features"),
    )


def test_store_refuses_and_overwrites(store: str) -> None:
    target = f"{store}/target"
    tfreuse.optimize_saved_model(f"{store}/source", target)
    with pytest.raises(InputError, match="exists"):
        tfreuse.optimize_saved_model(f"{store}/source", target)
    with tf.io.gfile.GFile(f"{target}/notes.txt", "w") as file:
        file.write("notes")
    tfreuse.optimize_saved_model(f"{store}/source", target, overwrite=True)
    assert files(target) == files(optimized("service"))
    for inside in (f"{store}/source", f"{store}/source/variables/new", store):
        with pytest.raises(InputError, match=r"same|inside"):
            tfreuse.optimize_saved_model(f"{store}/source", inside, overwrite=True)


def _run(path: str, key: str) -> object:
    loaded = tf.saved_model.load(path)
    fed = checks.feeds(checks.serving(saved("service")), key)
    inputs = {name: tf.constant(value) for name, value in fed.items()}
    return [{name: value.numpy() for name, value in loaded.signatures[key](**inputs).items()} for _ in range(2)]


def test_path_objects(tmp_path: Path) -> None:
    target = tmp_path / "target"
    report = tfreuse.optimize_saved_model(Path(saved("softened")), target)
    assert report.to_dict()["model"] == {
        "kind": "SavedModel",
        "name": saved("softened"),
        "target": str(target),
    }
    assert checks.content(str(target)) == checks.content(optimized("softened"))


@pytest.mark.parametrize("name", ["with space", "ünïcode", "-dash", "[brackets]*?", ".hidden", "a" * 200])
def test_odd_names(tmp_path: Path, name: str) -> None:
    source, target = tmp_path / name / "source", tmp_path / name / "target"
    shutil.copytree(saved("service"), source)
    for _ in range(2):
        tfreuse.optimize_saved_model(source, target, overwrite=True)
    checks.assert_carried(str(source), str(target))
    assert sorted(os.listdir(tmp_path / name)) == ["source", "target"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved("softened"), "source")
    tfreuse.optimize_saved_model("source", "target/")
    tfreuse.optimize_saved_model("./source", "deep/er/target")
    assert checks.content("target") == checks.content("deep/er/target") == checks.content(optimized("softened"))
    assert sorted(os.listdir(".")) == ["deep", "source", "target"]


def test_links_and_empty_folders_and_other_files(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(saved("softened"), source)
    (source / "assets.extra").mkdir()
    (source / "assets.extra" / "config.pb").write_bytes(b"\x00\x01")
    (source / "debug" / "empty").mkdir(parents=True)
    (source / "keras_metadata.pb").write_bytes(b"metadata")
    (source / ".hidden").write_text("hidden")
    (source / "linked.txt").symlink_to(source / ".hidden")
    tfreuse.optimize_saved_model(source, target)
    checks.assert_carried(str(source), str(target))


def test_text_form_stays_text(tmp_path: Path) -> None:
    path = optimized("v1-text")
    assert "saved_model.pbtxt" in checks.tree(path) and "saved_model.pb" not in checks.tree(path)
    binary = str(tmp_path / "binary")
    shutil.copytree(saved("v1-text"), binary)
    Path(binary, "saved_model.pb").write_bytes(checks.read(binary).SerializeToString())
    Path(binary, "saved_model.pbtxt").unlink()
    tfreuse.optimize_saved_model(binary, str(tmp_path / "target"))
    assert checks.read(str(tmp_path / "target")) == checks.read(path)


def test_text_form_beside_a_fingerprint(tmp_path: Path) -> None:
    """TensorFlow makes fingerprints of the binary form alone, and loads a model that has none."""
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(saved("softened"), source)
    (source / "saved_model.pbtxt").write_text(str(checks.read(str(source))))
    (source / "saved_model.pb").unlink()
    tfreuse.optimize_saved_model(source, target)
    with checks.as_written():
        checks.assert_same(checks.run_loaded(saved("softened")), checks.run_loaded(str(target)))


def test_the_form_that_tensorflow_reads_is_rewritten(tmp_path: Path) -> None:
    """Where a folder holds both forms, TensorFlow reads the binary one."""
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(saved("softened"), source)
    (source / "saved_model.pbtxt").write_text(str(checks.read(saved("softened"))))
    tfreuse.optimize_saved_model(source, target)
    assert checks.content(str(target)) == checks.content(optimized("softened"))
