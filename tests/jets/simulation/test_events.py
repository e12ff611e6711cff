"""Whole events: labels of tracks, hadrons near jets, and vertices."""

import importlib.util

import numpy as np
import pytest

from hepjax.jets.simulation import events

needs_pythia = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc comes with the extra `generators`",
)
B, C, KAON, RHO, TAU = 511, -421, 310, 113, 15


@pytest.mark.parametrize(
    ("chain", "origin"),
    [
        ((RHO,), events.PRIMARY),
        ((B,), events.FROM_B),
        ((513, B), events.FROM_B),
        ((B, C), events.FROM_BC),
        ((B, RHO, C, RHO), events.FROM_BC),
        ((C,), events.FROM_C),
        ((TAU,), events.FROM_TAU),
        ((C, TAU), events.FROM_C),
        ((B, TAU, RHO), events.FROM_B),
        ((KAON,), events.OTHER),
        ((B, C, KAON), events.OTHER),
        ((KAON, RHO), events.OTHER),
        ((443,), events.PRIMARY),
    ],
)
def test_the_origin_of_a_chain_of_decays(chain, origin):
    found = events.PRIMARY
    for code in chain:
        found = events.origin_of_daughters(code, found)
    assert found == origin


def test_a_tau_of_a_boson_is_a_tau_and_its_lepton_is_none():
    found = events.origin_of_daughters(TAU, events.PROMPT)
    assert found == events.FROM_TAU


@pytest.fixture(scope="module")
def made():
    pytest.importorskip("pythia8mc")
    return events.make_events(events.SOURCES["ttbar"], events.TTBAR, 3, 25)


@needs_pythia
def test_tracks_of_heavy_hadrons_begin_where_these_decay(made):
    truth, origin, heavy = made
    assert set(np.unique(truth.region)) <= set(range(25))
    away = np.linalg.norm(truth.vertex, axis=1)
    charged = truth.charge != 0
    assert (away[charged & (origin == events.PRIMARY)] < 0.01).mean() > 0.999
    for one in (events.FROM_B, events.FROM_C):
        tracks = charged & (origin == one) & (away > 0)
        assert tracks.sum() > 10
        gaps = []
        for k in np.flatnonzero(tracks)[:60]:
            same = (heavy.event == truth.region[k]) & (heavy.origin == one)
            gaps.append(np.linalg.norm(heavy.decay[same] - truth.vertex[k], axis=1).min())
        # within a micrometre: resonances fly a little, and a tau of a b hadron flies on
        assert np.mean(np.array(gaps) < 1e-3) > 0.9
    assert (origin[charged] >= 0).all()


@needs_pythia
def test_strange_hadrons_decay_inside_the_tracker(made):
    truth, origin, _ = made
    rho = np.hypot(*truth.vertex[:, :2].T)
    strange = (truth.charge != 0) & (origin == events.OTHER)
    assert strange.sum() > 20
    assert 10 < np.median(rho[strange]) < 300
    assert rho.max() < 301


@needs_pythia
def test_top_pairs_hold_two_b_hadrons_and_no_lepton_of_a_w(made):
    truth, origin, heavy = made
    hard = (heavy.origin == events.FROM_B) & (heavy.pt > 5)
    assert 1.5 < hard.sum() / 25 < 3
    lepton = np.isin(np.abs(truth.pid), (11, 13))
    pt = np.hypot(*truth.p4[:, 1:3].T)
    assert pt[lepton & (origin == events.PRIMARY)].max(initial=0) < 15


@needs_pythia
def test_events_depend_on_the_seed_alone(made):
    again = events.make_events(events.SOURCES["ttbar"], events.TTBAR, 3, 25)
    for a, b in zip((*made[0], made[1], *made[2]), (*again[0], again[1], *again[2])):
        np.testing.assert_array_equal(a, b)
    other = events.make_events(events.SOURCES["ttbar"], events.TTBAR, 4, 25)
    assert len(other[1]) != len(made[1]) or (other[0].p4 != made[0].p4).any()


def test_vertices_are_numbered_by_event_and_merged_when_close():
    vertex = np.array(
        [[0, 0, 0], [1, 0, 0], [1, 0.05, 0], [5, 0, 0], [1, 0, 0], [0.01, 0, 0], [2, 2, 2]], float
    )
    event = np.array([0, 0, 0, 0, 4, 4, 4])
    found = events.truth_vertices(vertex, event)
    assert found[0] == found[5] == 0
    assert found[1] == found[2] != 0
    assert found[3] not in (0, found[1])
    assert len({found[4], found[6], 0}) == 3
    assert found.max() <= 2
    shifted = events.truth_vertices(vertex, event, merge=0.001)
    assert shifted[1] != shifted[2]


def heavy(event, origin, pt, eta, phi):
    n = len(event)
    columns = (np.array(x, float) for x in (pt, eta, phi))
    return events.Heavy(np.array(event), np.array(origin), np.zeros(n, int), *columns, None)


def test_the_nearest_hard_hadron_of_the_event():
    b = events.FROM_B
    known = heavy(
        [0, 0, 1, 1, 1], [b, b, b, events.FROM_C, b], [10, 20, 3, 50, 9],
        [0.2, 0.1, 0.0, 0.0, 0.0], [0, 0, 0, 0, -3.1],
    )  # fmt: skip
    found = events.near(np.zeros(4), np.array([0, 0, 3.1, 1.0]), np.array([0, 1, 1, 0]), known, b)
    assert found.tolist() == [1, -1, 4, -1]
    none = events.near(np.zeros(2), np.zeros(2), np.zeros(2, int), known, events.FROM_TAU)
    assert none.tolist() == [-1, -1]


@needs_pythia
def test_a_heavy_boson_makes_all_flavours():
    truth, origin, known = events.make_events(events.SOURCES["zprime"], events.ZPRIME, 5, 60)
    kinds = np.unique(known.origin)
    assert {events.FROM_B, events.FROM_C, events.FROM_TAU} <= set(kinds.tolist())
    hard = known.pt > 100
    assert hard.sum() > 10
    flight = np.hypot(*known.decay[hard, :2].T)
    assert 1 < np.median(flight) < 200
    assert np.bincount(truth.region, minlength=60).max() > 20
    assert len(origin) == len(truth.pid)


@needs_pythia
def test_hadrons_of_a_decay_chain_are_behind_each_other(made):
    """A c hadron out of a b hadron decays farther from the beam than the b hadron does."""
    _, _, known = made
    behind = total = 0
    for k in np.flatnonzero(known.origin == events.FROM_BC):
        mothers = (known.event == known.event[k]) & (known.origin == events.FROM_B)
        if mothers.any():
            total += 1
            gap = np.linalg.norm(known.decay[mothers], axis=1)
            behind += np.linalg.norm(known.decay[k]) > gap.min()
    assert total > 20
    assert behind / total > 0.9


@needs_pythia
def test_a_window_that_nothing_reaches_is_an_error(monkeypatch):
    class Broken:
        rndm = type("Rndm", (), {"init": staticmethod(lambda seed: None)})

        @staticmethod
        def next():
            return False

    monkeypatch.setattr(events, "_pythia", lambda source, space: (Broken, None))
    monkeypatch.setattr(events, "PATIENCE", 10)
    with pytest.raises(RuntimeError, match="10 events failed"):
        events.make_events(events.SOURCES["ttbar"], events.TTBAR, 1, 1)
