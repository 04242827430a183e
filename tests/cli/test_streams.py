"""Standard streams that are closed, full, read no further or narrow, and arguments that are no UTF-8."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import CLI, ROOT, Command, spawn, tree

LATIN = os.fsdecode(b"caf\xe9")
"""A path that is no UTF-8, as it comes from the command line."""
INSPECT = ("inspect", "graph.pb", "--outputs", "y")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="streams are opened and closed as Unix does it")


@pytest.mark.parametrize("arguments", [("--version",), INSPECT])
def test_standard_output_is_full(graph: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, a file that is always full")
    with open("/dev/full", "w") as full:
        done = spawn(*arguments, cwd=tmp_path, stdout=full)
    assert done.error == f"cannot write to standard output: {os.strerror(errno.ENOSPC)}"


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), (*INSPECT, "--json")])
def test_nobody_reads_on(graph: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """As in `| true` and `| head -1`: the output is short, so that it is written when the command ends."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = spawn(*arguments, cwd=tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert (done.code, done.err) == (1, "")


def shell(arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The command with what a shell makes of its streams."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f"{' '.join(CLI)} {arguments}"
    return subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_closed_streams(command: Command, graph: Path, tmp_path: Path) -> None:
    """The target would else take the number of a stream, and hold what is written to that."""
    done = shell("optimize graph.pb small.pb --outputs y <&- >&- 2>&-", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert command("optimize", "graph.pb", "other.pb", "--outputs", "y").code == 0
    assert tree(tmp_path)["small.pb"] == tree(tmp_path)["other.pb"]


@pytest.mark.parametrize(("arguments", "code"), [("--help >&-", 0), ("nothing 2>&-", 2), ("inspect '' 2>&-", 1)])
def test_one_closed_stream(tmp_path: Path, arguments: str, code: int) -> None:
    done = shell(arguments, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_standard_error_is_full(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, a file that is always full")
    with open("/dev/full", "w") as full:
        assert spawn("inspect", "", cwd=tmp_path, stderr=full).code == 1


def test_narrow_encoding(tmp_path: Path) -> None:
    from tests.cli.graphs import repeated

    (tmp_path / "漢.pb").write_bytes(repeated().SerializeToString())
    done = spawn("inspect", "漢.pb", "--outputs", "y", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("\\u6f22.pb (GraphDef)")


def test_paths_that_are_no_utf8(command: Command, model: Path, graph: Path) -> None:
    for arguments in (["inspect", LATIN], ["inspect", f"{LATIN}.pb", "--outputs", "y"]):
        assert command.refusal(*arguments).startswith("the source path caf\\udce9")
    for arguments in (["model", LATIN], ["graph.pb", LATIN, "--outputs", "y"]):
        assert command.refusal("optimize", *arguments).startswith("the target path caf\\udce9")


def test_other_arguments_that_are_no_utf8(command: Command, model: Path, graph: Path) -> None:
    for option in ("--tags", "--pipeline", "--preset"):
        assert "caf\\udce9" in command.refusal("inspect", "model", option, LATIN)
    for option in ("--outputs", "--inputs"):
        assert "caf\\udce9" in command.refusal("inspect", "graph.pb", "--outputs", "y", option, LATIN)
    assert command(LATIN).code == 2


def test_a_source_that_is_no_utf8_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert "is not UTF-8" in spawn("inspect", os.fsencode(LATIN), cwd=tmp_path).error
