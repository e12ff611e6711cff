"""Grid files of parton densities: what they say, where they are found, what is wrong with one."""

import importlib.util

import numpy as np
import pytest

from hepjax.io import lhagrid
from hepjax.io.trees import BadFile

X, LOW, HIGH = [1e-3, 1e-2, 0.1, 0.5, 1.0], [1.0, 2.0, 3.0, 4.75], [4.75, 10.0, 50.0, 100.0]


def text(parts=((X, LOW, (1, 21)), (X, HIGH, (1, 5, 21))), kind="lhagrid1"):
    """A file whose values are x Q flavour."""
    lines = ["PdfType: central", f"Format: {kind}", "---"]
    for x, q, flavours in parts:
        lines += [" ".join(map(str, values)) for values in (x, q, flavours)]
        lines += [" ".join(str(a * b * f) for f in flavours) for a in x for b in q]
        lines.append("---")
    return "\n".join(lines) + "\n"


def written(tmp_path, content, name="toy_0000.dat"):
    path = tmp_path / name
    path.write_text(content)
    return path


def test_sub_grids_are_joined_and_absent_flavours_are_0(tmp_path):
    grid = lhagrid.read(written(tmp_path, text()))
    assert grid.x.tolist() == X
    assert grid.q.tolist() == LOW + HIGH
    assert grid.first == (0, 4)
    assert grid.xf.shape == (5, 8, len(lhagrid.FLAVOURS))
    column = lhagrid.FLAVOURS.index
    np.testing.assert_allclose(grid.xf[..., column(21)], 21 * np.outer(X, LOW + HIGH))
    np.testing.assert_allclose(grid.xf[:, 4:, column(5)], 5 * np.outer(X, HIGH))
    assert (grid.xf[:, :4, column(5)] == 0).all()
    assert (grid.xf[..., column(-1)] == 0).all()


def test_zero_is_a_gluon(tmp_path):
    grid = lhagrid.read(written(tmp_path, text(((X, LOW, (0, 1)),))))
    assert (grid.xf[..., lhagrid.FLAVOURS.index(21)] == 0).all()  # 0 times x Q, in its column
    assert (grid.xf[..., lhagrid.FLAVOURS.index(1)] > 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(kind="lhagrid2"), "format 'lhagrid2', expected lhagrid1"),
        ("hello\n", "format None, expected lhagrid1"),
        (text(((X[::-1], LOW, (1,)),)), "5 x knots, expected at least 4 that rise"),
        (text(((X, [1.0, 2.0], (1,)),)), "2 Q knots, expected at least 4 that rise"),
        (text(((X, LOW, (1, 7)),)), r"flavours \[1, 7\], expected each once"),
        (text(((X, LOW, (1, 1)),)), r"flavours \[1, 1\], expected each once"),
        (text().replace("0.5 ", "nan ", 1), "x knots"),
        (text()[:200] + "\n---\n", "finite values, expected 5 x 4 x 2"),
        (text(((X, LOW, (1,)), ([*X[:-1], 0.9], HIGH, (1,)))), "x knots of sub-grid 1 differ"),
        (text(((X, LOW, (1,)), (X, [5.0, 6, 7, 8], (1,)))), "begins at Q = 5.0 GeV, expected 4.75"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(BadFile, match=message):
        lhagrid.read(written(tmp_path, content))


def test_sets_are_found_by_name_path_and_member(tmp_path, monkeypatch):
    folder = tmp_path / "sets" / "toy"
    folder.mkdir(parents=True)
    central, other = (written(folder, text(), f"toy_{k:04d}.dat") for k in (0, 1))
    monkeypatch.setenv("LHAPDF_DATA_PATH", f"/nowhere:{tmp_path / 'sets'}")
    assert lhagrid.listed()["toy"] == central
    assert lhagrid.find("toy") == central
    assert lhagrid.find("toy", 1) == other
    assert lhagrid.find(other) == other
    with pytest.raises(ValueError, match=r"no member 2, expected .*toy_0002.dat"):
        lhagrid.find("toy", 2)
    with pytest.raises(ValueError, match=r"PDF set 'joy': no such file.*which hold .*toy"):
        lhagrid.find("joy")


@pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None,
    reason="pythia8mc comes with the extra `generators`",
)
def test_those_of_pythia_are_found_by_themselves():
    there = lhagrid.listed()
    assert {"NNPDF23_lo_as_0130_qed", "NNPDF31_nnlo_as_0118_luxqed"} <= set(there)
    grid = lhagrid.read(there["NNPDF31_nnlo_as_0118_luxqed"])
    assert len(grid.first) == 2
    assert grid.q[grid.first[1]] == grid.q[grid.first[1] - 1] == pytest.approx(4.92)
