"""Small networks: they learn, weights count, chunks do not matter, and files keep them."""

import numpy as np
import pytest

from hepjax.tracking import scorers

SMALL = scorers.Settings(width=16, batch_size=512, learning_rate=2e-2, n_steps=150)


@pytest.fixture(scope="module")
def items():
    """Two features of which the first, shifted and wide, tells what is true."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2)).astype(np.float32) * [100, 1] + [300, 0]
    return x.astype(np.float32), x[:, 0] > 350


@pytest.fixture(scope="module")
def scorer(items):
    return scorers.fit((items[0],), items[1], np.ones(len(items[1])), SMALL, seed=0)


def test_it_learns(items, scorer):
    odds = scorers.score_all(scorer, items[0])
    assert ((odds > 0) == items[1]).mean() > 0.97


def test_weights_are_numbers_of_items(items):
    """Odds of a coin: those of its weights."""
    x = np.random.default_rng(1).normal(size=(4000, 1)).astype(np.float32)
    label = np.arange(4000) % 2 == 0
    found = scorers.fit((x,), label, np.where(label, 1.0, 9.0), SMALL, seed=0)
    assert scorers.score_all(found, x).mean() == pytest.approx(-np.log(9), abs=0.3)


def test_any_number_of_items(items, scorer):
    x = np.tile(items[0], (4, 1))
    whole = scorers.score_all(scorer, x)
    assert len(whole) == 12_000 > scorers.CHUNK
    np.testing.assert_allclose(whole[9000:9010], scorers.score_all(scorer, x[9000:9010]), atol=1e-5)
    assert scorers.score_all(scorer, x[:0]).shape == (0,)


def test_files(items, scorer, tmp_path):
    scorers.save(tmp_path / "two", scorer, scorer._replace(cut=np.float32(2)), more=np.arange(3))
    (first, second), arrays = scorers.load(tmp_path / "two")
    np.testing.assert_array_equal(
        scorers.score_all(first, items[0]), scorers.score_all(scorer, items[0])
    )
    assert second.cut == 2
    assert arrays["more"].tolist() == [0, 1, 2]
    (tmp_path / "bad").write_bytes(b"no")
    with pytest.raises(ValueError, match="bad: no scorers"):
        scorers.load(tmp_path / "bad")
