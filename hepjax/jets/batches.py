"""Batches of jets for the training loop: a sample in memory, or files larger than memory.

`padded` fills one batch; `of_sample` serves a sample in memory; `of_files` serves the buffers of
io.stream, each shuffled and batched like a sample of its own. Both are pure functions of the seed,
the epoch and the place in it.

>>> import numpy as np
>>> p4 = np.array([[[50.0, 30, 0, 40], [5, 3, 0, 4], [0, 0, 0, 0]]])
>>> served = of_sample(data.from_arrays(p4), budget=128)
>>> served.shapes(0), served.get(0, 0).mask.shape
([16], (8, 16))
"""

import functools
from collections.abc import Sequence

import numpy as np

from hepjax import batch
from hepjax.io import stream
from hepjax.jets import data


def padded(jets: data.RaggedJets, rows: np.ndarray, length: int) -> data.Jets:
    """Fill one batch of jets; rows [jet'], -1 for padding; particles of lowest pt are cut at
    `length`.
    """
    particles, mask = batch.pad(jets.particles, rows, length)
    real = rows >= 0
    return data.Jets(
        particles=particles,
        mask=mask,
        p4=np.where(real[:, None], jets.p4[rows], 0).astype(np.float32),
        label=np.where(real, jets.label[rows], 0).astype(np.int32),
        weight=np.where(real, jets.weight[rows], 0).astype(np.float32),
    )


def of_sample(
    jets: data.RaggedJets,
    *,
    seed: int = 0,
    buckets: Sequence[int] = batch.BUCKETS,
    budget: int = 8192,
    group: int = 1,
    shuffle: bool = True,
) -> batch.Batches:
    """Serve a sample as padded batches of `budget` particles for train.fit; see batch.plan."""
    count = batch.lengths(jets.particles)
    return batch.from_plan(
        lambda epoch: batch.plan(
            count,
            seed=seed,
            epoch=epoch,
            buckets=buckets,
            budget=budget,
            group=group,
            shuffle=shuffle,
        ),
        lambda selection: padded(jets, selection.rows, selection.bucket),
    )


def of_files(
    scan: stream.Scan,
    *,
    classes: Sequence[str] = data.CLASSES,
    seed: int = 0,
    chunks_per_buffer: int = 4,
    buckets: Sequence[int] = batch.BUCKETS,
    budget: int = 8192,
    group: int = 1,
    shuffle: bool = True,
) -> batch.Batches:
    """Serve files larger than memory: the buffers of io.stream, each shuffled and batched.

    scan: io.stream.Scan of the files; other arguments as in `of_sample`. At most two buffers are in
    memory, and rows count the jets of all files in their order. A pure function of seed, epoch and
    index like any Batches: a resume reads its buffer again and goes on exactly.
    """

    @functools.lru_cache(maxsize=2)
    def layout(epoch: int) -> list[tuple[tuple[int, ...], batch.Selection]]:
        found = []
        order = stream.buffers(
            scan, seed=seed, epoch=epoch, chunks_per_buffer=chunks_per_buffer, shuffle=shuffle
        )
        for number, chunks in enumerate(order):
            within = batch.plan(
                scan.lengths[stream.jet_index(scan, chunks)],
                seed=seed,
                epoch=epoch,
                stream=number + 1,
                buckets=buckets,
                budget=budget,
                group=group,
                shuffle=shuffle,
            )
            found += [(tuple(chunks.tolist()), selection) for selection in within]
        return found

    @functools.lru_cache(maxsize=1)
    def buffer(chunks: tuple[int, ...]) -> data.RaggedJets:
        return data.from_columns(stream.read_buffer(scan, np.array(chunks)), classes)

    def get(epoch: int, index: int) -> data.Jets:
        chunks, selection = layout(epoch)[index]
        return padded(buffer(chunks), selection.rows, selection.bucket)

    def rows(epoch: int, index: int) -> np.ndarray:
        chunks, selection = layout(epoch)[index]
        found = stream.jet_index(scan, np.array(chunks))[selection.rows]
        return np.where(selection.rows < 0, -1, found)

    return batch.Batches(lambda epoch: [s.bucket for _, s in layout(epoch)], get, rows)
