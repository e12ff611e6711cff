"""Records: padding keeps what is strongest, bad pulses are named, first pulses carry the number."""

import jax
import numpy as np
import pytest

from hepjax.neutrino import data


def flat(n=200, n_events=12, seed=0):
    """Columns of pulses in random order, and their events; no pulse is of the last event."""
    rng = np.random.default_rng(seed)
    module = rng.integers(0, 30, n)
    position = module[:, None] * np.array([1.0, 2.0, 3.0])
    columns = data.Pulses(position, rng.normal(0, 500, n), rng.integers(1, 4, n), module, None)
    return columns, rng.integers(0, n_events - 1, n)


@pytest.mark.smoke
def test_padding_keeps_the_strongest_in_order_of_time():
    columns, event = flat()
    pulses = data.check(data.pack(columns, event, n_events=12, length=8), 30)
    for k in range(12):
        mine = np.flatnonzero(event == k)
        order = np.lexsort((columns.time[mine], -columns.charge[mine]))
        expected = np.sort(columns.time[mine][order[:8]])
        assert pulses.mask[k].sum() == len(expected)
        np.testing.assert_array_equal(pulses.time[k][pulses.mask[k]], expected)
    assert not pulses.mask[11].any()
    assert (pulses.time[~pulses.mask] == 0).all()
    np.testing.assert_array_equal(pulses.position[..., 1], 2 * pulses.module)


def test_the_same_rule_for_padded_events_under_jit():
    columns, event = flat()
    wide = data.pack(columns, event, n_events=12, length=40)
    narrow = jax.jit(data.strongest, static_argnums=1)(wide, 8)
    expected = data.pack(columns, event, n_events=12, length=8)
    for found, wanted, name in zip(narrow, expected, data.Pulses._fields):
        kept = found[np.asarray(narrow.mask)]
        np.testing.assert_allclose(kept, wanted[expected.mask], rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(narrow.mask, expected.mask)


def test_the_order_of_columns_does_not_matter():
    columns, event = flat()
    order = np.random.default_rng(1).permutation(len(event))
    mixed = data.Pulses(*(x[order] for x in columns[:4]), None)
    for found, expected in zip(
        data.pack(mixed, event[order], n_events=12, length=8),
        data.pack(columns, event, n_events=12, length=8),
    ):
        np.testing.assert_array_equal(found, expected)


def test_the_first_pulse_of_a_module_has_the_charge_of_all():
    columns, event = flat()
    pulses = data.pack(columns, event, n_events=12, length=40)
    first = jax.jit(data.first_of_module)(pulses)
    for k in range(12):
        mine = event == k
        modules = np.unique(columns.module[mine])
        kept = np.asarray(first.mask[k])
        assert sorted(np.asarray(first.module[k])[kept]) == sorted(modules)
        for module, time, charge in zip(first.module[k], first.time[k], first.charge[k]):
            of = mine & (columns.module == module)
            if charge > 0:
                assert time == pytest.approx(columns.time[of].min(), rel=1e-6)
                assert charge == columns.charge[of].sum()
    assert first.charge.sum() == columns.charge.sum()


def test_buckets_hold_their_events():
    columns, event = flat()
    pulses = data.pack(columns, event, n_events=12, length=40)
    bucket = data.bucket(pulses.mask, (8, 16, 32, 64))
    assert (bucket >= pulses.mask.sum(-1)).all()
    assert bucket[-1] == 8


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("time", np.nan, r"time: 1 real pulses are not finite, the first in event 2, pulse 1"),
        ("position", np.inf, r"position: 1 real pulses are not finite"),
        ("charge", -1.0, r"charge: 1 are negative, the first in event 2, pulse 1"),
        ("module", 30, r"module: 30, the first in event 2, pulse 1, expected one of 30"),
        ("module", -1, r"module: -1, the first in event 2"),
    ],
)
def test_bad_pulses_are_named_where_they_are_real(name, value, message):
    columns, event = flat()
    pulses = data.pack(columns, event, n_events=12, length=8)
    getattr(pulses, name)[2, 1] = value
    with pytest.raises(ValueError, match=message):
        data.check(pulses, 30)
    pulses.mask[2, 1] = False
    data.check(pulses, 30)


def test_bad_shapes_and_events_are_named():
    columns, event = flat()
    with pytest.raises(ValueError, match=r"event: 0 to 10, expected \[0, 5\)"):
        data.pack(columns, event, n_events=5, length=8)
    with pytest.raises(ValueError, match="time: 199 pulses, expected 200"):
        data.pack(columns._replace(time=columns.time[1:]), event, n_events=12, length=8)
    pulses = data.pack(columns, event, n_events=12, length=8)
    with pytest.raises(ValueError, match=r"time: shape \(12, 7\), expected \(12, 8\)"):
        data.check(pulses._replace(time=pulses.time[:, 1:]))
    with pytest.raises(ValueError, match=r"mask: shape \(12,\), expected \[event, pulse\]"):
        data.check(pulses._replace(mask=pulses.mask[:, 0]))


def test_no_pulses_at_all():
    columns, _ = flat()
    none = data.Pulses(*(x[:0] for x in columns[:4]), None)
    pulses = data.check(data.pack(none, np.zeros(0, int), n_events=3, length=4))
    assert pulses.position.shape == (3, 4, 3)
    assert not pulses.mask.any()
