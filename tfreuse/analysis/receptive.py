"""Which part of an operand a part of a result depends on: crops and selections that commute with an op.

An op is *row-wise* on an axis if element i of its result there depends on element i of its operand alone. It is
*window-wise* if result i depends on `size` operand elements, `dilation` apart, the first of them at
`i * stride - before`. Then, with `reach = (size - 1) * dilation + 1` and without padding,

    f(x)[a : a + n]  =  f(x[a * stride : (a + n - 1) * stride + reach])

(A. Araujo, W. Norris, J. Sim, "Computing receptive fields of convolutional neural networks", Distill 2019, equations
1 to 3 for one layer, padding aside; lengths and SAME padding as in `GetWindowedOutputSizeVerboseV2` of TensorFlow's
kernel_shape_util). Read backwards: the crop `x[b : b + m]` gives the crop of f(x) that begins at `b / stride`, and
where `b % stride = phase` is not 0, that of f(x[phase:]). Two crops of one phase can share; padding may not come in.
"""

from __future__ import annotations

from typing import NamedTuple

Crop = tuple[int, int]
"""Where a part of an axis begins, and how many elements it has."""

SAME = (-1, -1)
"""In place of a padding's two lengths: as many as make the result `ceil(length / stride)` long, one more behind."""


class Window(NamedTuple):
    """A window along one axis; `padding` are the zeros before and behind the operand, or `SAME`."""

    size: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] = (0, 0)

    @property
    def reach(self) -> int:
        """Operand elements from the first to the last that one result depends on."""
        return (self.size - 1) * self.dilation + 1

    def margins(self, length: int) -> tuple[int, int]:
        """The padding before and behind an operand of that length; what SAME needs depends on it."""
        if self.padding != SAME:
            return self.padding
        total = max((-(-length // self.stride) - 1) * self.stride + self.reach - length, 0)
        return total // 2, total - total // 2

    def result_length(self, length: int) -> int:
        """Elements of the result for an operand of that length; 0 if the window does not fit."""
        return max((length + sum(self.margins(length)) - self.reach) // self.stride + 1, 0)

    @property
    def never_pads(self) -> bool:
        """Whether no operand, of whatever length, is padded: then crops commute.

        A single tap is never padded, but with SAME and a stride TensorFlow's Conv3D on a CPU begins elsewhere for
        another length, because Eigen takes the padding that it computes there, which is negative, for a crop.
        """
        return self.padding == (0, 0) or (self.padding == SAME and self.reach == self.stride == 1)

    def border_rows(self, length: int) -> int:
        """Results, of an operand of that length, that depend on padding."""
        before, _ = self.margins(length)
        rows = self.result_length(length)
        clean = [row for row in range(rows) if before <= row * self.stride <= before + length - self.reach]
        return rows - len(clean)  # the others begin in the padding before, or end in that behind

    def phase(self, start: int) -> int:
        """Crops with equal phases, by where they begin, can share a result."""
        return start % self.stride

    def result_crop(self, crop: Crop) -> Crop:
        """The crop of the result of `x[phase:]` that the crop of `x` gives. Only without padding."""
        start, length = crop
        return start // self.stride, self.result_length(length)

    def operand_crop(self, crop: Crop, phase: int = 0) -> Crop:
        """The smallest crop of the operand from which a crop of the result can be computed (its receptive field)."""
        start, length = crop
        return start * self.stride + phase, (length - 1) * self.stride + self.reach


def hull(crops: list[Crop]) -> Crop:
    """The smallest crop that contains all of them."""
    start = min(first for first, _ in crops)
    return start, max(first + length for first, length in crops) - start


def clusters(boxes: list[tuple[Crop, ...]]) -> list[list[int]]:
    """Indices of boxes (a crop for each axis), grouped: two that overlap are in one group, and so on from one to the
    next. Boxes that only touch have no work in common."""
    done: list[list[int]] = []
    near: list[tuple[int, list[int]]] = []  # where a group ends on the first axis, and its members
    for index in sorted(range(len(boxes)), key=lambda index: boxes[index]):
        start, length = boxes[index][0] if boxes[index] else (0, 1)
        end, members = start + length, [index]
        apart: list[tuple[int, list[int]]] = []
        for last, group in near:
            if last <= start:  # whatever comes later starts behind it as well
                done.append(group)
            elif any(_overlap(boxes[index], boxes[other]) for other in reversed(group)):
                end, members = max(end, last), members + group
            else:
                apart.append((last, group))
        near = [*apart, (end, sorted(members))]
    return sorted([*done, *(group for _, group in near)])


def _overlap(one: tuple[Crop, ...], other: tuple[Crop, ...]) -> bool:
    return all(
        max(first, start) < min(first + length, start + size)
        for (first, length), (start, size) in zip(one, other, strict=True)
    )
