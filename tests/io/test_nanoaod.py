"""hepjax.io.nanoaod: jets of CMS with their candidates, against awkward on the same file."""

import awkward as ak
import numpy as np
import pytest
import uproot

from hepjax import lorentz
from hepjax.io import nanoaod, root


@pytest.fixture(scope="module")
def pfnano(hepjax_data):
    return hepjax_data / "root" / "pfnano.root"


@pytest.fixture(scope="module")
def fat(pfnano):
    return nanoaod.read_nanoaod(pfnano)


@pytest.fixture(scope="module")
def thin(pfnano):
    return nanoaod.read_nanoaod(pfnano, collection="Jet")


def constituents(columns):
    names = ("part_energy", "part_px", "part_py", "part_pz")
    return np.stack([columns.particles[name] for name in names], -1).astype(np.float64)


def test_all_jets_and_links_of_the_file_are_there(fat, thin):
    assert root.n_jets(fat) == 24
    assert root.n_jets(thin) == 64
    assert fat.offsets[-1] == 1076
    assert thin.offsets[-1] == 1801
    assert len(np.unique(fat.jets["event_number"])) == 10
    np.testing.assert_array_equal(fat.jets["jet_nparticles"], np.diff(fat.offsets))
    assert not any(name.startswith("label_") for name in fat.jets)


@pytest.mark.parametrize("name", ["fat", "thin"])
def test_constituents_sum_up_to_the_jet_before_calibration(name, request):
    columns = request.getfixturevalue(name)
    total = np.add.reduceat(constituents(columns), columns.offsets[:-1])
    raw = columns.jets["jet_pt"] * (1 - columns.jets["jet_rawFactor"])
    np.testing.assert_allclose(lorentz.pt(total), raw, rtol=4e-3)
    np.testing.assert_allclose(lorentz.eta(total), columns.jets["jet_eta"], atol=4e-3)


def test_a_jet_has_the_candidates_that_awkward_finds(pfnano, thin):
    with uproot.open(pfnano) as file:
        tree = file["Events"]
        index, jet = (tree[f"JetPFCands_{name}"].array() for name in ("pFCandsIdx", "jetIdx"))
        pt, d0, charge = (tree[f"PFCands_{name}"].array() for name in ("pt", "d0", "charge"))
        n_jets = ak.num(tree["Jet_pt"].array()).to_list()
    event, number = 3, 1
    row = sum(n_jets[:event]) + number
    chosen = index[event][jet[event] == number]
    order = np.argsort(-pt[event][chosen].to_numpy(), kind="stable")
    part = slice(*thin.offsets[row : row + 2])
    found = {name: values[part] for name, values in thin.particles.items()}
    expected_pt = pt[event][chosen].to_numpy()[order]
    np.testing.assert_allclose(np.hypot(found["part_px"], found["part_py"]), expected_pt, rtol=1e-6)
    np.testing.assert_array_equal(found["part_charge"], charge[event][chosen].to_numpy()[order])
    tracked = found["part_d0err"] > 0
    assert tracked.any()
    centimetres = d0[event][chosen].to_numpy()[order]
    np.testing.assert_allclose(found["part_d0val"][tracked], 10 * centimetres[tracked], rtol=1e-6)


@pytest.mark.parametrize("name", ["fat", "thin"])
def test_columns_are_jetclass(name, request, tmp_path, same):
    columns = request.getfixturevalue(name)
    part = columns.particles
    assert {*root.KINEMATICS, *root.ANGLES, *root.IDENTITY, *root.TRACK} == set(part)
    flags = np.stack([part[name] for name in root.IDENTITY[1:]], -1)
    np.testing.assert_array_equal(flags.sum(-1), 1)
    charged = part["part_charge"] != 0
    kinds = ("ChargedHadron", "Electron", "Muon")
    np.testing.assert_array_equal(sum(part[f"part_is{k}"] for k in kinds) == 1, charged)
    for track in root.TRACK:
        assert not part[track][~charged].any()
    assert np.abs(part["part_deta"]).max() < 0.9
    assert columns.jets["event_number"].dtype == np.int64
    pt = np.hypot(part["part_px"], part["part_py"])
    falls = np.diff(pt) <= 1e-5 * pt[1:]
    falls[columns.offsets[1:-1] - 1] = True
    assert falls.all()
    root.write_jetclass(tmp_path / "jets.root", columns)
    same(root.read_jetclass(tmp_path / "jets.root", labels=False), columns)


def test_tracks_that_are_not_stored_are_zero_and_counted(thin):
    part = thin.particles
    without = (part["part_charge"] != 0) & (part["part_d0err"] == 0)
    assert without.sum() == thin.jets["jet_nwithouttrack"].sum() == 129
    assert not part["part_d0val"][without].any()
    assert np.hypot(part["part_px"], part["part_py"])[without].max() < 1
    assert part["part_d0err"].min() == 0
    assert 0.005 < np.median(np.abs(part["part_d0val"][part["part_d0err"] > 0])) < 0.1  # mm


