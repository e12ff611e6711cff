"""Efficiencies of flavours, flips of the charge and the jet charge, by hand."""

import numpy as np
import pytest

from hepjax import batch
from hepjax.jets import data as jets_data
from hepjax.jets.origin import data, generator, metrics

INDEX = {name: k for k, name in enumerate(generator.CLASSES)}
LABEL = [INDEX[k] for k in ("b", "b", "b", "b", "bbar", "c", "cbar", "g", "g", "d")]
FOUND = [INDEX[k] for k in ("b", "b", "bbar", "c", "bbar", "c", "c", "g", "d", "g")]


def test_the_matrix_by_hand():
    found = metrics.matrix(FOUND, LABEL)
    row = found.value[INDEX["b"]]
    assert (row[INDEX["b"]], row[INDEX["bbar"]], row[INDEX["c"]]) == (0.5, 0.25, 0.25)
    assert found.error[INDEX["b"], INDEX["b"]] == pytest.approx((0.5 * 0.5 / 4) ** 0.5)
    assert np.isnan(found.value[INDEX["s"]]).all()
    some = np.isfinite(found.value[:, 0])
    assert np.nansum(found.value, 1)[some] == pytest.approx(1)


def test_flavours_and_flips_by_hand():
    efficiency = metrics.flavour_efficiency(FOUND, LABEL)
    assert efficiency["b"].value == 4 / 5
    assert efficiency["b"].error == pytest.approx((0.8 * 0.2 / 5) ** 0.5)
    assert efficiency["c"].value == 1
    assert (efficiency["g"].value, efficiency["d"].value) == (0.5, 0)
    assert set(efficiency) == {"b", "c", "d", "g"}
    flip = metrics.charge_flip(FOUND, LABEL)
    assert flip["b"].value == 1 / 4  # of the three b and one bbar that are given the flavour b
    assert flip["b"].error == pytest.approx((0.25 * 0.75 / 4) ** 0.5)
    assert flip["c"].value == 1 / 2
    assert set(flip) == {"b", "c"}  # no d is found, and a gluon has no charge


def test_flips_do_not_know_which_one_is_called_quark():
    rng = np.random.default_rng(0)
    label, found = rng.integers(0, 11, (2, 5000))

    def swap(x):
        return np.where(x == 10, 10, x ^ 1)

    for function in (metrics.charge_flip, metrics.flavour_efficiency):
        one, other = function(found, label), function(swap(found), swap(label))
        assert one == other
    flips = metrics.charge_flip(found, label)
    wrong = metrics.charge_flip(swap(found), label)
    for name in generator.FLAVOURS:
        assert flips[name].value + wrong[name].value == pytest.approx(1)
        assert flips[name].value == pytest.approx(0.5, abs=5 * flips[name].error)


