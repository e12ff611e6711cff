"""hepjax.io.root: the JetClass layout written and read back, and every way a file can be wrong."""

import contextlib
import warnings

import awkward as ak
import numpy as np
import pytest
import uproot

from hepjax.io import root, trees


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jets.root"


def without(columns, *names):
    keep = [{k: v for k, v in d.items() if k not in names} for d in (columns[0], columns[2])]
    return columns._replace(particles=keep[0], jets=keep[1])


def spoil(columns, name, index, value):
    """Write a wrong number into a copy of one branch."""
    columns = columns._replace(particles=dict(columns.particles), jets=dict(columns.jets))
    where = columns.particles if name in columns.particles else columns.jets
    where[name] = where[name].copy()
    where[name][index] = value
    return columns


def test_round_trip_is_exact(make, same, path):
    columns = make(60)
    root.write_jetclass(path, columns)
    found = root.read_jetclass(path)
    same(found, columns)
    assert found.skipped == ()
    assert found.jets["event_number"].dtype == np.int64
    assert [entry.name for entry in path.parent.iterdir()] == ["jets.root"]


def test_tables_longer_than_a_basket_round_trip(make, same, path, monkeypatch):
    monkeypatch.setattr(root, "BASKET", 7)
    columns = make(40)
    root.write_jetclass(path, columns)
    with uproot.open(path) as file:
        assert file["tree"]["part_px"].num_baskets == 6
    same(root.read_jetclass(path), columns)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "uint64", "float64"])
def test_dtypes_are_kept(make, path, dtype):
    columns = make(10)
    columns.particles["part_rank"] = np.arange(columns.offsets[-1]).astype(dtype)
    columns.jets["flag"] = (np.arange(10) % 2).astype(dtype)
    root.write_jetclass(path, columns)
    found = root.read_jetclass(path)
    assert found.particles["part_rank"].dtype == found.jets["flag"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found.particles["part_rank"], columns.particles["part_rank"])
    np.testing.assert_array_equal(found.jets["flag"], columns.jets["flag"])


def test_several_tables_and_files_are_one_sample(make, same, tmp_path):
    parts = [make(12, seed) for seed in range(3)]
    whole = root.concatenate(parts)
    root.write_jetclass(tmp_path / "whole.root", iter(parts))
    same(root.read_jetclass(tmp_path / "whole.root"), whole)
    folder = tmp_path / "parts"
    for index, part in enumerate(parts):
        root.write_jetclass(folder / f"{index}.root", part)
    same(root.read_jetclass(folder), whole)
    same(root.read_jetclass(str(folder / "*.root")), whole)
    same(root.read_jetclass([folder / "2.root", folder / "0.root"]), root.concatenate(parts[::-2]))


def test_scores_are_written_beside_all_observers(make, same, path):
    columns = make()
    scores = {"score_top": np.linspace(0, 1, 40, dtype=np.float32)}
    root.write_jetclass(path, columns, extra=scores)
    same(root.read_jetclass(path), columns._replace(jets={**columns.jets, **scores}))
    with pytest.raises(ValueError, match="jet_pt"):
        root.write_jetclass(path, columns, extra={"jet_pt": scores["score_top"]})
    with pytest.raises(ValueError, match="branch score_top"):
        root.write_jetclass(path, columns, extra={"score_top": np.ones(3)})
    with pytest.raises(ValueError, match="several tables"):
        root.write_jetclass(path, [columns], extra=scores)


def test_a_failed_write_leaves_the_old_file(make, same, path):
    columns = make()
    root.write_jetclass(path, columns)
    bad = spoil(columns, "jet_pt", 0, 1.0)
    bad.jets["phase"] = np.ones(40, np.complex64)
    narrow = without(make(5), "jet_tau1")
    for tables in (bad, [columns, narrow], [], root.take(columns, np.arange(0))):
        with pytest.raises(ValueError, match="columns"):
            root.write_jetclass(path, tables)
    foreign = columns._replace(particles={**columns.particles, "pt": columns.particles["part_px"]})
    with pytest.raises(ValueError, match=r"\['pt'\]"):
        root.write_jetclass(path, foreign)
    same(root.read_jetclass(path), columns)
    assert [entry.name for entry in path.parent.iterdir()] == ["jets.root"]


