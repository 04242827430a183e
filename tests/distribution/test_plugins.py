"""A second distribution adds passes, remarks and op facts by entry points; what is wrong with one is said in a line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distribution.environments import PIP_INSTALL, ROOT, run

PLUGIN = ROOT / "tests" / "plugin_distribution"
CASES = sorted((PLUGIN / "cases").glob("*.txt"))

CLI = ("-m", "tfreuse.cli.main")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the plug-in was installed."""
    folder = tmp_path_factory.mktemp("plugin")
    # A build writes beside its sources.
    sources = shutil.copytree(PLUGIN, folder / "sources", ignore=shutil.ignore_patterns("__pycache__"))
    target = folder / "installed"
    done = run([sys.executable, *PIP_INSTALL, "--target", str(target), str(sources)], folder)
    assert done.returncode == 0, done.stderr
    return target


def python(plugin: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python with the folder `plugin` on its path."""
    return run([sys.executable, *arguments], cwd, PYTHONPATH=f"{plugin}:{ROOT}", TF_CPP_MIN_LOG_LEVEL="3")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path, plugin: Path, tmp_path: Path) -> None:
    done = python(plugin, "-m", "tests.distribution.plugin_checks", str(case), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_pipeline_text(plugin: Path, tmp_path: Path) -> None:
    program = """
from tfreuse.pipeline.text import parse_pipeline, print_pipeline
print(print_pipeline(parse_pipeline("count-nodes{ops=Neg+Exp},fold-double-negation,dce")))
"""
    done = python(plugin, "-c", program, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "count-nodes{ops=Neg+Exp},fold-double-negation,dce\n"), done.stderr


def test_op_facts(plugin: Path, tmp_path: Path) -> None:
    program = """
from tfreuse.ops.facts import Access, Facts, builtin_facts
from tfreuse.ops.plugins import installed_facts
added = {op: facts for op, facts in installed_facts().items() if op not in builtin_facts()}
assert added == {
    "ExampleScale": Facts("ExampleScale", "pure"),
    "ExampleTally": Facts("ExampleTally", "effects", (Access("write", "counter"),)),
}, added
"""
    done = python(plugin, "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.tensorflow
def test_same_bits(plugin: Path, tmp_path: Path) -> None:
    """The plug-in's rewrite, through the command, on floats of every bit pattern that numbers have trouble with."""
    (tmp_path / "make.py").write_text(
        """
import tensorflow as tf
with tf.Graph().as_default() as graph:
    x = tf.compat.v1.placeholder(tf.float32, name="x")
    y = tf.negative(tf.negative(tf.reshape(x, [-1])))
    tf.concat([y, tf.sqrt(y)], 0, name="out")
tf.io.write_graph(graph, ".", "before.pb", as_text=False)
"""
    )
    (tmp_path / "compare.py").write_text(
        """
import sys
import numpy as np
import tensorflow as tf
bits = [0, 1, 0x007FFFFF, 0x00800000, 0x3F800001, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF]
bits = np.array([sign | word for word in bits for sign in (0, 0x80000000)], np.uint32)
results = []
for path in sys.argv[1:]:
    graph_def = tf.compat.v1.GraphDef.FromString(open(path, "rb").read())
    print(sum(node.op == "Neg" for node in graph_def.node))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        results.append(session.run("out:0", {"x:0": bits.view(np.float32)}).tobytes())
assert results[0] == results[1]
"""
    )
    assert python(plugin, "make.py", cwd=tmp_path).returncode == 0
    command = ["optimize", "before.pb", "after.pb", "--outputs", "out", "--json"]
    command += ["--pipeline", "count-nodes,fold-double-negation,dce"]
    done = python(plugin, *CLI, *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["pipeline"] == "count-nodes,fold-double-negation,dce"
    assert "nodes-counted" in [remark["id"] for remark in report["remarks"]]
    compared = python(plugin, "compare.py", "before.pb", "after.pb", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert compared.stdout.split() == ["2", "0"]


def distribution(folder: Path, source: str, entry_points: str) -> Path:
    """A folder as pip leaves it behind a distribution `tfreuse-plugin-other` with the module `other`."""
    metadata = folder / "tfreuse_plugin_other-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tfreuse-plugin-other\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    (folder / "other.py").write_text(source)
    return folder


PASS = """
from dataclasses import dataclass
from tfreuse.pipeline.passes import Pass
@dataclass(frozen=True)
class Other(Pass):
    pass
"""

CLASHING_REMARK = """
from tfreuse.pipeline.passes import Pass
from tfreuse.remarks.catalogue import PASSED, Entry
class Other(Pass):
    catalogue = (Entry("merged", PASSED, "Something else."),)
"""

BROKEN = {
    "a name of tfreuse's": (
        PASS,
        "cse = other:Other",
        "pass 'cse' comes from tfreuse and from tfreuse-plugin-other; uninstall one of them",
    ),
    "an import that fails": (
        "raise ImportError('libother.so:\\n cannot open shared object file')",
        "other = other:Other",
        "pass 'other' of tfreuse-plugin-other cannot be loaded: libother.so: cannot open shared object file",
    ),
    "a name that the module lacks": (
        "",
        "other = other:Other",
        "pass 'other' of tfreuse-plugin-other cannot be loaded: module 'other' has no attribute 'Other'",
    ),
    "no pass": (
        "Other = 5",
        "other = other:Other",
        "pass 'other' of tfreuse-plugin-other is no subclass of tfreuse.pipeline.passes.Pass",
    ),
    "no dataclass": (
        "from tfreuse.pipeline.passes import Pass\nclass Other(Pass): pass",
        "other = other:Other",
        "pass 'other' is not a dataclass",
    ),
    "another name than its class's": (
        PASS,
        "another = other:Other",
        "pass 'another' of tfreuse-plugin-other calls itself 'other'; both names must be the same",
    ),
    "a remark of tfreuse's": (
        CLASHING_REMARK,
        "other = other:Other",
        "pass 'other' of tfreuse-plugin-other cannot be loaded: remark 'merged' is in the catalogue already",
    ),
}


@pytest.mark.parametrize(("source", "entry_point", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_pass(source: str, entry_point: str, message: str, tmp_path: Path) -> None:
    other = distribution(tmp_path / "other", source, f"[tfreuse.passes]\n{entry_point}\n")
    command = ["inspect", "model", "--pipeline", entry_point.split()[0]]
    done = python(other, *CLI, *command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tfreuse: error: {message}\n"


def test_two_distributions_with_one_name(plugin: Path, tmp_path: Path) -> None:
    distribution(tmp_path / "other", PASS, "[tfreuse.passes]\ncount-nodes = other:Other\n")
    both = Path(f"{plugin}:{tmp_path / 'other'}")
    done = python(both, *CLI, "inspect", "model", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "tfreuse: error: pass 'count-nodes' comes from tfreuse-plugin-example and from tfreuse-plugin-other; "
        "uninstall one of them\n"
    )


def test_a_broken_pass_that_is_not_used_does_no_harm(tmp_path: Path) -> None:
    other = distribution(tmp_path / "other", "raise ImportError", "[tfreuse.passes]\nother = other:Other\n")
    program = "from tfreuse.pipeline.text import PRESETS, parse_pipeline; parse_pipeline(PRESETS['exact'])"
    done = python(other, "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


BROKEN_FACTS = {
    "an op of tfreuse's": (
        "ROWS = 'Conv2D pure'",
        "op facts of tfreuse-plugin-other: Conv2D has a row already; remove it there",
    ),
    "a row that does not parse": (
        "ROWS = 'OtherOp pure and simple'",
        "op facts 'other' of tfreuse-plugin-other: cannot read the row 'OtherOp pure and simple'",
    ),
    "no text": ("ROWS = 5", "op facts 'other' of tfreuse-plugin-other must be a text of rows"),
    "an import that fails": (
        "raise ImportError('libother.so:\\n cannot open shared object file')",
        "op facts 'other' of tfreuse-plugin-other cannot be loaded: libother.so: cannot open shared object file",
    ),
}


@pytest.mark.parametrize(("source", "message"), BROKEN_FACTS.values(), ids=BROKEN_FACTS)
def test_broken_op_facts(source: str, message: str, tmp_path: Path) -> None:
    other = distribution(tmp_path / "other", source, "[tfreuse.ops]\nother = other:ROWS\n")
    program = """
from tfreuse.errors import InputError
from tfreuse.ops.plugins import installed_facts
try:
    installed_facts()
except InputError as error:
    print(error)
"""
    done = python(other, "-c", program, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{message}\n"), done.stderr
