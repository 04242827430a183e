"""Every remark id with its meaning and the advice that goes with it; the reference page is generated from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfreuse.errors import PipelineError

PASSED, MISSED, FAILURE, ANALYSIS = "passed", "missed", "failure", "analysis"


@dataclass(frozen=True)
class Entry:
    """One kind of remark: `kind` (passed, missed, failure or analysis), what it says and what to do about it."""

    id: str
    kind: str
    meaning: str
    advice: str = ""


_ENTRIES = (
    Entry("merged", PASSED, "Nodes that compute the same thing were merged into one."),
    Entry("inlined", PASSED, "A call gave way to the body of its function, because other calls hold equal work."),
    Entry("hoisted", PASSED, "Work of a loop's body, or of all branches, was moved in front of the loop or branch."),
    Entry("gradient-factored", PASSED, "A sum of gradients that share an operand became one gradient of the sum."),
    Entry("order-restored", PASSED, "A control edge was added so that a write still waits for a read."),
    Entry(
        "not-hoisted",
        MISSED,
        "Work that is the same in every iteration, or in all branches, stays where it is.",
        "Compute it before the loop or branch and use the value there, if that is what is meant.",
    ),
    Entry(
        "different-variables",
        MISSED,
        "Two nodes are equal except that they use different variables.",
        "Two layers have two sets of weights, equal values or not. To compute once, call one layer twice.",
    ),
    Entry(
        "different-operand",
        MISSED,
        "Two nodes are equal except for one operand.",
        "Nothing to do where the inputs really differ; otherwise look at how the two operands are made.",
    ),
    Entry(
        "write-between",
        MISSED,
        "Two reads of one variable may see different values: a write may run between them.",
        "If both are meant to see the same value, read once, before the write, and use that tensor twice.",
    ),
    Entry(
        "racing-reads",
        MISSED,
        "Two reads of one variable are not ordered with a write to it, so they may see two values.",
        "Order the reads and the write with tf.control_dependencies, or read once.",
    ),
    Entry(
        "reference-read",
        MISSED,
        "A TF1 variable is a reference: each use reads its buffer, which something else may write to meanwhile.",
        "Use resource variables (use_resource=True), or read once and use that tensor twice.",
    ),
    Entry(
        "different-order",
        MISSED,
        "Two nodes are equal, but their control inputs differ: one must wait for something that the other need not.",
        "Drop the tf.control_dependencies around one of them if the order does not matter.",
    ),
    Entry(
        "different-device",
        MISSED,
        "Two nodes are equal except for the device that they are placed on.",
        "Use the same tf.device for both.",
    ),
    Entry(
        "different-attributes",
        MISSED,
        "Two nodes with equal operands differ in an attribute.",
        "Nothing to do where the difference is meant (another stride, another dtype).",
    ),
    Entry(
        "random-draw",
        MISSED,
        "Two random draws look alike; each gives numbers of its own, seeded or not.",
        "Draw once and use the tensor twice, if one draw is meant.",
    ),
    Entry(
        "observable-effect",
        MISSED,
        "Two nodes look alike and each has an effect that can be observed.",
        "Nothing to do: effects are never merged.",
    ),
    Entry(
        "unknown-effects",
        MISSED,
        "Two nodes look alike, but what their op does is not known here.",
        "Add op facts by the entry point tfreuse.ops if the op is a function of its operands.",
    ),
    Entry(
        "quantization-unit",
        MISSED,
        "Quantisation nodes stay with the op that they belong to; converters fuse them one to one.",
        "Merge them with cse{quantization=true} where no converter follows.",
    ),
    Entry(
        "custom-gradient",
        MISSED,
        "Two nodes or calls with a custom gradient are equal; their gradient need not be that of one node used twice.",
        "Call it once where both results may have one gradient.",
    ),
    Entry(
        "stateless-random",
        MISSED,
        "Two stateless random ops with one key are equal, and merging them is off by default.",
        "Turn it on with cse{stateless-random=true}.",
    ),
    Entry(
        "cheap-to-repeat",
        MISSED,
        "Equal results that are large and cheap to compute are used far apart: to keep one would take more memory.",
        "Nothing to do. Merge them with cse{cheap-large=true} where memory does not matter.",
    ),
    Entry(
        "memory-growth",
        MISSED,
        "Merging would make the estimated peak of memory grow by more than the user allows.",
        "Raise --max-memory-growth. A static shape lets a size be known.",
    ),
    Entry(
        "variant-value",
        MISSED,
        "The value is a list or another variant; sharing one forces copies when it is updated.",
    ),
    Entry(
        "order-in-frames",
        MISSED,
        "Merging would lose the order of a read and a write, and no edge can be added among TF1 loops and branches.",
        "Run dedupe-reads before the other passes.",
    ),
    Entry(
        "branch-operands",
        MISSED,
        "Two operands of one branch are equal; TensorFlow cannot differentiate a branch that gets one tensor twice.",
        "Nothing to do: what the two depend on is still shared. Pass the tensor once, if one is meant.",
    ),
    Entry(
        "sum-of-equals",
        MISSED,
        "A merge would turn a sum into y + y, whose gradient TensorFlow gets wrong inside a branch.",
        "Nothing to do: what the two operands depend on is still shared. With a static shape they merge as well.",
    ),
    Entry(
        "checkpoint-unreadable",
        MISSED,
        "The checkpoint cannot be read, so equal weights in it are not told.",
    ),
    Entry(
        "equal-functions",
        MISSED,
        "Functions have equal bodies and stay apart, because the rest of what is known of them differs.",
    ),
    Entry(
        "name-is-public",
        MISSED,
        "The outside refers to this node by name and it has several outputs, so it cannot become an alias.",
    ),
    Entry(
        "not-inlined",
        MISSED,
        "Two calls share an operand and may hold equal work, but this one has to stay a call.",
        "Call the Python functions inside a common one, if the reason that is given can be done without.",
    ),
    Entry(
        "inline-limit",
        MISSED,
        "Not all calls that share operands were tried: a trial was too large, or there were too many.",
        "Raise inline{max-nodes=...} or inline{rounds=...}.",
    ),
    Entry(
        "overlap-shared",
        PASSED,
        "Overlapping windows of one value, computed by equal ops, are cut out of one computation on their union.",
    ),
    Entry(
        "overlap-same-padding",
        MISSED,
        "Windows overlap, but SAME padding puts zeros at the border of each, where their union has elements.",
        'Use padding="valid" and windows that are larger by the border, if the zeros are not meant.',
    ),
    Entry(
        "overlap-training",
        MISSED,
        "Windows overlap, but a normalisation in training mode mixes the rows of each.",
        "Nothing to do in training; call the layer with training=False where it is meant to be fixed.",
    ),
    Entry(
        "overlap-random",
        MISSED,
        "Windows overlap, but each has random numbers of its own.",
        "Nothing to do where dropout or noise is meant; otherwise call the model with training=False.",
    ),
    Entry(
        "overlap-cross-row",
        MISSED,
        "Windows overlap, but an op mixes the elements of each in a way that the union could not give.",
    ),
    Entry(
        "overlap-unknown-shape",
        MISSED,
        "Windows may overlap, but a size that says where they lie is not known.",
        "Give the input a static shape on the axis that is cut (input_signature, tf.ensure_shape).",
    ),
    Entry(
        "overlap-stride",
        MISSED,
        "Windows overlap, but do not start a multiple of a stride apart, so they share no result.",
        "Let windows start a multiple of the product of all strides apart.",
    ),
    Entry(
        "overlap-no-gain",
        MISSED,
        "Windows overlap, but their union is hardly smaller than they are together, or has large holes.",
        "share-overlap{least=1.05} takes smaller gains, too.",
    ),
    Entry(
        "overlap-memory",
        MISSED,
        "Windows overlap, but the union and what is cut out of it would take more memory than allowed.",
        "Allow more with share-overlap{max-growth=4}.",
    ),
    Entry(
        "overlap-loop",
        MISSED,
        "A loop's body works on a window that moves from step to step, and what it computes of it stays in the loop.",
        "Give the loop a trip count that is a number, or write the windows without one (slices in a Python loop).",
    ),
    Entry(
        "gradient-used-elsewhere",
        MISSED,
        "Gradients that share an operand are added up, and some of them, or what they come from, are used for more.",
        "Nothing to do where each is wanted by itself (per-example or per-loss gradients).",
    ),
    Entry(
        "gradient-unknown-shape",
        MISSED,
        "Gradients that share an operand are added up, and their other operands may have two shapes.",
        "Give the sizes in question (input_signature, tf.ensure_shape).",
    ),
    Entry(
        "gradient-broadcast",
        MISSED,
        "Two values that share an operand are added, and one of them may be repeated along an axis to fit.",
        "Give the sizes in question (input_signature, tf.ensure_shape), or add with tf.add_n.",
    ),
    Entry(
        "gradient-order",
        MISSED,
        "Gradients that share an operand are added up, and one of them waits for something by a control edge.",
        "Take the gradient outside of tf.control_dependencies if the order does not matter.",
    ),
    Entry(
        "gradient-no-gain",
        MISSED,
        "Bias gradients are added up that could be one, but no convolution or matrix product would be saved with them.",
    ),
    Entry(
        "gradient-limit",
        MISSED,
        "The search for sums of gradients that can be one gradient was given up: there are too many sums of sums.",
    ),
    Entry(
        "unknown-op",
        MISSED,
        "A function holds an op that this TensorFlow does not know; the function is carried through untouched.",
        "Load the op's library first (tf.load_op_library) and run again.",
    ),
    Entry(
        "save-restore-function",
        ANALYSIS,
        "A function that only saves, restores or initialises; left alone.",
    ),
    Entry(
        "pass-failed",
        FAILURE,
        "A pass raised an error; everything that it did was rolled back.",
        "Please report it with the model or the function that showed it.",
    ),
    Entry(
        "time-limit",
        FAILURE,
        "A pass did not come back within the time limit; the graph was left as it was.",
        "Raise --time-limit, or leave the pass out of the pipeline. Report a pass of tfreuse that does not come back.",
    ),
    Entry(
        "proof-refused",
        FAILURE,
        "A rewrite was not proved to keep what the graph does; the graph was left as it was.",
        "Please report it with the model or the function that showed it.",
    ),
    Entry(
        "not-optimized",
        FAILURE,
        "The optimisation failed and the original was used as it was.",
        "Please report it with the model or the function that showed it.",
    ),
)

CATALOGUE: dict[str, Entry] = {entry.id: entry for entry in _ENTRIES}


def declare(entries: Iterable[Entry]) -> None:
    """Add the kinds of remarks that a pass of another distribution makes; declaring one again does nothing.

    Raises:
        PipelineError: if the id stands for something else.
    """
    for entry in entries:
        if CATALOGUE.setdefault(entry.id, entry) != entry:
            raise PipelineError(f"remark {entry.id!r} is in the catalogue already")


def reference_page() -> str:
    """The catalogue as a Markdown page."""
    lines = [
        "# Remarks",
        "",
        "Every remark in a report has one of these ids. This page is generated from `tfreuse/remarks/catalogue.py`",
        "by `python -m tools.reference`.",
    ]
    for kind in (PASSED, MISSED, ANALYSIS, FAILURE):
        lines += ["", f"## {kind.capitalize()}", ""]
        for entry in sorted((e for e in _ENTRIES if e.kind == kind), key=lambda e: e.id):
            lines.append(f"- `{entry.id}`: {entry.meaning}" + (f" *{entry.advice}*" if entry.advice else ""))
    return "\n".join(lines) + "\n"
