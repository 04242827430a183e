"""What must not import TensorFlow, and what is said where there is none that can be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.distribution.environments import ROOT, Environment, link_libraries, run

CLI = [sys.executable, "-m", "tfreuse.cli.main"]

LOADED = "assert not {name.partition('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'google'}"

PROGRAMS = {
    "the package": "import tfreuse, tfreuse.passes.cse; dir(tfreuse)",
    "every public name": "import tfreuse; [getattr(tfreuse, name) for name in tfreuse.__all__]",
    "the command line": "import tfreuse.cli.main",
    "every pass": "from tfreuse.pipeline.registry import find_pass, pass_types; list(map(find_pass, pass_types()))",
    "op facts": "from tfreuse.ops.plugins import installed_facts; installed_facts()",
}

UNUSABLE = {
    "absent": "raise ModuleNotFoundError('No module named tensorflow', name='tensorflow')",
    "without its library": "raise ImportError('libtensorflow_framework.so.2:\\n cannot open shared object file')",
    "at odds with another library": "raise TypeError('Descriptors cannot be created directly.\\nMore information')",
    "too old": "__version__ = '2.10.1'",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_imports_no_tensorflow(program: str, tmp_path: Path) -> None:
    done = run([sys.executable, "-c", f"import sys; {program}; {LOADED}"], tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["optimize", "--help"], ["inspect", "--help"]])
def test_help_imports_no_tensorflow(arguments: list[str], tmp_path: Path) -> None:
    path = fake_tensorflow(tmp_path, "raise SystemExit('TensorFlow was imported')")
    done = run([*CLI, *arguments], tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("source", UNUSABLE.values(), ids=UNUSABLE)
def test_command_with_an_unusable_tensorflow(source: str, tmp_path: Path) -> None:
    done = run([*CLI, "inspect", "model"], tmp_path, PYTHONPATH=fake_tensorflow(tmp_path, source))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tfreuse: error: TensorFlow ")


@pytest.mark.parametrize("source", UNUSABLE.values(), ids=UNUSABLE)
def test_functions_with_an_unusable_tensorflow(source: str, tmp_path: Path) -> None:
    program = """
import tfreuse
from tfreuse.errors import TensorFlowMissingError
for call in (lambda: tfreuse.dedupe(abs), lambda: tfreuse.optimize_graph_def(None, outputs=["y"])):
    try:
        call()
    except TensorFlowMissingError as error:
        assert "\\n" not in str(error), error
    else:
        raise SystemExit("no error")
"""
    done = run([sys.executable, "-c", program], tmp_path, PYTHONPATH=fake_tensorflow(tmp_path, source))
    assert done.returncode == 0, done.stderr


def test_command_where_no_tensorflow_is_installed(tmp_path: Path) -> None:
    """As after `pip install tfreuse` without an extra: what TensorFlow alone brings is absent as well."""
    libraries = link_libraries(tmp_path / "libraries", without=("tensorflow", "keras", "h5py", "ml_dtypes", "grpc"))
    environment = Environment(tmp_path / "environment", libraries)
    (environment.site_packages / "tfreuse.pth").write_text(f"{ROOT}\n")
    assert environment.run("python", "-m", "tfreuse.cli.main", "--help", cwd=tmp_path).returncode == 0
    done = environment.run("python", "-m", "tfreuse.cli.main", "inspect", "model", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == (
        "tfreuse: error: TensorFlow cannot be imported; install one: "
        "pip install 'tfreuse[cpu]' or 'tfreuse[tensorflow]'"
    )


def fake_tensorflow(folder: Path, source: str) -> str:
    """A search path on which a TensorFlow goes first that does what `source` says."""
    package = folder / "fake" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    return f"{package.parent}:{ROOT}"
