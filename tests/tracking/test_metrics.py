"""Matching tracks to particles: by hand, between styles, and against other people's code."""

import csv
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from hepjax.io import acts, velo
from hepjax.tracking import metrics

#  hits 0-3 of particle 0, 4-7 of particle 1, 8-9 noise
TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 1, -1, -1])


def random_event(seed, n_hits=200, n_tracks=30):
    rng = np.random.default_rng(seed)
    truth = rng.integers(-1, n_tracks, n_hits)
    moved = rng.random(n_hits) < 0.3
    return np.where(moved, rng.integers(-1, n_tracks, n_hits), truth), truth


@pytest.mark.parametrize(
    ("tracks", "found"),
    [
        ([0, 0, 0, 0, 1, 1, 1, 1, -1, -1], {key: [True, True] for key in metrics.STYLES}),
        (
            [0, 0, 0, 0, 0, 1, 1, 1, -1, -1],  # 4/5 and 3/3 pure, 4/4 and 3/4 complete
            {key: [True, True] for key in metrics.STYLES} | {"perfect": [False, False]},
        ),
        (
            [0, 0, -1, -1, 1, 1, 1, 0, 1, 1],  # 2/3 of half, 3/5 of three quarters
            {key: [False, False] for key in metrics.STYLES}
            | {"double_majority": [False, True], "atlas": [True, True], "one_way": [True, True]},
        ),
    ],
)
@pytest.mark.smoke
def test_styles_by_hand(tracks, found):
    for style, expected in found.items():
        m = metrics.match(np.array(tracks), TRUTH, style=style)
        assert m.is_found.tolist() == expected, style


def test_what_a_matching_says():
    tracks = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, -1])  # 3/3, 1/2, 3/4 pure
    m = metrics.match(tracks, TRUTH, style="double_majority")
    assert m.particle_of.tolist() == [0, -1, 1]
    np.testing.assert_allclose(m.purity, [1, 0.5, 0.75])
    np.testing.assert_allclose(m.completeness, [0.75, 0.75])
    assert m.track_size.tolist() == [3, 2, 4]
    assert m.particle_size.tolist() == [4, 4]
    assert metrics.efficiency([m]).value == 1
    assert metrics.fake_rate([m]).value == pytest.approx(1 / 3)
    assert metrics.fake_rate([m], min_hits=3).value == 0
    assert metrics.duplicate_rate([m]).value == 0


def test_duplicates_count_once_too_often():
    tracks = np.array([0, 0, 1, 1, 2, 2, 2, 2, -1, -1])
    m = metrics.match(tracks, TRUTH, style="lhc")
    assert metrics.duplicate_rate([m]).value == 0.5
    wanted = [np.array([True, False])]
    assert metrics.duplicate_rate([m], wanted).value == 1
    assert metrics.efficiency([m], wanted).value == 1


def test_two_particles_may_share_a_track():
    """Both of LHCb's particles are found by the one track that has the hits they share."""
    truth = np.array([(h, p) for p in (0, 1) for h in range(4)])
    m = metrics.match(np.array([(h, 0) for h in range(4)]), truth, style="lhcb")
    assert m.is_found.tolist() == [True, True]
    assert m.n_tracks.sum() == 1


@pytest.mark.parametrize("style", metrics.STYLES)
def test_names_of_tracks_and_order_of_hits_do_not_matter(style):
    tracks, truth = random_event(1)
    order = np.random.default_rng(2).permutation(len(truth))
    m = metrics.match(tracks, truth, style=style)
    other = metrics.match(np.where(tracks < 0, -1, 99 - tracks)[order], truth[order], style=style)
    np.testing.assert_array_equal(other.is_found, m.is_found)
    np.testing.assert_allclose(other.purity[::-1], m.purity)


def test_perfect_is_double_majority_is_atlas():
    """Each style asks for no more than the one before it."""
    for seed in range(5):
        found = [
            metrics.match(*random_event(seed), style=s).is_found
            for s in ("perfect", "double_majority", "atlas")
        ]
        assert all((a <= b).all() for a, b in itertools.pairwise(found))


def test_pairs_and_labels_say_the_same():
    tracks, truth = random_event(3)
    pairs = [np.stack([np.flatnonzero(x >= 0), x[x >= 0]], -1) for x in (tracks, truth)]
    a = metrics.match(tracks, truth, style="lhcb")
    b = metrics.match(*pairs, style="lhcb")
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


def test_no_track_and_no_particle():
    none, some = np.zeros((0, 2), int), np.array([(0, 0), (1, 0)])
    m = metrics.match(none, some, style="lhcb")
    assert m.is_found.tolist() == [False]
    assert len(m.purity) == 0
    m = metrics.match(some, none, style="lhcb")
    assert m.particle_of.tolist() == [-1]
    assert metrics.fake_rate([m]).value == 1
    assert np.isnan(metrics.efficiency([m]).value)


