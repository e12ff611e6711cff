"""Scale factors: ours against correctionlib's own evaluation, out and in again."""

import json

import correctionlib
import numpy as np
import pytest

from hepjax.io import scale_factors

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 4, 2)
CENTRAL = RNG.uniform(0.8, 1.2, SHAPE)
TABLE = scale_factors.Table(
    "tagger",
    ("L", "M"),
    (5, 4, 0),
    np.array([20.0, 30, 50, 100, 250]),
    np.array([0.0, 1.2, 2.5]),
    CENTRAL,
    CENTRAL + RNG.uniform(0, 0.1, SHAPE),
    CENTRAL - RNG.uniform(0, 0.1, SHAPE),
)


@pytest.fixture(params=["sf.json", "sf.json.gz"])
def path(request, tmp_path):
    scale_factors.write(tmp_path / request.param, TABLE, description="for a test")
    return tmp_path / request.param


@pytest.mark.parametrize("systematic", ["central", "up", "down"])
def test_correctionlib_finds_the_same_factors(path, systematic):
    found = correctionlib.CorrectionSet.from_file(str(path))["tagger"]
    n = 500
    flavour = RNG.choice([5, 4, 0], n)
    pt, eta = RNG.uniform(20, 249.9, n), RNG.uniform(-2.49, 2.49, n)
    for point in ("L", "M"):
        ours = scale_factors.look_up(TABLE, point, flavour, pt, eta, systematic)
        theirs = found.evaluate(systematic, point, flavour, np.abs(eta), pt)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_table_comes_back(path):
    again = scale_factors.read(path, "tagger")
    assert again.working_points == TABLE.working_points
    assert again.flavours == TABLE.flavours
    for a, b in zip(again[3:], TABLE[3:]):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_outside_of_the_bins_the_uncertainty_doubles():
    one = np.array([5])
    inside = [
        scale_factors.look_up(TABLE, "M", one, np.array([249.0]), np.array([2.0]), s)[0]
        for s in ("central", "up")
    ]
    beyond = [
        scale_factors.look_up(TABLE, "M", one, np.array([900.0]), np.array([-2.0]), s)[0]
        for s in ("central", "up")
    ]
    assert beyond[0] == inside[0]
    assert beyond[1] - beyond[0] == pytest.approx(2 * (inside[1] - inside[0]))
    edge = scale_factors.look_up(TABLE, "M", one, np.array([250.0]), np.array([2.5]), "up")
    assert edge[0] == inside[1]
    with pytest.raises(ValueError, match=r"pt: 900.0 is outside of 20.0 to 250.0"):
        scale_factors.look_up(TABLE, "M", one, np.array([900.0]), np.zeros(1), outside="error")


def test_weighted_simulation_passes_as_often_as_data():
    n, efficiency, factor = 400_000, 0.7, 0.9
    passed = RNG.random(n) < efficiency
    weight = scale_factors.weight(np.full(n, factor), np.full(n, efficiency), passed)
    error = np.sqrt(0.3 * 0.7 / n) / 0.3
    assert weight.mean() == pytest.approx(1, abs=5 * error)
    assert (weight * passed).sum() / weight.sum() == pytest.approx(0.63, abs=5 * error)
    assert scale_factors.weight(np.array([2.0]), np.array([0.7]), np.array([False])) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("T", [5], [50], [0]), "working_point: found 'T'"),
        (("M", [15], [50], [0]), r"flavour: found \[15\]"),
        (("M", [5], [50], [0], "left"), "systematic: found 'left'"),
    ],
)
def test_names_that_are_not_there(arguments, message):
    point, *rest = arguments
    arrays = [np.array(x) for x in rest[:3]]
    with pytest.raises(ValueError, match=message):
        scale_factors.look_up(TABLE, point, *arrays, *rest[3:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"central": CENTRAL[:1]}, "central: expected finite numbers"),
        ({"up": np.where(CENTRAL > 1, np.nan, 1)}, "up: expected finite"),
        ({"pt_edges": np.array([20.0, 10])}, "pt_edges: expected two or more rising"),
    ],
)
def test_a_table_that_cannot_be_right(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        scale_factors.write(tmp_path / "sf.json", TABLE._replace(**change))
    with pytest.raises(ValueError, match="efficiency"):
        scale_factors.weight(np.ones(1), np.ones(1), np.ones(1, bool))


def test_a_file_of_another_structure_is_named(tmp_path):
    path = tmp_path / "sf.json"
    with pytest.raises(ValueError, match=r"sf.json.*'tagger'"):
        scale_factors.read(path, "tagger")
    scale_factors.write(path, TABLE)
    with pytest.raises(ValueError, match="'other' is no table"):
        scale_factors.read(path, "other")
    content = json.loads(path.read_text())
    content["corrections"][0]["inputs"][3]["name"] = "eta"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"expected .*abseta"):
        scale_factors.read(path, "tagger")
