"""Library functions and bytes before and after, and the time that `tf.saved_model.load` takes.

    python -m tools.bench.libraries [--corpus FOLDER] [--rounds N] [--no-times] [--verify N]
                                    [--json FILE]

Models: every SavedModel of the corpus, a Keras ResNet50 exported with two endpoints, and a `tf.Module` with three
functions over it. Each is optimised as `tfreuse optimize` does it, and again with `--strip-shapes`. Bytes are those of
`saved_model.pb`; weights are not touched. Load times are ratios of loads in one round, optimised/original. With
`--verify` both are run on so many feeds for each signature, and a difference ends the whole with an error.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tools.bench.measure import Rounds, interleave, paired
from tools.bench.render import spread_of, wide_console

SCHEMA = 1
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FILE = "saved_model.pb"
app = typer.Typer(add_completion=False)


def models(corpus: Path, room: Path) -> Iterator[tuple[str, Path]]:
    """The models by name, made in `room` where they are ours."""
    for file in sorted(corpus.rglob(FILE)) if corpus.is_dir() else ():
        yield str(file.parent.relative_to(corpus)), file.parent
    backbone = _resnet()
    for name, write in (("ResNet50, two endpoints", _endpoints), ("ResNet50, module of three", _module)):
        folder = room / name.replace(" ", "_").replace(",", "")
        write(backbone, folder)
        yield name, folder


def _resnet() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    return keras.applications.ResNet50(weights=None)


def _spec() -> list[Any]:
    import tensorflow as tf

    return [tf.TensorSpec([None, 224, 224, 3], name="image")]


def _endpoints(backbone: Any, folder: Path) -> None:
    """Class probabilities, and their logarithms."""
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(backbone)
    archive.add_endpoint("serve", lambda image: backbone(image, training=False), _spec())
    archive.add_endpoint("score", lambda image: tf.math.log(backbone(image, training=False)), _spec())
    archive.write_out(str(folder), verbose=False)


def _module(backbone: Any, folder: Path) -> None:
    """Two functions of one text, and the mean over three crops, the third of which is the first."""
    import tensorflow as tf

    class Model(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone
            self.values = [variable.value for variable in backbone.variables]

        @tf.function(input_signature=_spec())
        def classify(self, image: Any) -> Any:
            return self.backbone(image, training=False)

        @tf.function(input_signature=_spec())
        def predict(self, image: Any) -> Any:
            return self.backbone(image, training=False)

        @tf.function(input_signature=_spec())
        def averaged(self, image: Any) -> Any:
            crops = [image, image[:, :, ::-1], image]
            return tf.add_n([self.backbone(crop, training=False) for crop in crops]) / 3.0

    model = Model()
    functions = {"classify": model.classify, "predict": model.predict, "averaged": model.averaged}
    tf.saved_model.save(model, str(folder), signatures=functions)


def measure_model(source: Path, room: Path, rounds: Rounds | None, verify: int = 0) -> dict[str, Any]:
    """Functions and bytes of the original and both results; `load`: paired ratios, or why there are none.

    `judged` and `not_judged` count the outputs that verification judged or could not judge.
    """
    import tensorflow as tf

    import tfreuse

    folders, found = {"original": source}, {}
    for name, strip in (("optimised", False), ("stripped", True)):
        folders[name] = room / name
        report = tfreuse.optimize_saved_model(source, folders[name], strip_shapes=strip, overwrite=True, verify=verify)
        if report.failures:
            raise RuntimeError(f"{source}: {report.failures}")
        told = report.to_dict()
        found["functions_before"], found[f"functions_{name}"] = told["library"]["functions"].values()
        for key in ("judged", "not_judged") if verify else ():
            found[key] = sum(len(signature[key]) for signature in told["verification"]["signatures"])
    for name, folder in folders.items():
        found[f"bytes_{name}"] = (folder / FILE).stat().st_size
    if rounds is not None:
        calls = {name: partial(tf.saved_model.load, str(folder)) for name, folder in folders.items()}
        try:
            seconds = interleave(calls, rounds)
            found["load"] = {name: paired(seconds[name], seconds["original"]) for name in ("optimised", "stripped")}
        except Exception as error:  # old models, which only a session loads
            found["not_loaded"] = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    return found


def show(report: dict[str, Any], console: Console) -> None:
    """Prints one row a model."""
    table = Table(title="Functions and bytes of SavedModels", title_justify="left")
    columns = ("model", "functions", "bytes", "after", "stripped", "load", "load, stripped", "judged", "not judged")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold", no_wrap=index > 0)
    for name, found in report["models"].items():
        before = found["bytes_original"]
        sizes = [f"{1 - found[f'bytes_{key}'] / before:.1%} less" for key in ("optimised", "stripped")]
        load = [spread_of(ratio) for ratio in found["load"].values()] if "load" in found else ["", ""]
        functions = f"{found['functions_before']} → {found['functions_optimised']}"
        verified = [str(found.get(key, "")) for key in ("judged", "not_judged")]
        table.add_row(name, functions, f"{before:,}", *sizes, *load, *verified)
    console.print(table)
    console.print("load: time of tf.saved_model.load in the same round, optimised/original: median and quartiles")
    console.print("judged: outputs that --verify compared; not judged: those of which it says why it could not")


@app.command(help=__doc__)
def main(
    corpus: Annotated[Path, typer.Option(help="A folder with SavedModels in it.")] = CORPUS,
    rounds: Annotated[int, typer.Option(help="Loads of each model.")] = 7,
    no_times: Annotated[bool, typer.Option("--no-times", help="Sizes only.")] = False,
    verify: Annotated[int, typer.Option(help="Feeds for each signature.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    console = wide_console()
    report: dict[str, Any] = {"schema": SCHEMA, "models": {}}
    times = None if no_times else Rounds(rounds, rounds, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        for name, source in models(corpus, room / "made"):
            with console.status(name):
                report["models"][name] = measure_model(source, room, times, verify)
    show(report, console)
    if json_file:
        json_file.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    app()