def test_errors_are_binomial():
    value = metrics.ratio(25, 100)
    assert value.value == 0.25
    assert value.error == pytest.approx(np.sqrt(0.25 * 0.75 / 100), rel=0.01)
    assert 0 < metrics.ratio(100, 100).error < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "cms"}, "style: 'cms'"),
        ({"tracks": np.zeros(3, int)}, "tracks of 3 hits, particles of 10"),
        ({"tracks": np.array([(0, 0), (0, 0)])}, "tracks: found a pair .* twice"),
        ({"n_particles": 1}, "n_particles: found 1, expected at least 2"),
    ],
)
def test_bad_input(arguments, message):
    given = {"tracks": TRUTH, "particles": TRUTH, "style": "lhcb", **arguments}
    with pytest.raises(ValueError, match=message):
        metrics.match(given.pop("tracks"), given.pop("particles"), **given)


def test_trackml_score_by_hand():
    weight = np.r_[np.full(4, 0.4), np.full(4, 0.1), 0, 0]  # the sum is 2
    tracks = np.array([1, 1, 1, 2, 3, 3, 4, 4, 4, 5])
    assert metrics.trackml_score(tracks, np.maximum(TRUTH + 1, 0), weight) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="weight"):
        metrics.trackml_score(tracks, TRUTH, weight[:3])


@pytest.mark.filterwarnings("ignore")  # those of pandas in the other package
def test_trackml_score_against_trackml():
    trackml = pytest.importorskip("trackml.score", reason="trackml is not installed")
    import pandas

    for seed in range(3):
        tracks, truth = random_event(seed)
        weight = np.where(truth < 0, 0, np.random.default_rng(seed).random(len(truth)))
        hit_id = np.arange(len(truth))
        table = {"hit_id": hit_id, "particle_id": np.maximum(truth + 1, 0), "weight": weight}
        expected = trackml.score_event(
            pandas.DataFrame(table), pandas.DataFrame({"hit_id": hit_id, "track_id": tracks + 1})
        )
        found = metrics.trackml_score(tracks + 1, table["particle_id"], weight)
        assert found == pytest.approx(expected, abs=1e-6)


def test_lhcb_against_velopix(hepjax_data):
    """The tracks of a classical algorithm, judged by its own validator and by ours."""
    velopix = pytest.importorskip("velopix", reason="velopix is not installed")
    import gzip
    import json

    contents = []
    for k in range(800, 810):
        with gzip.open(hepjax_data / "velo" / f"velo_event_{k}.json.gz", "rt") as file:
            contents.append(json.load(file))
    solver = velopix.ReconstructionAlgorithms.SearchByTripletTrie()
    found = [solver.solve(velopix.DetectorEvent.Event(one)) for one in contents]
    report = velopix.Validator.export_validation_to_json(contents, found, False)
    events = [velo.from_json(one) for one in contents]
    tracks = [np.array([(h.id, k) for k, t in enumerate(ts) for h in t.hits]) for ts in found]
    ours = metrics.lhcb(tracks, [(e.truth, e.particles) for e in events])
    assert ours["ghost_rate"].value == pytest.approx(
        report["total_ghosts"] / report["total_tracks"]
    )
    names = {"velo": "velo", "long": "long", "long>5GeV": "long5", "long_strange": "strange"}
    names["long_fromb"] = "from_b"
    rows = {row["label"]: row for row in report["categories"]}
    for theirs, name in names.items():
        for key, column in (
            ("efficiency", "recoeffT"),
            ("clone_rate", "clone_percentage"),
            ("purity", "purityT"),
        ):
            value = 100 * ours[f"{name}_{key}"].value
            assert value == pytest.approx(rows[theirs][column], abs=1e-6), (theirs, key)


def test_electrons_stand_apart():
    flags = {k: np.ones(2, bool) for k in ("has_velo", "is_long", "from_strange", "from_beauty")}
    columns = {"pid": np.array([-11, 211]), "p": np.array([9.0, 9.0]), **flags}
    truth = np.array([(h, h // 3) for h in range(6)])
    table = metrics.lhcb([truth[:3]], [(truth, columns)])
    assert table["electron_efficiency"].value == 1
    assert table["velo_efficiency"].value == 0
    assert table["ghost_rate"].value == 0


def test_shares_of_hits_against_acts():
    """An event that ACTS made and whose tracks it matched itself: the same share of hits of one
    particle, and the same tracks below half. ACTS leaves outliers out of the share, and lists them
    among the hits; tracks with any are not compared.
    """
    start = Path(__file__).parents[1] / "io" / "acts_event" / "event000000242"
    event = acts.read_event(f"{start}-measurements.csv.gz")
    pairs = acts.tracks_beside(f"{start}-measurements.csv.gz", event.hits["hit_id"])
    with gzip.open(f"{start}-tracks.csv.gz", "rt", newline="") as file:
        theirs = list(csv.DictReader(file))
    matched = metrics.match(pairs, event.truth, style="atlas", n_tracks=len(theirs))
    compared = np.array([int(row["nOutliers"]) == 0 for row in theirs])
    share = np.array([float(row["truthMatchProbability"]) for row in theirs])
    fake = np.array([row["good/duplicate/fake"] == "fake" for row in theirs])
    assert compared.sum() > 200
    assert (share[compared] < 1).sum() == 5
    assert fake[compared].sum() == 1
    np.testing.assert_allclose(matched.purity[compared], share[compared], atol=1e-6)
    even = share == 0.5  # half of the hits: a match in acorn's style, none in ACTS'
    assert ((matched.particle_of < 0) == fake)[compared & ~even].all()
