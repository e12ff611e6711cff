"""Boosted trees: variables from columns, a tuned fit that is no straw man, errors that name."""

from types import SimpleNamespace

import numpy as np
import pytest

from hepjax import metrics
from hepjax.jets import boosted_trees

SMALL = ({"max_leaf_nodes": 4, "learning_rate": 0.2}, {"learning_rate": 0.1, "max_leaf_nodes": 31})


def columns(**changes):
    """Two jets: mass 173 GeV at eta = 1, and a massless one of a single constituent."""
    pt, eta = np.array([600.0, 500]), np.array([1.0, -2])
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + np.array([173.0, 0]) ** 2)
    jets = {
        "jet_pt": pt,
        "jet_eta": eta,
        "jet_energy": energy,
        "jet_tau1": np.array([0.2, 0]),
        "jet_tau2": np.array([0.1, 0]),
        "jet_tau3": np.array([0.04, 0]),
        "jet_nparticles": np.array([60, 1]),
        **changes,
    }
    jets = {name: np.asarray(x, np.float32) for name, x in jets.items() if x is not None}
    return SimpleNamespace(jets=jets)


def toy(n, seed):
    """Variables much as those of tops and QCD jets, [jet, 4], and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    mass = np.where(y, rng.normal(165, 25, n), rng.gamma(2.5, 32, n))
    tau21 = np.where(y, rng.beta(4, 6, n), rng.beta(6, 5, n))
    tau32 = np.where(y, rng.beta(5, 6, n), rng.beta(9, 4, n))
    number = np.round(np.where(y, rng.normal(60, 13, n), rng.normal(48, 15, n)))
    return np.stack([mass, tau21, tau32, number], 1), y


@pytest.fixture(scope="module")
def trees():
    return boosted_trees.fit(*toy(2000, 0), *toy(1500, 1), seed=0, grid=SMALL)


def test_variables_of_a_top_and_of_a_single_particle():
    x, names = boosted_trees.variables(columns().jets)
    np.testing.assert_allclose(x[0], [173, 0.5, 0.4, 60], rtol=2e-5)
    assert x[1, 0] < 1.5  # the rounding of float32 at E = 1.9 TeV
    np.testing.assert_array_equal(x[1, 1:], [np.nan, np.nan, 1])
    assert names == ("jet mass [GeV]", "tau21", "tau32", "constituents")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"jet_tau3": None, "jet_tau1": None}, "no jet_tau1, jet_tau3.*nsubjettiness"),
        ({"jet_energy": None}, "no jet_energy, expected"),
        ({"jet_tau2": [0.1, np.nan]}, r"jet_tau2: found nan at \(1,\)"),
        ({"jet_energy": [900, 100]}, r"jet_energy: found E = .* in entry 0 \(2 such jets\)"),
        ({"jet_pt": [[600, 500]]}, "jet_pt: found shape"),
    ],
)
def test_bad_columns_are_named(changes, names):
    with pytest.raises(ValueError, match=names):
        boosted_trees.variables(columns(**changes).jets)


def test_missing_energy_gives_no_hint_of_nsubjettiness():
    with pytest.raises(ValueError) as error:
        boosted_trees.variables(columns(jet_energy=None).jets)
    assert "substructure" not in str(error.value)


def test_trees_separate_and_scores_are_probabilities(trees):
    x, y = toy(4000, 2)
    p = boosted_trees.scores(trees, x)
    assert p.shape == (4000,)
    assert ((p > 0) & (p < 1)).all()
    test = metrics.auc(p, y)
    assert test.value > 0.95
    assert abs(test.value - trees.validation_auc.value) < 4 * np.hypot(
        test.error, trees.validation_auc.error
    )
    # calibrated: as many tops as the probabilities add up to
    assert p.mean() == pytest.approx(y.mean(), abs=0.02)


def test_tuned_trees_are_at_least_as_good_as_the_defaults(trees):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    x, y = toy(10_000, 3)
    with threadpool_limits(1, user_api="openmp"):
        default = HistGradientBoostingClassifier(random_state=0).fit(*toy(2000, 0))
        gain = metrics.auc_difference(
            boosted_trees.scores(trees, x), default.decision_function(x), y
        )
    assert gain.value > -gain.error


def test_the_grid_holds_the_defaults_of_scikit_learn():
    from sklearn.ensemble import HistGradientBoostingClassifier

    default = HistGradientBoostingClassifier().get_params()
    assert any(all(default[k] == v for k, v in s.items()) for s in boosted_trees.GRID)


def test_the_choice_is_the_best_of_the_grid_on_validation(trees):
    alone = [boosted_trees.fit(*toy(2000, 0), *toy(1500, 1), seed=0, grid=[s]) for s in SMALL]
    best = max(alone, key=lambda t: t.validation_auc.value)
    assert (trees.validation_auc, trees.settings) == (best.validation_auc, best.settings)
    assert 0 < trees.settings["n_iterations"] < 1000  # stopped early


def test_the_same_seed_gives_the_same_trees():
    given, (x, _) = (*toy(400, 0), *toy(400, 1)), toy(500, 4)
    a, b = (boosted_trees.fit(*given, seed=1, grid=SMALL[:1]) for _ in range(2))
    np.testing.assert_array_equal(boosted_trees.scores(a, x), boosted_trees.scores(b, x))


def test_a_missing_ratio_is_a_value_of_its_own():
    x, y = toy(1000, 5)
    x[y == 0, 2] = np.nan
    trees = boosted_trees.fit(x, y, x, y, seed=0, grid=SMALL[:1])
    assert metrics.auc(boosted_trees.scores(trees, x), y).value > 0.999


def test_weights_move_the_trees_and_padding_does_not():
    x, y = toy(1000, 6)
    validation = toy(1000, 7)
    options = {"seed": 0, "grid": SMALL[:1]}
    plain = boosted_trees.fit(x, y, *validation, **options)
    padded = np.concatenate([x, np.full((9, 4), 1e6)]), np.append(y, [-1] * 9)
    weight = np.append(np.ones(1000), np.zeros(9))
    same = boosted_trees.fit(*padded, *validation, weight=weight, **options)
    tops = boosted_trees.fit(x, y, *validation, weight=np.where(y, 10.0, 1), **options)
    p, q, r = (boosted_trees.scores(trees, validation[0]) for trees in (plain, same, tops))
    np.testing.assert_allclose(p, q, rtol=1e-9)
    assert r.mean() > p.mean() + 0.02


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"weight": -np.ones(20)}, "weight: found -1.0, expected 0 or more"),
        ({"train_label": np.zeros(20)}, "train_label: found classes"),
        ({"train_label": np.arange(20)}, "train_label: found 2.0"),
        ({"validation": np.zeros((20, 3))}, "validation, grid: found 3 variables"),
        ({"grid": []}, "0 settings"),
        ({"train": np.full((20, 4), np.inf)}, "train: found an infinity"),
        ({"train": np.zeros(20)}, "train: found shape"),
        ({"validation_label": np.zeros(3)}, "validation_label: found shape"),
    ],
)
def test_bad_training_is_named(change, names):
    x, y = toy(20, 8)
    y[:2] = 0, 1
    given = {"train": x, "train_label": y, "validation": x, "validation_label": y, **change}
    with pytest.raises(ValueError, match=names):
        boosted_trees.fit(**given, seed=0)


def test_scores_want_the_variables_of_the_training(trees):
    with pytest.raises(ValueError, match="x: found 3 variables"):
        boosted_trees.scores(trees, np.zeros((5, 3)))
