"""Damages a small SavedModel in many ways and optimises it: `python -m tools.mutate --count 10000 --seed 0`.

Whatever comes of it has to be a refusal in one line, with nothing left behind, or a model that can be read. A crash
ends this process; the folder that it names then still holds the model that did it.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "saved_model.pb"
HANG = 300
"""Seconds for one model of a few kilobytes, which takes a fiftieth of one; the machine may sleep in between."""


def flip(data: bytes, draw: random.Random) -> bytes:
    """A few bits turned over."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 2, 8, 64))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, draw: random.Random) -> bytes:
    """A stretch of other bytes: zeros, ones, noise, or a stretch from elsewhere in the file."""
    length, at = draw.randrange(1, 64), draw.randrange(len(data))
    source = draw.randrange(len(data))
    stretch = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length), data[source : source + length]))
    return data[:at] + stretch + data[at + draw.choice((0, len(stretch))) :]


def truncate(data: bytes, draw: random.Random) -> bytes:
    """The beginning, or all but a piece."""
    at = draw.randrange(len(data))
    return data[:at] + (data[at + draw.randrange(1, 200) :] if draw.random() < 0.5 else b"")


def _graphs(proto: Any) -> list[Any]:
    graph = proto.meta_graphs[0].graph_def
    return [graph.node, *(function.node_def for function in graph.library.function)]


def _nodes(proto: Any, draw: random.Random) -> tuple[Any, Any]:
    """Two nodes of one graph."""
    nodes = draw.choice([nodes for nodes in _graphs(proto) if nodes])
    return draw.choice(nodes), draw.choice(nodes)


def dangle(proto: Any, draw: random.Random) -> None:
    """An input of no node, or none where there was one."""
    node, _ = _nodes(proto, draw)
    if node.input and draw.random() < 0.5:
        del node.input[draw.randrange(len(node.input))]
    else:
        node.input.insert(
            draw.randrange(len(node.input) + 1), draw.choice(("nothing", "^nothing", "", ":", "^", "a:b:c"))
        )


def double(proto: Any, draw: random.Random) -> None:
    """Two nodes, or two functions, of one name."""
    library = proto.meta_graphs[0].graph_def.library.function
    if draw.random() < 0.3:
        draw.choice(library).signature.name = draw.choice(library).signature.name
    else:
        node, other = _nodes(proto, draw)
        node.name = other.name


def cycle(proto: Any, draw: random.Random) -> None:
    """An edge between any two nodes, which may close a circle."""
    node, other = _nodes(proto, draw)
    edge = draw.choice((other.name, f"{other.name}:output:0", f"^{other.name}", node.name))
    if node.input and draw.random() < 0.7:
        node.input[draw.randrange(len(node.input))] = edge
    else:
        node.input.append(edge)


def port(proto: Any, draw: random.Random) -> None:
    """An output that is not there."""
    node, other = _nodes(proto, draw)
    number = draw.choice((1, 7, -1, 1 << 31, 1 << 70, "x"))
    node.input.append(
        draw.choice((f"{other.name}:{number}", f"{other.name}:output:{number}", f"{other.name}:{number}:0"))
    )


def lose(proto: Any, draw: random.Random) -> None:
    """A function, a node, an attribute or an argument less."""
    graph = proto.meta_graphs[0].graph_def
    function = draw.choice(graph.library.function)
    what = draw.randrange(5)
    if what == 0:
        del graph.library.function[draw.randrange(len(graph.library.function))]
    elif what == 1:
        nodes = draw.choice([nodes for nodes in _graphs(proto) if nodes])
        del nodes[draw.randrange(len(nodes))]
    elif what == 2 and function.signature.input_arg:
        del function.signature.input_arg[draw.randrange(len(function.signature.input_arg))]
    elif what == 3 and function.ret:
        del function.ret[draw.choice(sorted(function.ret))]
    else:
        node, _ = _nodes(proto, draw)
        if node.attr:
            del node.attr[draw.choice(sorted(node.attr))]


def recurse(proto: Any, draw: random.Random) -> None:
    """A call of any function in any other, itself included."""
    library = proto.meta_graphs[0].graph_def.library.function
    caller, callee = draw.choice(library), draw.choice(library)
    calls = [node for node in caller.node_def if node.op.endswith("PartitionedCall")]
    if calls:
        draw.choice(calls).attr["f"].func.name = callee.signature.name
    else:
        node = caller.node_def.add(name="again", op=draw.choice(("PartitionedCall", callee.signature.name)))
        node.attr["f"].func.name = callee.signature.name