def test_pt_min_and_observers(tmp_path):
    pt, n_constituents = [[300.0, 50.0], [400.0]], [[1, 1], [2]]
    path = small(tmp_path / "small.root", FatJet_pt=pt, FatJet_nConstituents=n_constituents)
    hard = nanoaod.read_nanoaod(path, puppi=False, pt_min=100, observers=["nConstituents"])
    assert hard.jets["jet_pt"].tolist() == [300, 400]
    assert hard.jets["jet_nConstituents"].tolist() == np.diff(hard.offsets).tolist() == [1, 2]
    lost = {"FatJetPFCands_jetIdx": [[0, 0], [0, 0]], "FatJet_pt": pt}
    without = small(tmp_path / "without.root", **lost)
    assert root.n_jets(nanoaod.read_nanoaod(without, pt_min=100)) == 2
    with pytest.raises(ValueError, match="branch FatJet_absent missing"):
        nanoaod.read_nanoaod(path, observers=["absent"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nano_dimuon.root", "PFCands_pt missing: plain NanoAOD keeps no constituents"),
        ("pfnano_skim.root", "FatJetPFCands_jetIdx, FatJetPFCands_pFCandsIdx missing"),
        ("uproot-HZZ.root", r"tables \['events'\] found, expected a table 'Events'"),
        ("absent.root", "no such file"),
    ],
)
def test_files_without_constituents_say_so(hepjax_data, name, message):
    with pytest.raises(ValueError, match=rf"{name}: .*{message}"):
        nanoaod.read_nanoaod(hepjax_data / "root" / name)


def test_identity_knows_the_candidates_of_cms_only():
    flags = nanoaod.identity(np.array([211, -211, 130, 22, -11, 13, 1, 2]))
    assert flags["part_isChargedHadron"].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert flags["part_isPhoton"].tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert (sum(flags.values()) == 1).all()
    with pytest.raises(ValueError, match=r"PFCands_pdgId: \[-15, 5\], expected"):
        nanoaod.identity(np.array([211, 5, -15]))


def small(path, **changes):
    """A PFNano file of two events: three jets, four candidates, by hand."""
    numbers = {"pt": 300.0, "eta": 0.5, "phi": 1.0, "mass": 30.0}
    columns = {f"FatJet_{k}": [[v, v], [v]] for k, v in numbers.items()}
    columns |= {f"PFCands_{k}": [[v, 2 * v], [v, v / 3]] for k, v in numbers.items()}
    columns |= {"PFCands_charge": [[1, 0], [1, 1]], "PFCands_pdgId": [[211, 22], [13, 211]]}
    columns |= {f"PFCands_{k}": [[0.1, -1.0], [0.2, -1.0]] for k in nanoaod.TRACK}
    columns |= {"PFCands_puppiWeight": [[1.0, 0.5], [1.0, 0.0]]}
    columns |= {"FatJetPFCands_jetIdx": [[0, 1], [0, 0]]}
    columns |= {"FatJetPFCands_pFCandsIdx": [[0, 1], [0, 1]]}
    columns |= changes
    arrays = {name: ak.Array(values) for name, values in columns.items()}
    arrays |= {name: np.array([7, 8]) for name in nanoaod.EVENT}
    with uproot.recreate(path) as file:
        kinds = {k: v.type if isinstance(v, ak.Array) else "i8" for k, v in arrays.items()}
        file.mktree("Events", kinds).extend(arrays)
    return path


def test_puppi_weights_scale_and_weight_zero_is_left_out_and_counted(tmp_path):
    columns = nanoaod.read_nanoaod(small(tmp_path / "small.root"))
    assert np.diff(columns.offsets).tolist() == [1, 1, 1]
    pt = np.hypot(columns.particles["part_px"], columns.particles["part_py"])
    np.testing.assert_allclose(pt, [300, 300, 300], rtol=1e-6)
    assert columns.jets["jet_nzeroweight"].tolist() == [0, 0, 1]
    assert columns.jets["jet_nwithouttrack"].tolist() == [0, 0, 0]
    assert columns.jets["event_number"].tolist() == [7, 7, 8]
    np.testing.assert_allclose(columns.particles["part_d0val"], [1.0, 0.0, 2.0])
    plain = nanoaod.read_nanoaod(tmp_path / "small.root", puppi=False)
    assert np.diff(plain.offsets).tolist() == [1, 1, 2]
    assert plain.jets["jet_nwithouttrack"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("FatJetPFCands_jetIdx", [[0, 2], [0, 0]], "jetIdx, entry 0: 2, expected an index below 2"),
        ("FatJetPFCands_pFCandsIdx", [[0, 1], [0, -1]], "pFCandsIdx, entry 1: -1, expected"),
        ("FatJetPFCands_jetIdx", [[0, 0], [0, 0]], "entry 1: 0 particles, expected at least 1"),
        ("PFCands_charge", [[1], [1, 1]], "PFCands_charge, entry 0: 1 values, expected 2"),
        ("PFCands_pdgId", [[99, 22], [13, 211]], r"PFCands_pdgId: \[99\]"),
        ("PFCands_d0", [[np.nan, -1.0], [0.1, -1.0]], "part_d0val, entry 0, particle 0: nan"),
        ("FatJet_pt", [[np.nan, 1.0], [1.0]], "jet_pt, entry 0: nan"),
        ("PFCands_puppiWeight", [[np.nan, 1], [1.0, 1.0]], "part_px, entry 0, particle 0: nan"),
    ],
)
def test_links_and_numbers_that_are_wrong_are_named(tmp_path, name, values, message):
    path = small(tmp_path / "small.root", **{name: values})
    with pytest.raises(ValueError, match=rf"small\.root: .*{message}"):
        nanoaod.read_nanoaod(path)


def test_bad_files_of_a_list_are_skipped(tmp_path):
    good, bad = small(tmp_path / "good.root"), tmp_path / "bad.root"
    bad.write_bytes(good.read_bytes()[:3000])
    with pytest.warns(RuntimeWarning, match="1 of 2 files skipped"):
        columns = nanoaod.read_nanoaod([good, bad], skip_bad=True)
    assert root.n_jets(columns) == 3
    assert columns.skipped[0].path == str(bad)
    with pytest.raises(ValueError, match="collection"):
        nanoaod.read_nanoaod(good, collection="SubJet")  # type: ignore[arg-type]
