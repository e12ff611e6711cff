"""DL1's variables and tables."""

import jax
import numpy as np
import pytest

from hepjax.jets import batches
from hepjax.jets.flavour import data, dl1, likelihood
from hepjax.nn import model


@pytest.fixture(scope="module")
def table(tracks):
    return dl1.variables(tracks, likelihood.templates(tracks))


def test_variables_are_finite_and_made_once(tracks, table, tmp_path):
    assert table.shape == (80, 12)
    assert np.isfinite(table).all()
    first = dl1.tables([tracks, tracks], tmp_path / "new" / "variables.npz")
    np.testing.assert_array_equal(first[0], table)
    again = dl1.tables([], tmp_path / "new" / "variables.npz")
    np.testing.assert_array_equal(again[1], first[1])


def test_a_table_is_batched_like_tracks(tracks, table):
    sample = dl1.sample(tracks, table)
    batch = batches.padded(sample, np.array([5, -1, 2] + [0] * 5), 1)
    rows = dl1.inputs(batch)
    np.testing.assert_array_equal(rows.tracks[0, 0], table[5])
    assert rows.mask[:3, 0].tolist() == [True, False, True]
    net = model.from_linen(dl1.small())
    variables = jax.jit(net.init)(jax.random.key(0), rows)
    out = jax.jit(net.apply)(variables, rows).flavour
    assert out.shape == (8, len(data.CLASSES))
    assert np.all(np.isfinite(out))
    with pytest.raises(ValueError, match="79 rows, expected one for each of 80"):
        dl1.sample(tracks, table[:79])


def test_padding_does_not_move_the_statistics(tracks, table):
    sample = dl1.sample(tracks, table)
    net = model.from_linen(dl1.small())
    few, more = (
        dl1.inputs(batches.padded(sample, np.array([1, 2, 3, 4] + [-1] * n), 1)) for n in (4, 12)
    )
    variables = jax.jit(net.init)(jax.random.key(0), few)
    train = jax.jit(lambda x: net.apply_train({"params": variables["params"]}, x)[0].flavour)
    np.testing.assert_allclose(train(few)[:4], train(more)[:4], rtol=1e-4, atol=1e-5)


def test_an_answer_stands_beside_the_table(table):
    logits = np.random.default_rng(0).normal(size=(80, 4)) * 20
    wide = dl1.beside(table, logits)
    assert wide.shape == (80, 16)
    assert wide[:, 12:].min() >= -10
    assert (wide[:, 12:].argmax(1) == logits.argmax(1)).all()
