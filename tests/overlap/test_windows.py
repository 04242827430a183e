"""The algebra of one window against brute force: crop then apply, apply then crop; sums of integers, so exactly."""

from __future__ import annotations

from itertools import product

import numpy as np

from tfreuse.analysis.receptive import SAME, Window, clusters, hull

LENGTH = 13
WINDOWS = [Window(*shape) for shape in product(range(1, 5), range(1, 4), range(1, 4))]


def applied(window: Window, data: np.ndarray) -> np.ndarray:
    """Weighted sums over every window, told from the definition of a convolution."""
    before, behind = window.margins(len(data))
    padded = np.concatenate([np.zeros(before, np.int64), data, np.zeros(behind, np.int64)])
    found = []
    start = 0
    while start + window.reach <= len(padded):
        taps = [padded[start + tap * window.dilation] * 10**tap for tap in range(window.size)]
        found.append(sum(taps))
        start += window.stride
    return np.array(found, np.int64)


def test_a_crop_of_the_operand_gives_that_crop_of_the_result() -> None:
    data = np.arange(1, LENGTH + 1) ** 2
    compared = apart = 0
    for window in WINDOWS:
        for start, length in product(range(LENGTH), range(1, LENGTH + 1)):
            if start + length > LENGTH:
                continue
            direct = applied(window, data[start : start + length])
            assert len(direct) == window.result_length(length)
            if not len(direct):
                continue
            phase = window.phase(start)
            first, count = window.result_crop((start, length))
            np.testing.assert_array_equal(direct, applied(window, data[phase:])[first : first + count])
            compared += 1
            apart += phase != 0
    print(f"{compared} crops of {len(WINDOWS)} windows, {apart} of them out of step with the stride: no mismatch")
    assert compared > 1500
    assert apart > 400


def test_the_receptive_field_is_enough_and_no_larger_than_needed() -> None:
    data = np.arange(1, LENGTH + 1) ** 2
    compared = 0
    for window in WINDOWS:
        for phase in range(window.stride):
            whole = applied(window, data[phase:])
            for first, count in product(range(len(whole)), range(1, len(whole) + 1)):
                if first + count > len(whole):
                    continue
                start, length = window.operand_crop((first, count), phase)
                part = data[start : start + length]
                np.testing.assert_array_equal(applied(window, part), whole[first : first + count])
                assert window.result_length(length - 1) < count
                assert window.phase(start) == phase
                assert window.result_crop((start, length)) == (first, count)
                compared += 1
    print(f"{compared} receptive fields: no mismatch")
    assert compared > 1000


def test_padding_is_counted_and_only_padding_breaks_the_law() -> None:
    data = np.arange(1, LENGTH + 1) ** 2
    compared = broken = 0
    for (size, stride, dilation), padding in product(
        product(range(1, 5), range(1, 4), range(1, 4)), [SAME, (0, 0), (1, 0), (0, 2)]
    ):
        window = Window(size, stride, dilation, padding)
        bare = window._replace(padding=(0, 0))
        for length in range(1, LENGTH + 1):
            rows = applied(window, data[:length])
            assert len(rows) == window.result_length(length)
            # A result touches padding if it changes with what the padding holds.
            before, behind = window.margins(length)
            ones = [np.full(count, 7) for count in (before, behind)]
            filled = applied(bare, np.concatenate([ones[0], data[:length], ones[1]]))
            touched = int((filled != rows).sum())
            assert window.border_rows(length) == touched
            assert not (window.never_pads and touched)
            compared += 1
            broken += touched > 0
    print(f"{compared} paddings, {broken} of them seen by a result: no mismatch")
    assert compared > 1500
    assert broken > 500


def test_same_padding_is_as_long_as_tensorflow_says() -> None:
    for size, stride, dilation, length in product(range(1, 5), range(1, 4), range(1, 4), range(1, 20)):
        window = Window(size, stride, dilation, SAME)
        assert window.result_length(length) == -(-length // stride)
        before, behind = window.margins(length)
        assert 0 <= before <= behind <= before + 1


def test_hulls_and_clusters() -> None:
    assert hull([(3, 4), (0, 2)]) == (0, 7)
    assert clusters([((0, 8),), ((20, 8),), ((4, 8),), ((24, 1),)]) == [[0, 2], [1, 3]]
    assert clusters([((0, 8),), ((8, 8),)]) == [[0], [1]]
    assert clusters([]) == []
    many = [((start, 3), (start % 7, 2)) for start in range(0, 300, 2)]
    joined: list[set[int]] = []
    for place, box in enumerate(many):
        meets = [
            group
            for group in joined
            if any(abs(box[0][0] - many[o][0][0]) < 3 and abs(box[1][0] - many[o][1][0]) < 2 for o in group)
        ]
        joined = [group for group in joined if group not in meets] + [{place}.union(*meets)]
    assert sorted(map(sorted, joined)) == clusters(many)
    assert clusters([((0, 4), (0, 4)), ((3, 4), (4, 4)), ((3, 4), (3, 4))]) == [[0, 1, 2]]
