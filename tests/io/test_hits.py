"""An event of hits: what can be wrong with one, each told by name, and what is merely empty."""

from pathlib import Path

import numpy as np
import pytest

from hepjax.io import hits
from hepjax.io.trees import BadFile


def event(n=4, truth=((0, 0), (1, 0), (2, 1)), **changed):
    table = {k: np.arange(n, dtype=float) for k in hits.POSITION}
    table["module"] = np.arange(n)
    particles = {"pid": np.array([211, 11])}
    return hits.Event({**table, **changed}, particles, np.array(truth, np.int64).reshape(-1, 2))


def test_counts():
    assert (hits.n_hits(event()), hits.n_particles(event())) == (4, 2)
    hits.validate(event())


def test_an_empty_event_is_fine():
    hits.validate(event(0, truth=()))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (event(y=np.array([0.0, np.nan, 2, np.inf])), r"y of hit 1: nan, .* \(2 such hits\)"),
        (event(z=np.zeros(3)), r"z: \[3\] values, expected \[4 hits\]"),
        (event(module=np.array([0, -2, 0, 0])), "module of hit 1: -2"),
        (event(truth=((0, 0), (9, 1))), "particle 1 names hit 9, expected 0 to 3"),
        (event(truth=((0, 2),)), "names particle 2, expected 0 to 1"),
        (event(truth=((3, 1), (2, 0), (3, 1))), "hit 3 of particle 1 2 times"),
        (event()._replace(truth=np.zeros(3, int)), r"truth \[3\], expected \[pair, 2\]"),
    ],
)
def test_what_cannot_be_right_is_named(bad, message):
    with pytest.raises(BadFile, match=f"run 7: .*{message}"):
        hits.validate(bad, source="run 7")


def test_expand_orders_by_number(tmp_path):
    for name in ("event_10.json", "event_9.json.gz", "event_9.csv"):
        (tmp_path / name).touch()
    found = hits.expand(tmp_path, (".json", ".json.gz"))
    assert [path.name for path in found] == ["event_9.json.gz", "event_10.json"]
    with pytest.raises(ValueError, match=r"none of \.root"):
        hits.expand(tmp_path, (".root",))
    with pytest.raises(ValueError, match="empty list"):
        hits.expand([], (".root",))


def test_kinematics_of_momenta():
    found = hits.kinematics(np.array([[3.0, 4, 0], [0, -2, 2], [0, 0, -1]]))
    np.testing.assert_allclose(found["pt"], [5, 2, 0])
    np.testing.assert_allclose(found["p"], [5, np.sqrt(8), 1])
    np.testing.assert_allclose(found["eta"][:2], [0, np.arcsinh(1)])
    assert np.isfinite(found["eta"]).all()
    np.testing.assert_allclose(found["phi"][:2], [np.arctan2(4, 3), -np.pi / 2])


def test_select_keeps_the_particles_that_left_hits():
    table = {"x": np.arange(4.0), "y": np.zeros(4), "z": np.zeros(4), "module": np.arange(4)}
    truth = np.array([[0, 0], [1, 0], [2, 1], [3, 2]])
    event = hits.Event(table, {"pid": np.array([11, 13, 211])}, truth)
    found = hits.select(event, np.array([False, True, False, True]))
    hits.validate(found)
    assert found.hits["x"].tolist() == [1, 3]
    assert found.particles["pid"].tolist() == [11, 211]
    assert found.truth.tolist() == [[0, 0], [1, 1]]
    none = hits.select(event, np.zeros(4, bool))
    assert hits.n_hits(none) == hits.n_particles(none) == len(none.truth) == 0


def test_bad_files_are_left_out_with_their_reasons(tmp_path):
    """Of four events one is bad: it stops the reading, or is told of and left out."""
    for k in range(4):
        (tmp_path / f"event_{k}.txt").write_text("nan" if k == 2 else str(k))

    def read_event(path):
        one = event(x=np.array([float(path.read_text()), 1, 2, 3]))
        hits.validate(one, source=str(path))
        return one

    with pytest.raises(BadFile, match=r"event_2.txt: x of hit 0: nan"):
        hits.read(tmp_path, read_event, (".txt",), skip_bad=False)
    with pytest.warns(RuntimeWarning, match=r"event_2.txt"):
        found, skipped = hits.read(tmp_path, read_event, (".txt",), skip_bad=True)
    assert [one.hits["x"][0] for one in found] == [0, 1, 3]
    assert [Path(one.path).name for one in skipped] == ["event_2.txt"]
    with pytest.raises(BadFile):
        hits.read(tmp_path / "event_2.txt", read_event, (".txt",), skip_bad=True)


def test_select_by_the_order_of_hits_and_again():
    """Two cuts one after the other are their product; the truth follows."""
    rng = np.random.default_rng(0)
    n = 60
    table = {name: rng.normal(size=n) for name in hits.POSITION} | {"module": np.arange(n)}
    particle = rng.integers(0, 12, n)
    truth = np.stack([np.arange(n), particle], -1)[np.argsort(particle, kind="stable")]
    whole = hits.Event(table, {"pid": 100 + np.arange(12)}, truth)
    first, second = rng.random(n) < 0.5, rng.random(n) < 0.5
    once = hits.select(whole, first & second)
    twice = hits.select(hits.select(whole, first), second[first])
    for name, values in once.hits.items():
        np.testing.assert_array_equal(twice.hits[name], values)
    np.testing.assert_array_equal(twice.truth, once.truth)
    owner = dict(whole.truth.tolist())
    for hit, one in once.truth:
        assert once.particles["pid"][one] == 100 + owner[once.hits["module"][hit]]
