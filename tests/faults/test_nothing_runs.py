"""Neither `optimize` nor `inspect` runs, loads or unpickles anything, and nothing beside source and target is read.

A process of its own does it under an audit hook, which sees what Python opens, executes and unpickles. What TensorFlow
opens from C++ goes past that hook; all of tfreuse's own goes through `tf.io.gfile`, which is watched beside it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import spawn, tree
from tests.cli.graphs import repeated, rewritten
from tests.offline import checks

WATCHED = """
import json, os, sys
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, execute
from tensorflow.python.eager.polymorphic_function import atomic_function
from tensorflow.python.framework import importer, ops
from tensorflow.python.client import session
from tensorflow.python.saved_model import fingerprinting_utils
from tensorflow.python.training import py_checkpoint_reader
import tfreuse.cli.main
import tfreuse.passes.cse, tfreuse.passes.dce, tfreuse.passes.dedupe_constants, tfreuse.passes.dedupe_reads
seen = {"forbidden": [], "gfile": [], "opened": []}

def forbid(owner, name):
    real = getattr(owner, name)
    def forbidden(*args, **options):
        seen["forbidden"].append(name)
        raise SystemError(f"{name} was used")
    setattr(owner, name, forbidden)

forbid(session.BaseSession, "__init__")
forbid(session.BaseSession, "run")
forbid(atomic_function.AtomicFunction, "call_flat")
forbid(pywrap_tfe, "TFE_Py_FastPathExecute")
forbid(pywrap_tfe, "TFE_Py_Execute")
forbid(context.Context, "ensure_initialized")
forbid(execute, "quick_execute")
forbid(execute, "execute")
forbid(importer, "import_graph_def")
forbid(ops.Graph, "_create_op_internal")
forbid(tf.saved_model, "load")
forbid(tf.compat.v1.saved_model, "load")
forbid(tf.io, "read_file")
forbid(tf, "py_function")
forbid(tf, "numpy_function")
forbid(tf, "load_op_library")
forbid(tf, "load_library")
forbid(tf, "import_graph_def")
forbid(tf.train, "load_checkpoint")
forbid(py_checkpoint_reader, "NewCheckpointReader")
forbid(tf.Variable, "__init__")

def watch(owner, name):
    real = getattr(owner, name)
    def watching(path, *args, **options):
        seen["gfile"].append([name, os.path.realpath(path), *(a for a in args if isinstance(a, str))])
        return real(path, *args, **options)
    setattr(owner, name, watching)

for name in ("copy", "listdir", "GFile", "stat", "exists", "isdir", "makedirs", "rename", "remove", "rmtree"):
    watch(tf.io.gfile, name)

REFUSED = (
    *("pickle.find_class", "marshal.loads", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    *("socket.connect", "socket.getaddrinfo", "ctypes.dlopen", "urllib.Request"),
)
places = (*sys.path, sys.prefix, sys.base_prefix, "/proc", "/dev", "/etc", "/usr")
libraries = [os.path.realpath(place) for place in places if place]
here = os.getcwd() + os.sep  # which may lie in the environment's own folder

def audit(event, args):
    if event in REFUSED and not importing():
        seen["forbidden"].append(event)
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if path.startswith(here) or not any(path.startswith(library + os.sep) for library in libraries):
            seen["opened"].append(path)

def importing():
    frame = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

sys.addaudithook(audit)
import atexit
atexit.register(lambda: print("SEEN" + json.dumps(seen), file=sys.__stdout__, flush=True))
"""


def watched(folder: Path, *arguments: str, code: str = WATCHED) -> dict[str, list[list[str]]]:
    """What the command used and opened."""
    done = spawn(*arguments, cwd=folder, code=code)
    assert (done.code, done.err) == (0, ""), done
    seen: dict[str, list[list[str]]] = json.loads(done.out.rpartition("SEEN")[2])
    return seen


RUNNING = """
load, read = lambda: tf.saved_model.load("model"), lambda: tf.io.read_file("model/saved_model.pb")
for run in (lambda: tf.constant(1), read, load):
    try:
        run()
    except SystemError:
        seen["forbidden"].append("seen")
import pickle
pickle.loads(pickle.dumps(os.path.join))
open("outside.txt").close()
"""


def test_the_watch_has_eyes(model: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("not the model's")
    seen = watched(tmp_path, "inspect", "model", code=WATCHED + RUNNING)
    assert seen["forbidden"].count("seen") == 3 and "pickle.find_class" in seen["forbidden"]
    assert os.path.realpath(tmp_path / "outside.txt") in seen["opened"]


COMMANDS = (
    ("inspect", "model"),
    ("optimize", "model", "new/small"),
    ("optimize", "graph.pb", "s.pb", "--outputs", "y"),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=["inspect", "optimize", "graph"])
def test_nothing_runs(model: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The model names a file outside of it, as a model may, in a node and as an asset."""
    outside = tmp_path / "outside.txt"
    outside.write_text("not the model's")

    def change(graph: Any) -> None:
        add = graph.graph_def.node.add
        name = add(name="secret", op="Const")
        name.attr["dtype"].type = 7
        name.attr["value"].tensor.dtype = 7
        name.attr["value"].tensor.string_val.append(str(outside).encode())
        name.attr["value"].tensor.tensor_shape.SetInParent()
        add(name="reader", op="ReadFile", input=["secret"])
        asset = graph.asset_file_def.add(filename="../../outside.txt")
        asset.tensor_info.name = "secret:0"

    rewritten(model, change)
    (tmp_path / "graph.pb").write_bytes(repeated().SerializeToString())
    before = tree(tmp_path)
    seen = watched(tmp_path, *arguments)
    assert seen["forbidden"] == []
    root, source = os.path.realpath(tmp_path), os.path.realpath(tmp_path / arguments[1])
    # `saved_model.pb` and what lies beside it, read through gfile alone, and the target's folder, which is locked.
    target = os.path.realpath((tmp_path / arguments[2]).parent) if len(arguments) > 2 else source
    assert all(path == target or path.startswith(f"{target}/.") for path in seen["opened"]), seen["opened"]
    read = [path for name, path, *mode in seen["gfile"] if name in ("copy", "listdir", "GFile") and mode != ["wb"]]
    hidden = f"{root}/new/.small.tfreuse-"
    assert read and all(path == source or path.startswith((f"{source}/", hidden)) for path in read), read
    assert {name: data for name, data in tree(tmp_path).items() if name in before} == before
    if arguments[0] == "inspect":
        assert tree(tmp_path) == before
        assert not any("variables/" in path for path in read if path != f"{source}/variables")
    elif arguments[1] == "model":
        checks.assert_carried(str(model), str(tmp_path / "new" / "small"))
