"""Virtual environments that see the libraries of this one, but not its tfreuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIP_INSTALL = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")


def copy_checkout(target: Path, symlinks: bool = True) -> Path:
    """The files that a build needs; without `symlinks`, as git writes them where there are none."""
    target.mkdir()
    for folder in ("tfreuse", "passes"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=ignored)
    for file in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy2(ROOT / file, target)
    if not symlinks:
        link = target / "tfreuse" / "passes"
        text = os.readlink(link)
        link.unlink()
        link.write_text(text)
    return target


def link_libraries(target: Path, without: Iterable[str] = ()) -> Path:
    """A folder of links to all that this environment has installed, tfreuse and names that begin as in `without` aside.

    Metadata goes with the modules, so what is left out is not installed for `importlib.metadata` either.
    """
    hidden = ("tfreuse", "__editable__", *without)
    target.mkdir()
    for source in dict.fromkeys(sysconfig.get_path(scheme) for scheme in ("purelib", "platlib")):
        for entry in Path(source).iterdir():
            if not entry.name.startswith(hidden):
                (target / entry.name).symlink_to(entry)
    return target


class Environment:
    """A virtual environment whose further libraries are those in the folder `libraries`."""

    def __init__(self, folder: Path, libraries: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        (site_packages,) = folder.glob("lib/python*/site-packages")
        (site_packages / "libraries.pth").write_text(f"{libraries}\n")
        self.site_packages = site_packages
        self.scripts = folder / "bin"

    def run(self, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a script of this environment to its end, whatever its exit code."""
        return run([str(self.scripts / program), *arguments], cwd=cwd)

    def install(self, what: Path, *options: str) -> None:
        """Install a folder or an archive, without its dependencies and without a network."""
        done = self.run("python", *PIP_INSTALL, *options, str(what), cwd=what.parent)
        assert done.returncode == 0, done.stderr


def run(command: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `command` with no PYTHONPATH but the one in `variables`."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env={**inherited, **variables}, capture_output=True, text=True)
