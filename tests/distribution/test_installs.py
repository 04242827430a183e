"""tfreuse imports and starts however it came here: editable, installed, from the checkout, by wheel, by sdist."""

from __future__ import annotations

import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.distribution.environments import ROOT, Environment, copy_checkout, link_libraries

BUILD = "import setuptools.build_meta as backend; backend.build_{kind}({target!r})"

PROBE = """
import importlib.util, json, pathlib, sys
import tfreuse, tfreuse.passes.cse
from tfreuse.ops.facts import builtin_commutative, builtin_facts
from tfreuse.pipeline.text import PRESETS, parse_pipeline
assert builtin_facts() and builtin_commutative()
parse_pipeline(PRESETS["exact"])
folder = pathlib.Path(tfreuse.__file__).parent
print(json.dumps({
    "folder": str(folder),
    "cse": tfreuse.passes.cse.__file__,
    "data": sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and file.name != "passes"
    ),
    "passes at the top": importlib.util.find_spec("passes") is not None,
    "tensorflow": "tensorflow" in sys.modules,
}))
"""

DATA = sorted(
    str(file.relative_to(ROOT / "tfreuse"))
    for file in (ROOT / "tfreuse").rglob("*")
    if file.is_file() and file.suffix not in (".py", ".pyc")
)

INSTALLED = ("installed", "wheel", "sdist")
EDITABLE = ("editable", "editable without symlinks")


@dataclass(frozen=True)
class Way:
    """An environment into which tfreuse came in one way, and the folder to stand in."""

    name: str
    environment: Environment
    cwd: Path
    origin: Path

    def command(self, *arguments: str) -> str:
        """What the command `tfreuse` prints."""
        if self.name == "uninstalled":
            done = self.environment.run("python", "-m", "tfreuse.cli.main", *arguments, cwd=self.cwd)
        else:
            done = self.environment.run("tfreuse", *arguments, cwd=self.cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return link_libraries(tmp_path_factory.mktemp("libraries") / "all")


@pytest.fixture(scope="module")
def built(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel and a source distribution."""
    folder = tmp_path_factory.mktemp("built")
    environment = Environment(folder / "environment", libraries)
    files = {}
    for kind in ("wheel", "sdist"):
        checkout = copy_checkout(folder / f"checkout for the {kind}")
        target = folder / kind
        target.mkdir()
        done = environment.run("python", "-c", BUILD.format(kind=kind, target=str(target)), cwd=checkout)
        assert done.returncode == 0, done.stderr
        (files[kind],) = target.iterdir()
    return files


@pytest.fixture(scope="module", params=["uninstalled", *EDITABLE, *INSTALLED])
def way(
    request: pytest.FixtureRequest,
    libraries: Path,
    built: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Way:
    folder = tmp_path_factory.mktemp("way")
    environment = Environment(folder / "environment", libraries)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    name = request.param
    if name == "uninstalled":
        checkout = copy_checkout(folder / "checkout")
        return Way(name, environment, checkout, checkout)
    if name in EDITABLE:
        checkout = copy_checkout(folder / "checkout", symlinks=name == "editable")
        environment.install(checkout, "--editable")
        return Way(name, environment, elsewhere, checkout)
    if name == "wheel":
        environment.install(built["wheel"])
    elif name == "installed":
        environment.install(copy_checkout(folder / "checkout"))
    else:
        environment.install(unpack(built["sdist"], folder / "unpacked"))
    return Way(name, environment, elsewhere, environment.site_packages)


def unpack(sdist: Path, target: Path) -> Path:
    """The files of the source distribution, its symlinks aside: some systems have none."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.issym()]
        archive.extractall(target, members)
    (folder,) = target.iterdir()
    return folder


def test_imports(way: Way) -> None:
    done = way.environment.run("python", "-c", PROBE, cwd=way.cwd)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["folder"]).resolve() == (way.origin / "tfreuse").resolve()
    assert Path(found["cse"]).resolve().is_relative_to(way.origin.resolve())
    assert found["data"] == DATA
    assert not found["tensorflow"]
    assert found["passes at the top"] == (way.name == "uninstalled")


def test_command(way: Way) -> None:
    assert "optimize" in way.command("--help")
    assert way.command("--version").startswith("tfreuse")


def test_running_from_the_checkout_where_tfreuse_is_installed(libraries: Path, tmp_path: Path) -> None:
    """The checkout goes before what is installed, all of it."""
    environment = Environment(tmp_path / "environment", libraries)
    checkout = copy_checkout(tmp_path / "checkout")
    environment.install(checkout)
    done = environment.run("python", "-c", PROBE, cwd=checkout)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["folder"]).is_relative_to(checkout)
    assert Path(found["cse"]).is_relative_to(checkout)


def test_wheel(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    first = {name.split("/")[0] for name in names}
    assert {name for name in first if not name.endswith(".dist-info")} == {"tfreuse"}
    modules = {f"tfreuse/passes/{file.name}" for file in (ROOT / "passes").glob("*.py")}
    assert modules <= set(names)
    assert {f"tfreuse/{name}" for name in DATA} <= set(names)


def test_sdist(built: dict[str, Path]) -> None:
    """The passes are in it once, under the name that setup.cfg maps."""
    with tarfile.open(built["sdist"]) as archive:
        names = {member.name.split("/", 1)[-1] for member in archive.getmembers()}
    assert {f"passes/{file.name}" for file in (ROOT / "passes").glob("*.py")} <= names
    assert {name for name in names if name.startswith("tfreuse/passes")} <= {"tfreuse/passes"}
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"} <= names
