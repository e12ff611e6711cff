"""Batches of jets: each jet once, the same from memory and from files larger than it."""

import jax
import numpy as np
import pytest

from hepjax.io import root, stream
from hepjax.jets import batches, data


@pytest.fixture(scope="module")
def jets(toy_columns):
    return data.from_columns(toy_columns()[0])


def test_batches_hold_each_jet_once(jets):
    served = batches.of_sample(jets, budget=256, seed=1)
    rows = np.concatenate([served.rows(0, i) for i in range(len(served.shapes(0)))])
    np.testing.assert_array_equal(np.sort(rows[rows >= 0]), np.arange(40))
    for i, bucket in enumerate(served.shapes(0)):
        padded = served.get(0, i)
        assert padded.mask.shape[1] == bucket
        np.testing.assert_array_equal(padded.weight > 0, served.rows(0, i) >= 0)


def test_padding_rows_are_empty_jets_without_weight(jets):
    padded = batches.padded(jets, np.array([-1, 3]), 16)
    for leaf in jax.tree.leaves(padded):
        assert not np.asarray(leaf)[0].any()
    assert padded.weight[1] == 1


@pytest.mark.parametrize("chunks_per_buffer", [1, 2])
def test_files_larger_than_memory_are_served_like_a_sample(
    tmp_path, toy_columns, chunks_per_buffer
):
    paths = [tmp_path / f"{i}.root" for i in range(3)]
    for i, path in enumerate(paths):
        root.write_jetclass(path, toy_columns(n=50, seed=i)[0])
    scan = stream.scan(paths, chunk_size=20)
    served = batches.of_files(scan, seed=2, chunks_per_buffer=chunks_per_buffer, budget=256)
    orders = []
    for epoch in (0, 1, 0):
        n = len(served.shapes(epoch))
        orders.append(np.concatenate([served.rows(epoch, i) for i in range(n)]))
        np.testing.assert_array_equal(np.sort(orders[-1][orders[-1] >= 0]), np.arange(150))
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])
    whole = data.from_columns(root.read_jetclass(paths))
    for i in (0, n - 1, 1):
        row, found = served.rows(0, i), served.get(0, i)
        expected = batches.padded(whole, row, served.shapes(0)[i])
        jax.tree.map(np.testing.assert_array_equal, found, expected)
