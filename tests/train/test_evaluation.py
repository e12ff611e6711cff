"""Evaluation adds over batches; prediction keeps the order; errors of the reader come through."""

import numpy as np
import pytest

from hepjax import batch, train
from hepjax.train import evaluation

X = np.arange(20.0, dtype=np.float32)


def served():
    rows = [np.array([3, 1, 2, 0, 7, 6, 5, 4]), np.array([8, 9, 10, -1, -1, -1, -1, -1])]
    return batch.Batches(
        lambda epoch: [8, 8], lambda epoch, i: X[rows[i]], lambda epoch, i: rows[i]
    )


def test_predictions_are_in_the_order_of_events():
    found = train.predict(lambda p, x: p * x, 2.0, served())
    np.testing.assert_array_equal(found, 2 * X[:11])


def test_sums_add_over_batches():
    def sums(state, x):
        return {"x": x.sum(), "n": (x >= 0).sum() * 1.0}

    found = train.evaluate(sums, 0.0, served(), lambda s: (s["x"] / s["n"], {"n": s["n"]}))
    expected = np.concatenate([served().get(0, i) for i in range(2)])
    assert found["n"] == 16
    assert found["loss"] == pytest.approx(expected.mean(), rel=1e-6)


def test_reader_runs_ahead_and_raises_where_its_result_would_come():
    def read(i):
        if i == 3:
            raise ValueError("file a.root")
        return i

    results = evaluation.ahead(read, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"a\.root"):
        next(results)


def test_nothing_to_look_at_is_an_error():
    empty = served()._replace(shapes=lambda epoch: [])
    with pytest.raises(ValueError, match="no batches to predict"):
        train.predict(lambda p, x: x, 0.0, empty)
    with pytest.raises(ValueError, match="no batches to evaluate"):
        train.evaluate(lambda s, x: {"x": x.sum()}, 0.0, empty, lambda s: (s["x"], {}))
