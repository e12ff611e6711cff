"""Boosted decision trees on four jet variables: the classical top tagger to beat.

A hadronic top in one jet has the top's mass, three prongs and more constituents than a QCD jet of
its pt. Four numbers say most of it: the jet mass, the N-subjettiness ratios tau21 = tau2 / tau1 and
tau32 = tau3 / tau2 (arXiv:1011.2268), which fall where a jet has 2 or 3 prongs, and the number of
constituents. `variables` takes them from a file's columns, `fit` grows scikit-learn's histogram
trees with settings chosen on validation jets, `scores` gives the probability of signal.

A baseline is worth something only when it is tuned as carefully as what it is compared with: the
grid holds scikit-learn's own defaults, each setting stops early on the validation loss, and the
best validation AUC wins. A ratio whose denominator is 0 (a jet of one or two constituents) is NaN,
which the trees treat as a value of its own.

>>> x = np.arange(400.0).reshape(100, 4)
>>> label = (np.arange(100) >= 50).astype(int)
>>> trees = fit(x, label, x, label, grid=[{}], seed=0)
>>> trees.validation_auc.value, scores(trees, x)[:50].max() < scores(trees, x)[50:].min()
(1.0, np.True_)
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepjax import counting, metrics

NAMES = ("jet mass [GeV]", "tau21", "tau32", "constituents")
COLUMNS = (
    *("jet_pt", "jet_eta", "jet_energy", "jet_nparticles"),
    *("jet_tau1", "jet_tau2", "jet_tau3"),
)
GRID = tuple(
    {"learning_rate": rate, "max_leaf_nodes": leaves, "l2_regularization": l2}
    for rate, leaves, l2 in (
        *itertools.product((0.05, 0.1), (4, 8, 31), (10.0,)),
        (0.1, 31, 0.0),  # the defaults of scikit-learn
    )
)


class BoostedTrees(NamedTuple):
    """Grown trees, the settings chosen for them, and how they did on the validation jets."""

    model: Any  # scikit-learn's HistGradientBoostingClassifier
    settings: dict[str, float]  # chosen, and n_iterations where it stopped
    validation_auc: metrics.Value  # of the choice: a little high, as the largest of several is


def _mass(jets: Mapping[str, np.ndarray]) -> np.ndarray:
    """Jet mass [jet] GeV from energy, pt and eta [jet], float64."""
    energy, p = jets["jet_energy"], jets["jet_pt"] * np.cosh(jets["jet_eta"])
    squared = (energy - p) * (energy + p)
    bad = np.flatnonzero(squared < -1e-5 * energy**2)  # more than columns in float32 round
    if len(bad):
        i = bad[0]
        found = f"E = {energy[i]} GeV below |p| = {p[i]} GeV in entry {i} ({len(bad)} such jets)"
        counting.fail("jet_energy", found, "E >= |p|")
    return np.sqrt(np.maximum(squared, 0))


def variables(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Jet mass, tau21, tau32 and number of constituents: [jet, 4], and their names.

    columns: name -> [jet], with jet_pt, jet_energy (GeV), jet_eta, jet_nparticles and jet_tau1 to
    jet_tau3 (io.root.Columns.jets, or the observers of a sample). ValueError that names missing
    columns, or the column and entry of a NaN.
    """
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        hint = "; substructure.nsubjettiness computes jet_tau*" if "tau" in str(missing) else ""
        counting.fail("columns", f"no {', '.join(missing)}", ", ".join(COLUMNS) + hint)
    jets = {}
    for name in COLUMNS:
        jets[name] = counting.finite(name, counting.read(name, columns[name], axes="[jet]"))
    tau1, tau2, tau3 = (jets[f"jet_tau{n}"] for n in (1, 2, 3))
    tau21, tau32 = (
        np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0)
        for over, under in ((tau2, tau1), (tau3, tau2))
    )
    return np.stack([_mass(jets), tau21, tau32, jets["jet_nparticles"]], axis=1), NAMES


def _sample(name: str, x: ArrayLike, label: ArrayLike, weight: ArrayLike | None):
    """Variables [jet, variable], labels [jet], weights [jet] of the jets that are not padding."""
    x = counting.read(name, x, axes="[jet, variable]")
    y = counting.read(f"{name}_label", label, len(x))
    w = counting.weights(weight, len(x))
    if (w < 0).any():
        counting.fail("weight", w.min(), "0 or more: trees cannot be grown on negative weights")
    x, y, w = x[w != 0], counting.classes(f"{name}_label", y[w != 0], None, 2), w[w != 0]
    if np.isinf(x).any():
        counting.fail(name, "an infinity", "numbers, or NaN where a variable does not exist")
    if len(np.unique(y)) < 2:
        counting.fail(f"{name}_label", f"classes {np.unique(y)}", "both 0 and 1")
    return x, y, w


def fit(
    train: ArrayLike,
    train_label: ArrayLike,
    validation: ArrayLike,
    validation_label: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    validation_weight: ArrayLike | None = None,
    seed: int,
    grid: Sequence[Mapping[str, float]] = GRID,
    max_iterations: int = 1000,
    threads: int = 1,
) -> BoostedTrees:
    """Trees of the setting with the best validation AUC, each stopped on the validation loss.

    train, validation: [jet, variable]; labels: [jet], 1 signal, 0 background; weights: [jet], none
    negative; grid: settings of scikit-learn's HistGradientBoostingClassifier. More threads help
    from some 100,000 jets; on fewer, or on cores that others use, they only wait for each other.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    x, y, w = _sample("train", train, train_label, weight)
    x_v, y_v, w_v = _sample("validation", validation, validation_label, validation_weight)
    if x.shape[1] != x_v.shape[1] or not len(grid):
        given = f"{x_v.shape[1]} variables, {len(grid)} settings"
        counting.fail("validation, grid", given, f"{x.shape[1]} variables, a setting or more")
    found = []
    with threadpool_limits(limits=threads, user_api="openmp"):
        for settings in grid:
            model = HistGradientBoostingClassifier(
                max_iter=max_iterations,
                early_stopping=True,  # pyright: ignore[reportArgumentType]
                n_iter_no_change=20,
                random_state=seed,
                **settings,  # pyright: ignore[reportArgumentType]
            )
            model.fit(x, y, w, X_val=x_v, y_val=y_v, sample_weight_val=w_v)
            auc = metrics.auc(model.decision_function(x_v), y_v, w_v)
            found.append(BoostedTrees(model, {**settings, "n_iterations": model.n_iter_}, auc))
    return max(found, key=lambda trees: trees.validation_auc.value)


def scores(trees: BoostedTrees, x: ArrayLike, *, threads: int = 1) -> np.ndarray:
    """Probability of signal [jet], float64, of variables [jet, variable]."""
    from threadpoolctl import threadpool_limits

    x = counting.read("x", x, axes="[jet, variable]")
    if x.shape[1] != trees.model.n_features_in_:
        counting.fail("x", f"{x.shape[1]} variables", f"{trees.model.n_features_in_}")
    with threadpool_limits(limits=threads, user_api="openmp"):
        return trees.model.predict_proba(x)[:, 1]


def reference(train: Any, validation: Any, test: Any, *, seed: int) -> np.ndarray:
    """Grow trees on a training sample, tuned on a validation sample; score a test sample [jet].

    train, validation, test: jets.data.RaggedJets of signal (label 1) and background (label 0).
    """
    x = [variables(sample.observers)[0] for sample in (train, validation, test)]
    return scores(fit(x[0], train.label, x[1], validation.label, seed=seed), x[2])
