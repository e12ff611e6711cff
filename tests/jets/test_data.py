"""Jets as records: columns to features, splits by event, and the published scaling."""

import itertools

import jax
import numpy as np
import pytest

from hepjax import batch, lorentz
from hepjax.jets import batches, data


@pytest.fixture(scope="module")
def jets(toy_columns):
    return data.from_columns(toy_columns()[0])


def test_columns_become_jets(jets, toy_columns):
    table, label = toy_columns()
    total = np.add.reduceat(jets.particles.values.p4, jets.particles.offsets[:-1])
    np.testing.assert_allclose(jets.p4, total, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(np.array(jets.classes)[jets.label] == "Tbqq", label == 1)
    np.testing.assert_array_equal(jets.event, table.jets["event_number"])
    assert set(jets.observers) == set(table.jets)


def test_four_vectors_alone_give_the_same_kinematics(jets):
    padded = batches.padded(jets, np.arange(40), 32)
    alone = data.from_arrays(padded.particles.p4, padded.mask, label=jets.label)
    np.testing.assert_array_equal(alone.particles.offsets, jets.particles.offsets)
    for name in ("p4", "deta", "dphi"):
        np.testing.assert_allclose(
            getattr(alone.particles.values, name),
            getattr(jets.particles.values, name),
            rtol=1e-4,
            atol=1e-4,
        )


def test_displacement_is_physical_and_of_full_features_only(jets):
    padded = batches.padded(jets, np.array([3, -1, 5]), 32)
    found = np.asarray(jax.jit(data.inputs)(padded).displacement)
    part = padded.particles
    for k, name in enumerate(("d0", "d0_error", "dz", "dz_error")):
        np.testing.assert_array_equal(found[..., k], getattr(part, name))
    assert np.all(found[~padded.mask] == 0)
    kinematic = jax.eval_shape(lambda x: data.inputs(x, "kinematic"), padded)
    assert kinematic.displacement is None


def features_by_hand(jets, padded):
    """The published recipe, written out with numpy in float64 from the file's own columns."""
    part = padded.particles
    with np.errstate(divide="ignore", invalid="ignore"):
        p4, jet = np.asarray(part.p4, float), np.asarray(padded.p4, float)[:, None]
        pt, energy = np.hypot(p4[..., 1], p4[..., 2]), p4[..., 0]
        listed = [
            (np.log(pt) - 1.7) * 0.7,
            (np.log(energy) - 2.0) * 0.7,
            (np.log(pt / np.hypot(jet[..., 1], jet[..., 2])) + 4.7) * 0.7,
            (np.log(energy / jet[..., 0]) + 4.7) * 0.7,
            (np.hypot(part.deta, part.dphi) - 0.2) * 4,
            part.charge,
            *np.moveaxis(part.pid, -1, 0),
            np.tanh(part.d0),
            np.clip(part.d0_error, 0, 1),
            np.tanh(part.dz),
            np.clip(part.dz_error, 0, 1),
            part.deta,
            part.dphi,
        ]
    return np.where(padded.mask[..., None], np.clip(np.stack(listed, -1), -5, 5), 0)


@pytest.mark.smoke
def test_features_are_those_of_the_published_recipe(jets):
    padded = batches.padded(jets, np.array([3, -1, 0, 17]), 16)
    full, kinematic = data.inputs(padded), jax.jit(lambda j: data.inputs(j, "kinematic"))(padded)
    by_hand = features_by_hand(jets, padded)
    np.testing.assert_allclose(full.features, by_hand, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        kinematic.features, by_hand[..., [0, 1, 2, 3, 4, 15, 16]], rtol=1e-4, atol=1e-4
    )
    assert full.features.shape[-1] == data.N_FEATURES["full"]
    assert np.all(np.isfinite(full.features))
    assert not np.asarray(full.features)[1].any()


def test_gradients_by_padded_particles_are_finite(jets):
    padded = batches.padded(jets, np.array([3, -1]), 32)

    def f(p4):
        part = padded.particles._replace(p4=p4)
        return data.inputs(padded._replace(particles=part)).features.sum()

    slope = jax.grad(f)(padded.particles.p4)
    assert np.all(np.isfinite(slope))
    assert not np.asarray(slope)[1].any()


def test_split_keeps_events_together_and_loses_nothing(jets):
    parts = data.split(jets, (0.5, 0.25, 0.25), seed=3)
    events = [set(part.event) for part in parts]
    assert all(not a & b for a, b in itertools.combinations(events, 2))
    assert sum(len(part.label) for part in parts) == 40
    assert sum(len(part.particles.values.d0) for part in parts) == jets.particles.offsets[-1]
    assert [len(set(part.event)) for part in parts] == [10, 5, 5]
    again = data.split(jets, (0.5, 0.25, 0.25), seed=3)
    np.testing.assert_array_equal(parts[0].event, again[0].event)


def test_without_event_numbers_neighbours_stay_together(toy_columns):
    jets = data.from_columns(toy_columns(n=2500, events=False)[0])
    parts = data.split(jets, (0.34, 0.33, 0.33), seed=0)
    assert sorted(len(part.label) for part in parts) == [500, 1000, 1000]


def test_select_renumbers_classes(jets):
    tops = data.select(jets, ("Tbqq", "QCD"))
    assert tops.classes == ("Tbqq", "QCD")
    assert np.all((tops.label == 0) == (jets.label == data.CLASSES.index("Tbqq")))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda j: data.split(j, (0.5, 0.6), 0), "sum 1"),
        (lambda j: data.split(j, (0.999, 0.001), 0), "too few"),
        (lambda j: data.select(j, ("Tbqq", "Hbx")), "Hbx"),
        (lambda j: data.select(j, ("Tbqq", "Hbb")), "no jet of the classes"),
        (lambda j: data.inputs(batches.padded(j, np.array([0]), 16), "part"), "'full' or"),
        (lambda j: data.from_arrays(np.zeros((3, 4))), r"\[jet, particle, 4\]"),
        (lambda j: data.from_arrays(np.zeros((1, 3, 4))), "jet 0 has no particles"),
    ],
)
def test_bad_input(jets, call, message):
    with pytest.raises(ValueError, match=message):
        call(jets)


