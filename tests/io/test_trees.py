"""hepjax.io.trees: lists of files, flat arrays of branches, and files that cannot be read."""

import contextlib

import awkward as ak
import numpy as np
import pytest
import uproot

from hepjax.io import trees


def write(path, kind, name, columns):
    with uproot.recreate(path) as file:
        if kind == "TTree":
            kinds = {k: v.type if isinstance(v, ak.Array) else v.dtype for k, v in columns.items()}
            file.mktree(name, kinds).extend(columns)
        else:
            file.mkrntuple(name, columns)


@pytest.fixture(params=["TTree", "RNTuple"])
def kind(request):
    return request.param


@pytest.fixture
def small(tmp_path, kind):
    """A file with one flat and one jagged branch of three entries."""
    path = tmp_path / "small.root"
    write(path, kind, "table", {"x": np.arange(3.0), "y": ak.Array([[1, 2], [], [3]])})
    return path


def test_expand_sorts_folders_and_patterns_and_keeps_the_order_of_lists(tmp_path):
    paths = [tmp_path / name for name in ("b.root", "a.root", "c.txt")]
    for path in paths:
        path.touch()
    assert trees.expand(tmp_path) == [paths[1], paths[0]]
    assert trees.expand(str(tmp_path / "*.root")) == [paths[1], paths[0]]
    assert trees.expand(paths[:2]) == paths[:2]
    assert trees.expand([tmp_path / "[b]*", paths[1]]) == paths[:2]
    assert trees.expand("missing.root")[0].name == "missing.root"


def test_expand_rejects_nothing_and_twice(tmp_path):
    (tmp_path / "a.root").touch()
    with pytest.raises(ValueError, match="no ROOT file found"):
        trees.expand(tmp_path / "*.other")
    with pytest.raises(ValueError, match="empty list"):
        trees.expand([])
    with pytest.raises(ValueError, match="more than once"):
        trees.expand([tmp_path, tmp_path / "a.root"])


def test_read_branches_gives_values_and_offsets(small, kind):
    with trees.opened(small) as table:
        assert trees.counter_name(table, "y") == ("ny" if kind == "TTree" else None)
        assert trees.branch_names(table) == ["x", "y"]
        assert trees.is_flat(table, "x")
        assert not trees.is_flat(table, "y")
        whole = trees.read_branches(small, table, ["x", "y"])
        rest = trees.read_branches(small, table, ["y"], entry_start=1)
    assert whole["x"].values.tolist() == [0, 1, 2]
    assert whole["x"].offsets is None
    assert whole["y"].values.tolist() == [1, 2, 3]
    assert whole["y"].offsets is not None
    assert whole["y"].offsets.tolist() == [0, 2, 2, 3]
    assert rest["y"].values.tolist() == [3]
    assert rest["y"].offsets is not None
    assert rest["y"].offsets.tolist() == [0, 0, 1]


def test_a_table_is_found_by_name_or_if_alone(small, tmp_path):
    two = tmp_path / "two.root"
    with uproot.recreate(two) as file:
        file["one"] = {"x": np.arange(3.0)}
        file["other"] = {"x": np.arange(4.0)}
    with trees.opened(two, "other") as table:
        assert table.num_entries == 4
    with pytest.raises(ValueError, match=r"two\.root: tables \['one', 'other'\] found"):
        trees.opened(two).__enter__()
    with pytest.raises(ValueError, match="expected a table 'third'"):
        trees.opened(small, "third").__enter__()


def test_missing_empty_and_foreign_files_are_bad_files(tmp_path):
    cases = {"missing.root": None, "empty.root": b"", "text.root": b"not a ROOT file" * 100}
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(trees.BadFile, match=name):
            trees.opened(tmp_path / name).__enter__()
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("tree", {"x": np.float32})
    with pytest.raises(ValueError, match="0 entries, expected at least 1"):
        trees.opened(tmp_path / "none.root").__enter__()


def test_errors_of_the_caller_are_not_blamed_on_the_file(small):
    with pytest.raises(KeyError), trees.opened(small):
        raise KeyError("a mistake in our own code")


def test_branches_that_are_no_numbers_are_named(tmp_path):
    path, words = tmp_path / "odd.root", ak.Array(["a", "b", "c"])
    deep = ak.Array([[[1.0], []], [], [[2.0]]])
    write(path, "RNTuple", "table", {"grid": np.ones((3, 2)), "word": words, "deep": deep})
    with trees.opened(path) as table:
        for name in ("grid", "word", "deep"):
            with pytest.raises(ValueError, match=f"odd.root: branch {name}"):
                trees.read_branches(path, table, [name])
        with pytest.raises(ValueError, match="branch absent not found"):
            trees.read_branches(path, table, ["absent"])


def test_vectors_of_floats_read_as_awkward_reads_them(hepjax_data):
    """The public JetClass files hold std::vector<float>, which uproot cannot write."""
    path, name = hepjax_data / "root" / "PHYSLITE_example.root", "AnalysisJetsAuxDyn.pt"
    with trees.opened(path, "CollectionTree") as table:
        assert "vector<float>" in table[name].typename
        branch = trees.read_branches(path, table, [name])[name]
        expected = table[name].array()
    np.testing.assert_array_equal(branch.values, ak.to_numpy(ak.flatten(expected)))
    np.testing.assert_array_equal(np.diff(branch.offsets), ak.to_numpy(ak.num(expected)))
    assert branch.values.dtype == np.float32


def test_each_file_counts_and_reports_what_it_skips(tmp_path):
    paths = [tmp_path / name for name in ("a.root", "b.root", "c.root")]

    def read(path):
        if path.name != "b.root":
            raise trees.BadFile(f"{path}: spoiled")
        return 7

    with pytest.warns(RuntimeWarning, match=r"2 of 3 files skipped.*a\.root: spoiled.*c\.root"):
        results, skipped = trees.each_file(paths, read, skip_bad=True)
    assert results == [(paths[1], 7)]
    assert [item.path for item in skipped] == [str(paths[0]), str(paths[2])]
    with pytest.raises(trees.BadFile, match="spoiled"):
        trees.each_file(paths, read, skip_bad=False)
    with pytest.raises(trees.BadFile, match="1 of 1 files skipped"):
        trees.each_file(paths[:1], read, skip_bad=True)


def test_written_replaces_only_once_complete(tmp_path):
    path = tmp_path / "deep" / "file.root"
    with trees.written(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with contextlib.suppress(KeyError), trees.written(path) as temporary:
        temporary.write_text("half of the sec")
        raise KeyError
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.root"]
