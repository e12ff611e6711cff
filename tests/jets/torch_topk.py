"""The neighbours that torch's top-k gives on a CPU where distances are equal.

torch.topk calls libstdc++'s nth_element and sorts what comes before; for equal values the outcome
depends on the swaps on the way, which are done here again, one by one.
"""

import numpy as np


def largest(values, k):
    """Give the indices of the k largest values in torch's order, for k * 64 > len(values)."""
    queue = [(-value, index) for index, value in enumerate(values)]
    select(queue, k - 1)
    return [index for _, index in stable(queue[: k - 1])] + [queue[k - 1][1]]


def stable(queue):
    """Sort as the insertion sort does that takes over for 16 items and fewer."""
    return sorted(queue, key=lambda item: item[0])


def select(queue, nth):
    """Bring the item of rank nth to its place, the smaller ones before it (nth_element)."""
    first, last = 0, len(queue)
    while last - first > 3:
        cut = partition(queue, first, last)
        first, last = (cut, last) if cut <= nth else (first, cut)
    queue[first:last] = stable(queue[first:last])


def partition(queue, first, last):
    """Cut at the median of three items, which goes to the front."""

    def less(i, j):
        return queue[i][0] < queue[j][0]

    def swap(i, j):
        queue[i], queue[j] = queue[j], queue[i]

    a, b, c = first + 1, first + (last - first) // 2, last - 1
    if less(a, b):
        median = b if less(b, c) else c if less(a, c) else a
    else:
        median = a if less(a, c) else c if less(b, c) else b
    swap(first, median)
    low, high = first + 1, last
    while True:
        while less(low, first):
            low += 1
        high -= 1
        while less(first, high):
            high -= 1
        if low >= high:
            return low
        swap(low, high)
        low += 1


def neighbours(points, mask, k):
    """Find the k neighbours after the first: index [jet, particle, k], and whether each is real.

    points: [jet, particle, 2] float32; the distance is computed as weaver's, in float32 and with a
    fused product, and padding stands at 1e9.
    """
    index = np.zeros((*mask.shape, k), np.int32)
    for jet, (where, real) in enumerate(zip(points, mask)):
        x, y = np.where(real[:, None], where, where + np.float32(1e9)).astype(np.float32).T
        first = np.outer(x, x).astype(np.float64)
        product = (first + np.outer(y.astype(np.float64), y)).astype(np.float32)
        square = x**2 + y**2
        closeness = -square[None] + 2 * product - square[:, None]
        for i in np.flatnonzero(real):
            index[jet, i] = largest(closeness[i].tolist(), k + 1)[1:]
    return index, np.take_along_axis(mask[:, None], index.reshape(len(mask), 1, -1), 2).reshape(
        index.shape
    )