@pytest.mark.parametrize(
    ("classes", "message"), [(("QCD", "Hbb"), "exactly 1"), (("QCD", "bottom"), "no label_")]
)
def test_columns_of_other_classes(toy_columns, classes, message):
    with pytest.raises(ValueError, match=message):
        data.from_columns(toy_columns()[0], classes)


@pytest.mark.smoke
def test_top_landscape_features_have_the_published_scale(hepjax_data):
    """On real jets the scaled features are of order one, which is what the scaling is for."""
    vectors = np.load(hepjax_data / "jets" / "tl_pf_vectors.npy")[:200]
    p4 = vectors[:, [3, 0, 1, 2]].transpose(0, 2, 1)
    jets = data.from_arrays(p4)
    padded = batches.padded(jets, np.arange(200), 128)
    features = np.asarray(data.inputs(padded, "kinematic").features)[padded.mask]
    assert np.all(np.abs(features.mean(0)) < 1.0)
    assert np.all((features.std(0) > 0.1) & (features.std(0) < 2))
    assert np.median(lorentz.pt(jets.p4)) == pytest.approx(594, abs=5)


def test_taking_jets_takes_all_of_them(jets):
    some = data.take(jets, np.array([5, 2]))
    assert len(some.label) == 2
    np.testing.assert_array_equal(
        batch.lengths(some.particles), batch.lengths(jets.particles)[[5, 2]]
    )
    np.testing.assert_array_equal(some.observers["jet_pt"], jets.observers["jet_pt"][[5, 2]])


def test_features_have_the_precision_of_the_momenta(jets):
    padded = batches.padded(jets, np.arange(16), 32)
    narrow = data.inputs(padded)
    assert narrow.features.dtype == np.float32
    with jax.enable_x64(True):
        wide = data.inputs(
            jax.tree.map(lambda x: x.astype(float) if x.dtype == np.float32 else x, padded)
        )
        assert {x.dtype for x in wide[:3]} == {np.dtype(np.float64)}
    for a, b in zip(narrow[:3], wide[:3]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_samples_are_joined_with_events_apart(toy_columns):
    first, second = (data.from_columns(toy_columns(n=n)[0]) for n in (12, 7))
    both = data.join([first, second._replace(observers={})])
    assert both.label.tolist() == [*first.label, *second.label]
    assert not set(both.event[:12]) & set(both.event[12:])
    assert len(np.unique(both.event)) == len(np.unique(first.event)) + len(np.unique(second.event))
    assert both.observers == {}
    np.testing.assert_array_equal(
        data.take(both, np.arange(12, 19)).particles.values.p4, second.particles.values.p4
    )
    with pytest.raises(ValueError, match="classes"):
        data.join([first, second._replace(classes=("a",))])


def test_lost_particles_are_a_share_and_jets_stay(toy_columns):
    jets = data.from_columns(toy_columns(n=300, seed=5)[0])
    fewer = data.lose(jets, 0.3, seed=1)
    count, left = (batch.lengths(x.particles) for x in (jets, fewer))
    assert (left >= 1).all()
    share = 1 - (left - 1).sum() / (count - 1).sum()
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / count.sum()))
    assert len(fewer.particles.values.p4) == fewer.particles.offsets[-1]
    np.testing.assert_array_equal(fewer.p4, jets.p4)
    same = data.lose(jets, 0.0, seed=1)
    np.testing.assert_array_equal(same.particles.values.p4, jets.particles.values.p4)
    with pytest.raises(ValueError, match="share: found 1"):
        data.lose(jets, 1.0, seed=1)