def test_only_the_branches_asked_for_are_read(make, path):
    root.write_jetclass(path, make())
    found = root.read_jetclass(path, features="kinematic", branches=["jet_tau*"])
    assert set(found.particles) == {*root.KINEMATICS, *root.ANGLES}
    labels = {"label_QCD", "label_Hbb", "label_Tbqq"}
    assert set(found.jets) == {*root.JET, "jet_tau1", "jet_tau2", *labels}
    found = root.read_jetclass(path, features="kinematic", branches=["part_charge"], labels=False)
    assert set(found.particles) == {*root.KINEMATICS, *root.ANGLES, "part_charge"}
    assert set(found.jets) == set(root.JET)
    with pytest.raises(ValueError, match=r"jets\.root: branch jet_sdmass missing"):
        root.read_jetclass(path, branches=["jet_sdmass"])
    with pytest.raises(ValueError, match="features"):
        root.read_jetclass(path, features="all")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", [*root.KINEMATICS, *root.IDENTITY, *root.TRACK, *root.JET, "label_*"]
)
def test_a_missing_branch_is_named(make, path, name):
    dropped = ("label_QCD", "label_Hbb", "label_Tbqq") if name == "label_*" else (name,)
    root.write_jetclass(path, without(make(), *dropped))
    with pytest.raises(ValueError, match=rf"jets\.root: branch {name.replace('*', '.')} missing"):
        root.read_jetclass(path)


def test_optional_branches_may_be_missing(make, same, path):
    columns = without(make(), "jet_tau1", "jet_nparticles", "event_number", "aux_pid")
    root.write_jetclass(path, columns)
    same(root.read_jetclass(path), columns)
    unlabelled = without(columns, "label_QCD", "label_Hbb", "label_Tbqq")
    root.write_jetclass(path, unlabelled)
    same(root.read_jetclass(path, labels=False), unlabelled)


@pytest.mark.parametrize("dropped", [("part_deta", "part_dphi"), ("part_dphi",)])
def test_missing_angles_come_from_the_momenta(make, path, dropped):
    columns = make(200)
    root.write_jetclass(path, without(columns, *dropped))
    found = root.read_jetclass(path)
    for name in root.ANGLES:
        assert found.particles[name].dtype == np.float32
        np.testing.assert_allclose(
            found.particles[name], columns.particles[name], atol=2e-6, err_msg=name
        )


