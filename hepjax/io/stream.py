"""Samples larger than memory: files in the JetClass layout, read chunk by chunk in a seeded order.

A hundred million jets do not fit in memory, and reading them in file order would show a network one
class after the other. So `scan` goes through all files once and notes the number of particles of
each jet, 4 bytes a jet, and the chunks into which `read_chunk` will cut the files. `buffers` then
lays out an epoch: all chunks in random order, a few of them at a time, which is what stands in
memory. Within a buffer the jets are shuffled and batched as if they were a whole sample.

All of it is a pure function of the files, the seed and the epoch: a run that resumes in the middle
reads its one buffer again and goes on exactly where it was.

>>> none = np.zeros(6, np.int64)
>>> sample = Scan(("a.root",), none, 10 * np.arange(6), 10 * np.arange(1, 7), np.full(60, 30), ())
>>> [len(chunks) for chunks in buffers(sample, seed=1, epoch=0, chunks_per_buffer=4)]
[4, 2]
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepjax import batch
from hepjax.io import root, trees
from hepjax.io.table import Columns, concatenate

ORDER_STREAM = 0x0C11  # sets the order of chunks apart from other draws of the seed and epoch


class Scan(NamedTuple):
    """What one pass over the files has found: the chunks, and the length of every jet."""

    paths: tuple[str, ...]  # [file]
    file: np.ndarray  # [chunk] index into paths
    entry_start: np.ndarray  # [chunk] first entry in its file
    entry_stop: np.ndarray  # [chunk] entry behind the last
    lengths: np.ndarray  # [jet] int32 number of particles, in the order of files and entries
    names: tuple[str, ...]  # branches to read
    labels: bool = True  # whether label_* are required and checked
    tree: str | None = None  # name of the table
    skipped: tuple[trees.Skipped, ...] = ()  # files left out on request


def scan(
    files: trees.Files,
    *,
    chunk_size: int = 50_000,
    features: root.Features = "full",
    labels: bool = True,
    branches: Sequence[str] | None = None,
    tree: str | None = None,
    skip_bad: bool = False,
) -> Scan:
    """Go through the files once and note chunks of at most `chunk_size` jets and all lengths.

    Only the counter of the particles is read (in files that have none, one jagged branch), a chunk
    at a time. Chunks end where the file's own clusters end if that costs at most half of their
    size, so that nothing is decompressed twice. The other arguments are those of
    `root.read_jetclass`. Raises BadFile, a ValueError, for a file that is missing, damaged or empty
    or lacks a branch, and for a jet without particles; what stands in the other branches is checked
    by `read_chunk`. Raises ValueError if files differ in their branches.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size: {chunk_size}, expected at least 1")

    def look(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
        with trees.opened(path, tree) as table:
            names = root.layout(path, table, features=features, labels=labels, branches=branches)
            edges = _edges(path, table, chunk_size)
            lengths = [_lengths(path, table, a, b) for a, b in itertools.pairwise(edges)]
        return names, edges, np.concatenate(lengths)

    results, skipped = trees.each_file(trees.expand(files), look, skip_bad=skip_bad)
    first_path, (names, _, _) = results[0]
    for path, (found, _, _) in results:
        if set(found) != set(names):
            raise ValueError(
                f"{path}: branches {sorted(set(found) ^ set(names))} are not in both this file and "
                f"{first_path}, expected the same (name those to read with branches=)"
            )
    edges = [edges for _, (_, edges, _) in results]
    return Scan(
        paths=tuple(str(path) for path, _ in results),
        file=np.repeat(np.arange(len(edges)), [len(e) - 1 for e in edges]),
        entry_start=np.concatenate([e[:-1] for e in edges]),
        entry_stop=np.concatenate([e[1:] for e in edges]),
        lengths=np.concatenate([lengths for _, (_, _, lengths) in results]),
        names=tuple(names),
        labels=labels,
        tree=tree,
        skipped=skipped,
    )


def _edges(path: Path, table: Any, chunk_size: int) -> np.ndarray:
    with trees.reading(path):
        n_entries = int(table.num_entries)
        common = getattr(table, "common_entry_offsets", list)()
    clusters = np.asarray([*common, n_entries], np.int64)
    edges = [0]
    while edges[-1] < n_entries:
        most = min(edges[-1] + chunk_size, n_entries)
        fitting = clusters[(clusters <= most) & (clusters >= edges[-1] + (chunk_size + 1) // 2)]
        edges.append(int(fitting.max()) if len(fitting) else most)
    return np.asarray(edges, np.int64)


def _lengths(path: Path, table: Any, entry_start: int, entry_stop: int) -> np.ndarray:
    counter = trees.counter_name(table, "part_energy")
    name = counter or "part_energy"
    branch = trees.read_branches(
        path, table, [name], entry_start=entry_start, entry_stop=entry_stop
    )[name]
    lengths = branch.values if branch.offsets is None else np.diff(branch.offsets)
    if (lengths < 1).any():
        entry = int(np.argmax(lengths < 1))
        raise trees.BadFile(
            f"{path}: branch part_energy, entry {entry_start + entry}: {lengths[entry]} particles, "
            "expected at least 1"
        )
    return lengths.astype(np.int32)


def n_chunks(scan: Scan) -> int:
    """Count the chunks."""
    return len(scan.file)


def chunk_offsets(scan: Scan) -> np.ndarray:
    """Give the first jet of each chunk in `Scan.lengths`, and the end: [chunk + 1] int64."""
    return np.concatenate([[0], np.cumsum(scan.entry_stop - scan.entry_start)])


def jet_index(scan: Scan, chunks: np.ndarray) -> np.ndarray:
    """Give the places in `Scan.lengths` of the jets that `read_buffer` returns, [jet] int64."""
    offsets = chunk_offsets(scan)
    return np.concatenate([np.arange(int(offsets[c]), int(offsets[c + 1])) for c in chunks])


def read_chunk(scan: Scan, chunk: int) -> Columns:
    """Read and validate one chunk.

    Raises BadFile as `root.read_jetclass` does, entries counted from the start of the file, and for
    a jet whose number of particles is not the one that `scan` has found.
    """
    if not 0 <= chunk < n_chunks(scan):
        raise ValueError(f"chunk: {chunk}, expected 0 to {n_chunks(scan) - 1}")
    path = Path(scan.paths[scan.file[chunk]])
    start, stop = int(scan.entry_start[chunk]), int(scan.entry_stop[chunk])
    with trees.opened(path, scan.tree) as table:
        columns = root.read_entries(
            path, table, scan.names, entry_start=start, entry_stop=stop, labels=scan.labels
        )
    offsets = chunk_offsets(scan)
    expected = scan.lengths[offsets[chunk] : offsets[chunk + 1]]
    found = np.diff(columns.offsets)
    if not np.array_equal(found, expected):
        jet = int(np.argmax(found != expected))
        raise trees.BadFile(
            f"{path}: branch part_energy, entry {start + jet}: {found[jet]} particles, expected "
            f"{expected[jet]} as scanned; the file has changed"
        )
    return columns


def read_buffer(scan: Scan, chunks: np.ndarray) -> Columns:
    """Read the chunks of one buffer, one after the other; see `read_chunk`."""
    return concatenate([read_chunk(scan, int(chunk)) for chunk in chunks])


def buffers(
    scan: Scan, *, seed: int, epoch: int, chunks_per_buffer: int = 4, shuffle: bool = True
) -> list[np.ndarray]:
    """Lay out the chunks of an epoch: each once, in random order, `chunks_per_buffer` at a time.

    A pure function of its arguments; without shuffle, in the order of the files. Returns arrays of
    chunk indices, the last one perhaps shorter.
    """
    if chunks_per_buffer < 1:
        raise ValueError(f"chunks_per_buffer: {chunks_per_buffer}, expected at least 1")
    order = np.arange(n_chunks(scan))
    if shuffle:
        order = batch.generator(seed, epoch, ORDER_STREAM).permutation(order)
    return [order[i : i + chunks_per_buffer] for i in range(0, len(order), chunks_per_buffer)]
