"""setup.cfg against the files: packages, data files, dependencies."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from tests.distribution.environments import ROOT

CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg", encoding="utf-8")

DISTRIBUTIONS = {"google": "protobuf"}
"""Distributions that are not called as the module that they give."""
OPTIONAL = {"tensorflow"}
"""Modules that no dependency gives: the user chooses a TensorFlow."""


def listed(section: str, option: str) -> list[str]:
    return CONFIG[section][option].split()


def folders() -> dict[str, Path]:
    """Every folder of the package by module name; `passes` by its own path and not by the symlink."""
    found = {"tfreuse.passes": ROOT / "passes"}
    for file in (ROOT / "tfreuse").rglob("*"):
        if file.is_file() and "passes" not in file.relative_to(ROOT).parts and "__pycache__" not in file.parts:
            found[".".join(file.parent.relative_to(ROOT).parts)] = file.parent
    return found


def sources() -> list[Path]:
    return sorted(file for folder in folders().values() for file in folder.glob("*.py"))


def test_packages_are_the_folders_on_disk() -> None:
    assert listed("options", "packages") == sorted(folders())


def test_every_package_has_an_init() -> None:
    assert [name for name, folder in folders().items() if not (folder / "__init__.py").is_file()] == []


def test_package_data_covers_every_other_file() -> None:
    data = {package: patterns.split() for package, patterns in CONFIG["options.package_data"].items()}
    missing = [
        str(file.relative_to(ROOT))
        for package, folder in folders().items()
        for file in folder.iterdir()
        if file.is_file() and file.suffix != ".py"
        if not any(fnmatch(file.name, pattern) for pattern in data.get(package, ()))
    ]
    assert missing == []


def test_the_symlink_leads_to_passes() -> None:
    link = ROOT / "tfreuse" / "passes"
    assert link.is_symlink()
    assert link.readlink() == Path("..", "passes")


def test_imports_are_declared() -> None:
    declared = {re.split(r"[ <>=!~]", line)[0] for line in CONFIG["options"]["install_requires"].strip().splitlines()}
    allowed = {*sys.stdlib_module_names, *OPTIONAL, "tfreuse"}
    modules = set()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.module and not node.level, f"{file}: relative import"
                modules.add(node.module.split(".")[0])
    assert {DISTRIBUTIONS.get(module, module) for module in modules - allowed} == declared