CASES = {
    "nan": ("part_d0val", 20, np.nan, "branch part_d0val, entry 2, particle 0: nan"),
    "inf": ("part_pz", 20, np.inf, "branch part_pz, entry 2, particle 0: inf"),
    "jet": ("jet_energy", 3, np.nan, "branch jet_energy, entry 3: nan"),
    "energy": ("part_energy", 20, 0.0, "branch part_energy, entry 2, particle 0: 0.0"),
    "no label": ("label_QCD", slice(None), 0.0, r"branch label_\*, entry \d+: sum 0"),
    "two labels": ("label_QCD", slice(None), 1.0, r"branch label_\*, entry \d+: sum 2"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_numbers_are_named_with_file_branch_and_entry(make, path, case):
    columns = make()
    columns = columns._replace(offsets=np.array([0, 10, 20, *columns.offsets[3:]]))
    assert columns.offsets[3] > 20
    name, index, value, message = CASES[case]
    root.write_jetclass(path, spoil(columns, name, index, value))
    with pytest.raises(ValueError, match=rf"jets\.root: {message}.*expected"):
        root.read_jetclass(path)


def write_raw(path, columns, lengths, **other_lengths):
    """Write with uproot alone, so that what write_jetclass refuses can be in a file."""
    flat = {
        name: ak.unflatten(values, other_lengths.get(name, lengths))
        for name, values in columns.particles.items()
    }
    with uproot.recreate(path) as file:
        kinds = {name: values.type for name, values in flat.items()}
        table = file.mktree("tree", kinds | dict.fromkeys(columns.jets, "f8"))
        table.extend({**flat, **columns.jets})


def test_an_empty_jet_is_named(make, path):
    columns = make(10)
    lengths = np.diff(columns.offsets)
    lengths[3], lengths[4] = 0, lengths[3] + lengths[4]
    write_raw(path, columns, lengths)
    with pytest.raises(ValueError, match=r"jets\.root: branch part_.*, entry 3: 0 particles"):
        root.read_jetclass(path)


def test_branches_of_unequal_length_are_named(make, path):
    columns = make(10)
    lengths = np.diff(columns.offsets)
    other = lengths.copy()
    other[4:6] += [1, -1]
    write_raw(path, columns, lengths, part_charge=other)
    message = rf"branch part_charge, entry 4: {other[4]} particles, expected {lengths[4]}"
    with pytest.raises(ValueError, match=message):
        root.read_jetclass(path)


def test_numbers_in_place_of_lists_are_named(make, path):
    columns = make(10)
    jets = {**columns.jets, "part_charge": np.ones(10)}
    write_raw(path, without(columns, "part_charge")._replace(jets=jets), np.diff(columns.offsets))
    with pytest.raises(ValueError, match="branch part_charge: one number a jet"):
        root.read_jetclass(path)


def test_bad_files_of_a_list_are_skipped_counted_and_reported(make, same, tmp_path):
    good = [make(8, seed) for seed in range(2)]
    names = ["0.root", "1.root", "cut.root", "missing.root", "nan.root", "branch.root"]
    files = [tmp_path / name for name in names]
    for file, part in zip(files, good):
        root.write_jetclass(file, part)
    files[2].write_bytes(files[0].read_bytes()[:4000])
    root.write_jetclass(files[4], spoil(good[0], "part_px", 0, np.nan))
    root.write_jetclass(files[5], without(good[0], "part_d0val"))
    with pytest.warns(RuntimeWarning, match="4 of 6 files skipped"):
        found = root.read_jetclass(files, skip_bad=True)
    same(found, root.concatenate(good))
    assert [item.path for item in found.skipped] == [str(file) for file in files[2:]]
    reasons = [
        "cut.root: cut off: 4000 bytes",
        "no such file",
        "part_px, entry 0",
        "part_d0val missing",
    ]
    for item, reason in zip(found.skipped, reasons):
        assert reason in item.reason
    for file in files[2:]:
        with pytest.raises(ValueError, match=file.name):
            root.read_jetclass([files[0], file])
    with pytest.raises(ValueError, match="4 of 4 files skipped"):
        root.read_jetclass(files[2:], skip_bad=True)


def test_files_with_other_observers_need_a_choice(make, tmp_path):
    files = [tmp_path / name for name in ("a.root", "b.root")]
    root.write_jetclass(files[0], make(8))
    root.write_jetclass(files[1], without(make(8), "event_number"))
    with pytest.raises(ValueError, match=r"b\.root: branches \['event_number'\] missing"):
        root.read_jetclass(files)
    found = root.read_jetclass(files, branches=["jet_tau1"])
    assert len(found.jets["jet_tau1"]) == 16


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_a_file_cut_off_anywhere_is_a_value_error(make, path, share):
    root.write_jetclass(path, make())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(trees.BadFile, match=r"jets\.root: "):
        root.read_jetclass(path)


def test_flipped_bits_end_in_a_value_error_or_in_a_table(make, path):
    """A flip in a number stored as it is cannot be seen; nothing may crash, hang or raise else."""
    root.write_jetclass(path, make())
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    n_errors = 0
    for start in np.repeat([0, len(content) - 9000], 20):
        place = rng.integers(start, len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings(), contextlib.suppress(trees.BadFile):
            warnings.simplefilter("ignore")
            n_errors += 1
            root.validate(root.read_jetclass(path))
            n_errors -= 1
    assert n_errors > 5
