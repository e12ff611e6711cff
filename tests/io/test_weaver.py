"""Cards and what they read: a JetClass-like card gives the features of our own reader."""

import jax
import numpy as np
import pytest
import toy

from hepjax import batch
from hepjax.io import cards, root, trees, weaver
from hepjax.jets import batches, data

JETCLASS = """
selection: (jet_pt > {least})
new_variables:
   part_mask: ak.ones_like(part_energy)
   part_pt: np.hypot(part_px, part_py)
   part_pt_log: np.log(part_pt)
   part_e_log: np.log(part_energy)
   part_logptrel: np.log(part_pt/jet_pt)
   part_logerel: np.log(part_energy/jet_energy)
   part_deltaR: np.hypot(part_deta, part_dphi)
   part_d0: np.tanh(part_d0val)
   part_dz: np.tanh(part_dzval)
inputs:
   pf_features:
      length: 24
      pad_mode: wrap
      vars:
         - [part_pt_log, 1.7, 0.7]
         - [part_e_log, 2.0, 0.7]
         - [part_logptrel, -4.7, 0.7]
         - [part_logerel, -4.7, 0.7]
         - [part_deltaR, 0.2, 4.0]
         - [part_charge, null]
         - part_isChargedHadron
         - [part_isNeutralHadron, null]
         - [part_isPhoton, null]
         - [part_isElectron, null]
         - [part_isMuon, null]
         - [part_d0, null]
         - [part_d0err, 0, 1, 0, 1]
         - [part_dz, null]
         - [part_dzerr, 0, 1, 0, 1]
         - [part_deta, null]
         - [part_dphi, null]
   pf_mask:
      length: 24
      pad_mode: constant
      vars: [[part_mask, null]]
labels:
   type: simple
   value: [label_QCD, label_Tbqq]
observers: [jet_pt, jet_sdmass]
weights:
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("jets") / "toy.root"
    columns = toy.jets(n=60)[0]
    columns.particles["part_charge"] = np.clip(columns.particles["part_charge"], -4, 4)
    root.write_jetclass(found, columns)
    return found


@pytest.fixture(scope="module")
def card():
    return weaver.parse(JETCLASS.format(least=0))


def test_a_card_of_jetclass_gives_the_features_of_our_reader(path, card):
    sample = weaver.read(card, path)
    jets = data.select(data.from_columns(root.read_jetclass(path)), ("QCD", "Tbqq"))
    rows = np.arange(60)
    ours = data.inputs(batches.padded(jets, rows, 24))
    theirs, mask = weaver.pad(card.inputs[0], sample.inputs["pf_features"], rows)
    np.testing.assert_array_equal(mask, ours.mask)
    np.testing.assert_allclose(theirs[mask], ours.features[mask], rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(sample.labels["label"], jets.label)
    np.testing.assert_array_equal(sample.observers["jet_pt"], jets.observers["jet_pt"])
    ones, _ = weaver.pad(card.inputs[1], sample.inputs["pf_mask"], rows)
    np.testing.assert_array_equal(ones[..., 0], mask)
    assert (sample.weight == 1).all()


def test_wrapping_repeats_the_items_of_the_jet(path, card):
    sample = weaver.read(card, path)
    filled, mask = weaver.pad(card.inputs[0], sample.inputs["pf_features"], np.array([0, -1, 3]))
    n = int(mask[0].sum())
    assert n < 24
    for k in range(n, 24):
        np.testing.assert_array_equal(filled[0, k], filled[0, k % n])
    assert not mask[1].any()


def test_the_selection_applies_to_all_that_is_read(path):
    columns = root.read_jetclass(path)
    least = float(np.median(columns.jets["jet_pt"]))
    card = weaver.parse(JETCLASS.format(least=least))
    sample = weaver.read(card, path)
    kept = columns.jets["jet_pt"] > least
    np.testing.assert_array_equal(sample.observers["jet_pt"], columns.jets["jet_pt"][kept])
    count = np.diff(columns.offsets)[kept]
    np.testing.assert_array_equal(batch.lengths(sample.inputs["pf_features"]), count)


def test_files_are_joined(path, card, tmp_path):
    root.write_jetclass(tmp_path / "more.root", toy.jets(n=10, seed=5)[0])
    both = weaver.read(card, [path, tmp_path / "more.root"])
    one = weaver.read(card, path)
    assert len(both.labels["label"]) == 70
    for a, b in zip(jax.tree.leaves(both.inputs), jax.tree.leaves(one.inputs)):
        np.testing.assert_array_equal(a[: len(b)], b)


def test_automatic_scaling_is_by_quantiles(path):
    text = JETCLASS.format(least=0).replace("[part_pt_log, 1.7, 0.7]", "part_pt_log")
    card = weaver.parse("preprocess: {method: auto}\n" + text)
    with pytest.raises(ValueError, match=r"part_pt_log.* is automatic"):
        weaver.read(card, path)
    done = weaver.auto(card, path)
    sample = weaver.read(done, path)
    x = sample.inputs["pf_features"].values[:, 0]
    assert np.median(x) == pytest.approx(0, abs=1e-3)
    low, high = np.percentile(x, (16, 84))
    assert max(-low, high) == pytest.approx(1, rel=1e-3)
    assert done.inputs[0].variables[1].subtract == 2.0


def test_weights_by_branches_and_by_histograms(path):
    text = JETCLASS.format(least=0).replace("weights:\n", "")
    precomputed = "weights: {use_precomputed_weights: true, weight_branches: [jet_tau1, jet_tau2]}"
    jets = root.read_jetclass(path).jets
    sample = weaver.read(weaver.parse(text + precomputed), path)
    np.testing.assert_allclose(sample.weight, jets["jet_tau1"] * jets["jet_tau2"], rtol=1e-6)
    edges = np.quantile(jets["jet_pt"], [0, 0.5, 1]).tolist()
    histograms = (
        f"weights: {{reweight_method: ref, reweight_vars: {{jet_pt: {edges}, jet_eta: [-3, 0, 3]}},"
        " reweight_classes: [label_QCD, label_Tbqq], class_weights: [1, 1], reweight_threshold: 0}"
    )
    sample = weaver.read(weaver.parse(text + histograms), path)
    inside = (jets["jet_pt"] >= edges[0]) & (jets["jet_pt"] <= edges[-1])
    tops = jets["label_Tbqq"] == 1
    high = jets["jet_pt"] > edges[1]
    left = jets["jet_eta"] < 0
    for a in (high, ~high):
        for b in (left, ~left):
            sums = [sample.weight[a & b & c].sum() for c in (tops, ~tops)]
            if min((a & b & c & inside).sum() for c in (tops, ~tops)):
                assert sums[0] / sample.weight[tops].sum() == pytest.approx(
                    sums[1] / sample.weight[~tops].sum(), rel=0.2
                )
    assert sample.balance.effective.sum() <= sample.balance.n.sum()


def test_custom_labels_are_expressions(path):
    text = JETCLASS.format(least=0)
    text = text.replace("type: simple", "type: custom")
    text = text.replace("value: [label_QCD, label_Tbqq]", "value: {mass: jet_sdmass / 2}")
    sample = weaver.read(weaver.parse(text), path)
    np.testing.assert_allclose(
        sample.labels["mass"], root.read_jetclass(path).jets["jet_sdmass"] / 2, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("part_pt: np.hypot", "part_pt: np.save", "np.save is not allowed"),
        ("part_pt: np.hypot", "part_pt: os.system", "no new variable 'os'"),
        ("[part_dphi, null]", "[part_mass, null]", "no branch and no new variable 'part_mass'"),
        ("part_pt: np.hypot(part_px, part_py)", "part_pt: np.exp(part_pt_log)", "circle"),
        ("- [part_deta, null]", "- [jet_pt, null]", "jet_pt has other lengths"),
        ("label_QCD, label_Tbqq", "label_QCD, label_Hbb", "labels"),
    ],
)
def test_a_card_that_does_not_fit_the_file(path, old, new, message):
    text = JETCLASS.format(least=0)
    assert old in text
    with pytest.raises(ValueError, match=message):
        weaver.read(weaver.parse(text.replace(old, new, 1)), path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected sections"),
        ("a: [", "no YAML"),
        ("network: {}", "network"),
        ("inputs: {}", "inputs and labels are needed"),
        ("inputs: {a: {length: 3}}\nlabels: {type: simple, value: [b]}", "inputs: a"),
        (
            "inputs: {a_mask: {length: 3, pad_mode: wrap, vars: [x]}}\nlabels: {value: 1}",
            "pad_mode of a mask",
        ),
        ("inputs: {a: {length: 3, pad_mode: none, vars: [x]}}\nlabels: {value: 1}", "'none'"),
        ("inputs: {a: {length: 3, vars: [[1]]}}\nlabels: {value: 1}", "expected a name"),
        ("inputs: {a: {length: 3, vars: [x]}}\nlabels: {type: two, value: [b]}", "type 'two'"),
        (
            "inputs: {a: {length: 3, vars: [x]}}\nlabels: {type: simple, value: [b]}\n"
            "weights: {reweight_method: flat}",
            "reweight_vars",
        ),
        (
            "inputs: {a: {length: 3, vars: [x]}}\nlabels: {type: simple, value: [b]}\n"
            "weights: {reweight_method: other}",
            "expected flat or ref",
        ),
    ],
)
def test_a_card_that_is_none(text, message):
    with pytest.raises(ValueError, match=message):
        weaver.parse(text)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "card.yaml").write_text("network: {}")
    with pytest.raises(ValueError, match=r"card.yaml: sections \['network'\]"):
        cards.load(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match=r"none.yaml"):
        cards.load(tmp_path / "none.yaml")
    with pytest.raises(trees.BadFile, match=r"none.root"):
        weaver.read(weaver.parse(JETCLASS.format(least=0)), tmp_path / "none.root")


def test_scalings_that_weaver_wrote_are_read():
    text = (
        "preprocess: {method: auto, params: {x: {length: 3, pad_mode: constant, center: 2.0, "
        "scale: 0.5, min: -5, max: 5, pad_value: 1}}}\n"
        "inputs: {a: {length: 3, vars: [x]}}\nlabels: {type: simple, value: [b]}"
    )
    variable = weaver.parse(text).inputs[0].variables[0]
    assert variable == cards.Variable("x", 2.0, 0.5, -5.0, 5.0, 1.0)


def histogram_weights(x, label, edges, method, percentile):
    """What weaver-core documents, bin by bin: each class flat, or like the first one; capped."""
    found = []
    counts = [np.histogram2d(*x[label == k].T, bins=edges)[0] for k in (0, 1)]
    for k in (0, 1):
        if method == "flat":
            positive = counts[k][counts[k] > 0]
            common = counts[k][counts[k] > 0.01 * np.median(positive)]
            target = np.percentile(common, percentile)
            one = np.zeros_like(counts[k])
            for at in np.ndindex(*one.shape):
                if counts[k][at] > 0:
                    one[at] = min(1.0, target / counts[k][at])
        else:
            ratio = np.zeros_like(counts[k])
            for at in np.ndindex(*ratio.shape):
                if counts[k][at] > 0:
                    ratio[at] = counts[0][at] / counts[k][at]
            one = np.minimum(1, ratio / np.percentile(ratio[ratio > 0], 100 - percentile))
        found.append(one / (one * counts[k]).sum())
    return found


@pytest.mark.parametrize("method", ["flat", "ref"])
@pytest.mark.parametrize("percentile", [0, 10, 40])
def test_histogram_weights_are_those_of_the_definition(tmp_path, method, percentile):
    columns = toy.jets(n=800, seed=7)[0]
    root.write_jetclass(tmp_path / "toy.root", columns)
    jets = columns.jets
    pt_edges = np.quantile(jets["jet_pt"], [0, 0.3, 0.6, 1]).round(2).tolist()
    text = JETCLASS.format(least=0).replace("weights:\n", "") + (
        f"weights: {{reweight_method: {method}, reweight_threshold: {percentile},"
        f" reweight_vars: {{jet_pt: {pt_edges}, jet_eta: [-2.5, -1, 1, 2.5]}},"
        " reweight_classes: [label_QCD, label_Tbqq]}"
    )
    sample = weaver.read(weaver.parse(text), tmp_path / "toy.root")
    x = np.stack([jets["jet_pt"], jets["jet_eta"]], -1)
    label = (jets["label_Tbqq"] == 1).astype(int)
    edges = [np.array(pt_edges), np.array([-2.5, -1, 1, 2.5])]
    expected = histogram_weights(x, label, edges, method, percentile)
    inside = (x[:, 0] >= pt_edges[0]) & (x[:, 0] <= pt_edges[-1]) & (np.abs(x[:, 1]) <= 2.5)
    place = [np.clip(np.searchsorted(e, v, side="right") - 1, 0, 2) for e, v in zip(edges, x.T)]
    factors = np.stack(expected)[label, place[0], place[1]]
    ratio = sample.weight[inside & (factors > 0)] / factors[inside & (factors > 0)]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    assert (sample.weight[~inside] == 0).all()
    found = sample.balance
    total = np.bincount(label, sample.weight.astype(float))
    assert total[0] == pytest.approx(total[1], rel=1e-5)
    assert (found.effective <= found.n + 1e-6).all()