def confuse(proto: Any, draw: random.Random) -> None:
    """An op, an attribute or a field of another kind."""
    node, other = _nodes(proto, draw)
    what = draw.randrange(4)
    if what == 0:
        node.op = draw.choice((other.op, "Merge", "While", "If", "Switch", "NextIteration", "Case", "NoSuchOp", ""))
    elif what == 1 and node.attr and other.attr:
        node.attr[draw.choice(sorted(node.attr))].CopyFrom(other.attr[draw.choice(sorted(other.attr))])
    elif what == 2 and node.attr:
        value = node.attr[draw.choice(sorted(node.attr))]
        draw.choice((_number, _type, _tensor, _text))(value, draw)
    else:
        node.device, node.name = draw.choice(("/x", "/device:GPU:0", "\n")), draw.choice((node.name, "", "a/b:c", "^x"))


def _number(value: Any, draw: random.Random) -> None:
    value.i = draw.choice((-1, 0, 1 << 20, 1 << 62))


def _type(value: Any, draw: random.Random) -> None:
    value.type = draw.choice((0, 1, 7, 20, 21, 101, 9999))


def _tensor(value: Any, draw: random.Random) -> None:
    value.tensor.dtype = draw.choice((0, 1, 7, 20))
    value.tensor.tensor_shape.dim.add().size = draw.choice((-5, 3, 1 << 40))
    value.tensor.tensor_content = draw.randbytes(draw.randrange(20))


def _text(value: Any, draw: random.Random) -> None:
    value.s = draw.choice((b"", b"\xff\xfe", b"loc:@nothing"))


def interface(proto: Any, draw: random.Random) -> None:
    """Signatures, savers, collections and the object graph speak of what is not there."""
    meta = proto.meta_graphs[0]
    name = draw.choice(("", "nothing:0", "nothing", "nothing:x", "^nothing:0"))
    what = draw.randrange(5)
    if what == 0 and meta.signature_def:
        signature = meta.signature_def[draw.choice(sorted(meta.signature_def))]
        draw.choice((signature.inputs, signature.outputs))["x"].name = name
    elif what == 1:
        setattr(meta.saver_def, draw.choice(("filename_tensor_name", "save_tensor_name", "restore_op_name")), name)
    elif what == 2:
        meta.collection_def["x"].node_list.value.append(name)
    elif what == 3 and meta.object_graph_def.nodes:
        draw.choice(meta.object_graph_def.nodes).function.concrete_functions.append(name)
    else:
        del meta.object_graph_def.nodes[draw.randrange(len(meta.object_graph_def.nodes) or 1) :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, overwrite, truncate)
PROTO: tuple[Callable[[Any, random.Random], None], ...] = (
    *(dangle, double, cycle, port, lose, recurse, confuse, interface),
)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The file damaged in one way, or in several."""
    from tensorflow.core.protobuf import saved_model_pb2

    if draw.random() < 0.35:
        return draw.choice(BYTES)(data, draw)
    proto = saved_model_pb2.SavedModel.FromString(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        draw.choice(PROTO)(proto, draw)
    content: bytes = proto.SerializeToString()
    return content


def attempt(model: Path, data: bytes) -> str:
    """Optimise the model with that file; what came of it, "refused" or "written".

    Raises:
        AssertionError: if something is left behind, or what is written cannot be read; and whatever tfreuse raises.
    """
    import tfreuse
    from tfreuse.bridge.savedmodel import SavedModelFolder

    (model / FILE).write_bytes(data)
    target = model.parent / "target"
    outcome = "written"
    try:
        tfreuse.optimize_saved_model(model, target)
        SavedModelFolder(str(target))
        shutil.rmtree(target)
    except tfreuse.TfreuseError:
        outcome = "refused"
    left = os.listdir(model.parent)
    assert left == [model.name], left
    return outcome


def run(model: Path, count: int, seed: int, first: int = 0) -> Counter[str]:
    """Mutations `first` to `first + count` of `seed`; each is the same in every run."""
    whole = (model / FILE).read_bytes()
    found: Counter[str] = Counter()
    for number in range(first, first + count):
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            found[attempt(model, mutated(whole, random.Random(f"{seed}/{number}")))] += 1
        except BaseException:  # an interrupt as well: the number is what repeats it
            print(f"mutation {number} of seed {seed} failed; {found.total()} went well")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
    return found


def main() -> None:
    """Save a model, damage it, and say how often it was refused and written."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = argparse.ArgumentParser(prog="python -m tools.mutate", description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--count", type=int, default=10000, help="how many mutations")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--first", type=int, default=0, help="the number to begin with, to repeat one")
    options = arguments.parse_args()
    from tests.offline.models import saved

    faulthandler.enable()
    folder = Path(tempfile.mkdtemp(prefix="tfreuse-mutate-"))
    print(f"damaging a model in {folder}, which goes in the end", flush=True)
    model = folder / "model"
    shutil.copytree(saved("softened"), model)
    found = run(model, options.count, options.seed, options.first)
    shutil.rmtree(folder)
    print(f"{found.total()} mutations: {found['refused']} refused, {found['written']} written, no crash, no hang")


if __name__ == "__main__":
    main()
