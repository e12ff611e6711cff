"""hepjax.io.table: selection and joining of jets, and the checks of every number."""

import numpy as np
import pytest

from hepjax.io import table, trees


def per_jet(columns: table.Columns, name: str) -> list[list[float]]:
    return [part.tolist() for part in np.split(columns.particles[name], columns.offsets[1:-1])]


@pytest.mark.parametrize("rows", [[3, 3, 0], [], list(range(39, -1, -1))])
def test_take_picks_whole_jets_in_the_order_asked_for(make, rows):
    columns = make()
    taken = table.take(columns, np.array(rows, int))
    assert table.n_jets(taken) == len(rows)
    assert list(taken.particles) == list(columns.particles)
    if rows:
        for name in columns.particles:
            everything = per_jet(columns, name)
            assert per_jet(taken, name) == [everything[row] for row in rows]
    for name, values in columns.jets.items():
        np.testing.assert_array_equal(taken.jets[name], values[np.array(rows, int)])


def test_take_by_mask_is_take_by_its_indices(make, same):
    columns = make()
    mask = columns.jets["label_Tbqq"] == 1
    same(table.take(columns, mask), table.take(columns, np.flatnonzero(mask)))


@pytest.mark.parametrize("rows", [np.array([40]), np.array([-1]), np.ones(39, bool)])
def test_take_of_jets_that_are_not_there(make, rows):
    with pytest.raises(ValueError, match="rows"):
        table.take(make(), rows)


def test_concatenate_undoes_a_cut(make, same):
    columns = make()
    parts = [table.take(columns, np.arange(a, b)) for a, b in ((0, 7), (7, 8), (8, 40))]
    same(table.concatenate(parts), columns)
    same(table.concatenate([columns]), columns)


def test_concatenate_keeps_the_list_of_skipped_files(make):
    skipped = (trees.Skipped("a.root", "no such file"),)
    parts = [make(3)._replace(skipped=skipped), make(2)]
    assert table.concatenate(parts).skipped == skipped


def test_concatenate_names_the_branch_that_only_one_table_has(make):
    columns = make()
    jets = {name: values for name, values in columns.jets.items() if name != "jet_tau2"}
    with pytest.raises(ValueError, match=r"table 1: branches \['jet_tau2'\] missing"):
        table.concatenate([columns, columns._replace(jets=jets)])
    with pytest.raises(ValueError, match="empty list"):
        table.concatenate([])


def test_validate_accepts_good_jets(make):
    table.validate(make())


def spoiled(columns: table.Columns, name: str, index: int, value: float) -> table.Columns:
    where = columns.particles if name in columns.particles else columns.jets
    values = where[name].copy()
    values[index] = value
    changed = {**where, name: values}
    if where is columns.jets:
        return columns._replace(jets=changed)
    return columns._replace(particles=changed)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["part_px", "part_d0err", "part_isMuon", "jet_pt", "jet_tau1"])
def test_validate_names_branch_entry_and_value_of_a_number_that_is_none(make, name, value):
    columns = make()
    jet = 12
    index = columns.offsets[jet] + 2 if name.startswith("part") else jet
    assert np.diff(columns.offsets)[jet] > 2
    message = rf"some\.root: branch {name}, entry 112.*{value}, expected a finite number \(1 such"
    with pytest.raises(ValueError, match=message):
        table.validate(spoiled(columns, name, index, value), source="some.root", first_entry=100)


def test_validate_leaves_observers_alone(make):
    columns = make()
    columns.jets["aux_mass"] = np.full(40, np.nan)
    table.validate(columns)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("part_energy", 0.0, "entry 0, particle 0: 0.0, expected more than 0"),
        ("part_energy", -3.0, "expected more than 0"),
        ("label_Hbb", 2.0, "entry 0: sum"),
        ("label_Hbb", 0.5, "expected one label equal to 1"),
    ],
)
def test_validate_rejects_what_cannot_be_right(make, name, value, message):
    with pytest.raises(ValueError, match=message):
        table.validate(spoiled(make(), name, 0, value))


def test_validate_rejects_a_particle_along_the_beam(make):
    columns = spoiled(spoiled(make(), "part_px", 5, 0.0), "part_py", 5, 0.0)
    with pytest.raises(ValueError, match="px or py different from 0"):
        table.validate(columns)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_validate_counts_labels_that_do_not_sum_to_one(make, value):
    columns = make()
    for name in ("label_QCD", "label_Hbb", "label_Tbqq"):
        columns = spoiled(columns, name, 9, value)
    with pytest.raises(ValueError, match=rf"label_\*, entry 9: sum {3 * value:g} of.*\(1 such"):
        table.validate(columns)
    table.validate(columns, labels=False)


def test_validate_finds_an_empty_jet(make):
    columns = make()
    offsets = np.insert(columns.offsets, 6, columns.offsets[5])
    jets = {name: np.insert(values, 5, values[5]) for name, values in columns.jets.items()}
    with pytest.raises(ValueError, match="entry 5: 0 particles, expected at least 1"):
        table.validate(table.Columns(columns.particles, offsets, jets))


def test_validate_finds_arrays_of_other_lengths(make):
    columns = make()
    short = {**columns.particles, "part_charge": columns.particles["part_charge"][:-1]}
    with pytest.raises(ValueError, match="branch part_charge"):
        table.validate(columns._replace(particles=short))
    with pytest.raises(ValueError, match="branch jet_mass"):
        table.validate(columns._replace(jets={**columns.jets, "jet_mass": np.ones(3)}))
    with pytest.raises(ValueError, match="offsets"):
        table.validate(columns._replace(offsets=columns.offsets + 1))