def test_weights_count_and_padding_does_not():
    weight = np.array([2.0, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    assert metrics.flavour_efficiency(FOUND, LABEL, weight)["b"].value == pytest.approx(5 / 6)
    assert metrics.charge_flip(FOUND, LABEL, weight)["b"].value == pytest.approx(1 / 5)
    padded = metrics.charge_flip([*FOUND, 77], [*LABEL, -1], [*np.ones(10), 0])
    assert padded == metrics.charge_flip(FOUND, LABEL)


def test_the_sign_of_a_known_flavour():
    logits = np.zeros((4, 11))
    logits[0, INDEX["bbar"]] = 1  # a b that looks like its antiquark, behind a much likelier c
    logits[0, INDEX["c"]] = 9
    logits[1, INDEX["ubar"]] = 2
    logits[2, INDEX["d"]] = 3
    label = [INDEX["b"], INDEX["ubar"], INDEX["g"], INDEX["s"]]
    expected = [INDEX["bbar"], INDEX["ubar"], INDEX["g"], INDEX["s"]]
    assert metrics.sign(logits, label).tolist() == expected
    flips = metrics.charge_flip(metrics.sign(logits, label), label)
    assert (flips["b"].value, flips["u"].value) == (1, 0)


def test_the_score_of_a_flavour_is_the_odds_of_both_classes():
    logits = np.log(np.arange(1.0, 12))[None] + 3
    p = np.arange(1.0, 12) / 66
    assert metrics.flavour(logits, "c")[0] == pytest.approx(np.log(7 / 66 / (59 / 66)))
    assert metrics.flavour(logits, "g")[0] == pytest.approx(np.log(p[10] / (1 - p[10])))
    with pytest.raises(ValueError, match="name: found 'bbar'"):
        metrics.flavour(logits, "bbar")


def two_particles(charge):
    """Jets of two particles along z with 3/4 and 1/4 of the momentum, and one that flies back."""
    n = len(charge)
    momentum = np.tile([3.5, 1.5, -1.0], n)
    zero = np.zeros(3 * n)
    p4 = np.stack([np.abs(momentum), zero, zero, momentum], -1)
    flat = np.asarray([(*c, 1) for c in charge], float).ravel()
    none = np.zeros((3 * n, 5))
    part = data.Constituents(p4, flat, none, none[:, :2], zero, zero, zero, zero)
    total = np.tile([6.0, 0, 0, 4.0], (n, 1))
    return jets_data.RaggedJets(
        batch.Ragged(part, np.arange(n + 1) * 3),
        total,
        np.zeros(n, np.int32),
        np.ones(n),
        np.arange(n),
        {},
        generator.CLASSES,
    )


def test_the_jet_charge_by_hand():
    jets = two_particles([(1, -1), (-1, -1), (0, 1)])
    found = metrics.jet_charge(jets, 0.5)
    a, b = (3.5 / 4) ** 0.5, (1.5 / 4) ** 0.5
    assert found == pytest.approx([a - b, -a - b, b])
    assert metrics.jet_charge(jets, 0.0) == pytest.approx([0, -2, 1])
    with pytest.raises(ValueError, match="kappa: found -1"):
        metrics.jet_charge(jets, -1)


def test_flips_of_the_jet_charge_by_hand():
    """A b quark has a negative charge; a jet charge of 0 is half a flip."""
    jets = two_particles([(1, -1), (-1, -1), (0, 1), (-1, 1)])
    kappas = dict.fromkeys(generator.FLAVOURS, 0.5)
    as_b = metrics.jet_charge_flip(jets, kappas)["b"]
    assert as_b == pytest.approx((0.5, (0.25 / 4) ** 0.5))
    as_u = jets._replace(label=np.full(4, INDEX["u"], np.int32))
    assert metrics.jet_charge_flip(as_u, kappas)["u"][0] == pytest.approx(0.5)
    as_ubar = jets._replace(label=np.array([7, 7, 6, 7], np.int32))
    assert metrics.jet_charge_flip(as_ubar, kappas)["u"][0] == pytest.approx(1 / 4)
    none = metrics.jet_charge_flip(jets, kappas | {"b": 0.0})["b"][0]
    assert none == pytest.approx((0.5 + 0 + 1 + 0.5) / 4)


def test_the_power_is_chosen_by_fewest_flips(jets):
    kappas = metrics.best_kappas(jets)
    assert set(kappas) == set(generator.FLAVOURS)
    flips = metrics.jet_charge_flip(jets, kappas)
    for kappa in metrics.KAPPAS:
        other = metrics.jet_charge_flip(jets, dict.fromkeys(kappas, kappa))
        assert all(flips[name][0] <= other[name][0] for name in kappas)
    assert np.mean([value for value, _ in flips.values()]) < 0.3  # the toys have charges


@pytest.mark.parametrize(
    ("predicted", "label", "message"),
    [([11], [0], "predicted: found 11"), ([0], [-1], "label: found -1"), ([0, 1], [0], "shape")],
)
def test_what_is_no_class(predicted, label, message):
    for function in (metrics.charge_flip, metrics.flavour_efficiency):
        with pytest.raises(ValueError, match=message):
            function(predicted, label)
