"""How well origins are told apart: efficiencies of flavours, flips of the charge, and jet charge.

A tagger of eleven classes answers two questions, which quark and whether it is an antiquark.
`matrix` holds the whole answer; `flavour_efficiency` asks the first one alone, by counting a quark
and its antiquark together; `charge_flip` asks the second of jets whose flavour is right. `flavour`
is the score for a working point of one flavour. `jet_charge` is the classical estimator of the
second answer, a sum of charges weighted with momentum, and `jet_charge_flip` how often its sign is
wrong.

>>> label, predicted = [0, 0, 1, 1, 1, 10], [0, 1, 2, 1, 1, 10]
>>> flavour_efficiency(predicted, label)["b"].value, charge_flip(predicted, label)["b"].value
(0.8, 0.25)
"""

import numpy as np
from numpy.typing import ArrayLike

from hepjax import batch, counting
from hepjax.jets import data, metrics
from hepjax.jets.origin.generator import CLASSES, FLAVOURS

CHARGES = {"b": -1, "c": 1, "s": -1, "u": 1, "d": -1}
"""Sign of the charge of each quark."""

GLUON = len(CLASSES) - 1
KAPPAS = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Powers of the momentum fraction in the jet charge, among which a training sample chooses."""


def matrix(
    predicted: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None
) -> counting.Confusion:
    """P(predicted | true) of the eleven classes, with binomial errors: [true, predicted].

    predicted, label: [jet] index into CLASSES; weight: [jet].
    """
    return counting.confusion(label, predicted, len(CLASSES), weight)


def flavour_efficiency(
    predicted: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None
) -> dict[str, counting.Value]:
    """Fraction of the jets of each flavour, and of gluons, that are given it.

    A quark and its antiquark are one flavour. predicted, label: [jet] index into CLASSES; weight:
    [jet]. Flavours without jets are left out.
    """
    p, y, w = _read(predicted, label, weight)
    found = {}
    for k, name in enumerate((*FLAVOURS, "g")):
        some = y // 2 == k
        if some.any():
            found[name] = counting.accuracy(y[some] // 2, p[some] // 2, w[some])
    return found


def charge_flip(
    predicted: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None
) -> dict[str, counting.Value]:
    """Fraction of the jets whose flavour is found that are given the wrong one of quark and
    antiquark: flipped / (flipped + correct). Arguments as in `flavour_efficiency`.

    Source: arXiv:2310.03440.
    """
    p, y, w = _read(predicted, label, weight)
    found = {}
    for k, name in enumerate(FLAVOURS):
        some = (y // 2 == k) & (p // 2 == k)
        if some.any():
            right = counting.accuracy(y[some], p[some], w[some])
            found[name] = right._replace(value=1 - right.value)
    return found


def sign(logits: ArrayLike, label: ArrayLike) -> np.ndarray:
    """Predict quark or antiquark for jets whose flavour is known: [jet] index into CLASSES.

    logits: [jet, class]; label: [jet]. The likelier one of the two classes of the jet's flavour;
    gluons stay gluons. `charge_flip` of it is over all jets of a flavour.
    """
    x = counting.read("logits", logits, axes="[jet, class]")
    y = counting.classes("label", label, len(x), len(CLASSES))
    first = np.minimum(2 * (y // 2), GLUON)
    rows = np.arange(len(x))
    second = np.minimum(first + 1, GLUON)
    return np.where(x[rows, second] > x[rows, first], second, first)


def flavour(logits: ArrayLike, name: str) -> np.ndarray:
    """ln(p / (1 - p)) of a flavour, quark and antiquark together, or of gluons: [jet]."""
    if name not in (*FLAVOURS, "g"):
        counting.fail("name", repr(name), f"one of {(*FLAVOURS, 'g')}")
    signal = [k for k, c in enumerate(CLASSES) if c in (name, f"{name}bar")]
    others = [k for k in range(len(CLASSES)) if k not in signal]
    return metrics.log_odds(logits, signal, others)


def jet_charge(jets: data.RaggedJets, kappa: float) -> np.ndarray:
    """Sum of charges weighted with (p_i . n / p_jet)^kappa, n the axis of the jet: [jet].

    jets: a sample with Constituents; what flies backwards has no weight. Source: R. D. Field and
    R. P. Feynman, Nucl. Phys. B 136 (1978) 1.
    """
    if not 0 <= kappa <= 10:
        counting.fail("kappa", kappa, "a power from 0 to 10")
    part, count = jets.particles.values, batch.lengths(jets.particles)
    jet = np.repeat(np.arange(len(count)), count)
    momentum = np.asarray(jets.p4[:, 1:], np.float64)
    total = np.sum(momentum**2, axis=1)
    along = np.sum(np.asarray(part.p4[:, 1:], np.float64) * momentum[jet], axis=1) / total[jet]
    weight = np.where(along > 0, np.maximum(along, 0) ** kappa, 0)
    return np.bincount(jet, part.charge * weight, len(count))


def jet_charge_flip(jets: data.RaggedJets, kappas: dict[str, float]) -> dict[str, counting.Value]:
    """How often the sign of the jet charge is that of the other one of quark and antiquark.

    kappas: by flavour, as `best_kappas` gives them. A jet charge of 0 counts as half a flip.
    Returns the fraction of all jets of each flavour.
    """
    found = {}
    for k, name in enumerate(FLAVOURS):
        some = jets.label // 2 == k
        if some.any():
            wrong = _wrong(jets, jet_charge(jets, kappas[name]), name)[some]
            value = float(np.average(wrong, weights=jets.weight[some]))
            number = counting.effective_number(np.asarray(jets.weight[some], np.float64))
            error = float(np.sqrt(value * (1 - value) / number))
            found[name] = counting.Value(value, error)
    return found


def best_kappas(jets: data.RaggedJets) -> dict[str, float]:
    """Choose the power in KAPPAS with the fewest flips for each flavour of a training sample."""
    flips = {kappa: jet_charge_flip(jets, dict.fromkeys(FLAVOURS, kappa)) for kappa in KAPPAS}
    return {
        name: min(KAPPAS, key=lambda kappa: flips[kappa][name].value) for name in flips[KAPPAS[0]]
    }


def _wrong(jets: data.RaggedJets, charge: np.ndarray, name: str) -> np.ndarray:
    """1 where the sign is wrong, 1/2 where there is none: [jet]."""
    truth = np.where(jets.label % 2 == 0, 1, -1) * CHARGES[name]
    return 0.5 - 0.5 * np.sign(charge) * truth


def _read(
    predicted: ArrayLike, label: ArrayLike, weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted class, true class and weight of the jets that are not padding."""
    n = len(np.atleast_1d(np.asarray(label)))
    w = counting.weights(weight, n)
    p, y = np.asarray(predicted), np.asarray(label)
    if p.shape != y.shape:
        counting.fail("predicted", f"shape {p.shape}", f"{y.shape}, as label")
    kept = (x[w != 0] for x in (p, y))
    p, y = (
        counting.classes(k, x, None, len(CLASSES)) for k, x in zip(("predicted", "label"), kept)
    )
    return p, y, w[w != 0]
