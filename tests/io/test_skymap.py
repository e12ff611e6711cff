"""Sky maps in files: there and back, what the columns mean, and the field's own reader."""

import os
import subprocess
import sys

import numpy as np
import pytest

from hepjax import healpix
from hepjax.healpix import SkyMap
from hepjax.io import skymap
from hepjax.io.trees import BadFile

fits = pytest.importorskip("astropy.io.fits")


@pytest.fixture
def sky():
    """One narrow peak: a cell of order 10 holds half of it."""
    order, pixel = [], []
    inside = 0
    for k in range(11):
        first = 0 if k == 0 else 4 * inside
        new = np.arange(first, first + (12 if k == 0 else 4))
        inside = int(new[1])
        kept = new if k == 10 else new[new != inside]
        order += [k] * len(kept)
        pixel += kept.tolist()
    order, pixel = np.array(order), np.array(pixel)
    density = np.where(pixel == inside, 1.0, 0.0) * (order == 10) / healpix.area(10) + 1 / np.pi / 4
    return healpix.check(SkyMap(order, pixel, density / 2))


def test_there_and_back(sky, tmp_path):
    path = tmp_path / "a" / "sky.fits"
    skymap.write(path, sky, frame="icrs", time="2026-01-02T03:04:05", name="event 7")
    found = skymap.read(path)
    assert (found.frame, found.time, found.name) == ("icrs", "2026-01-02T03:04:05", "event 7")
    ranked = np.argsort(healpix.uniq(sky.order, sky.pixel))
    for a, b in zip(found.sky, sky):
        np.testing.assert_array_equal(a, b[ranked])
    assert [p.name for p in path.parent.iterdir()] == ["sky.fits"]


def test_equal_cells_there_and_back(sky, tmp_path):
    path = tmp_path / "flat.fits.gz"
    skymap.write_flat(path, sky, 4, frame="local")
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    found = skymap.read(path)
    assert (found.frame, found.time) == ("local", "")
    np.testing.assert_allclose(found.sky.density, healpix.flat(sky, 4))
    assert healpix.probability(found.sky).sum() == pytest.approx(1)


def test_columns_and_header_are_those_of_the_field(sky, tmp_path):
    skymap.write(tmp_path / "sky.fits", sky, frame="icrs")
    with fits.open(tmp_path / "sky.fits") as file:
        header, table = file[1].header, file[1].data
        assert header["PIXTYPE"] == "HEALPIX"
        assert (header["ORDERING"], header["MOCORDER"]) == ("NUNIQ", 10)
        assert (header["COORDSYS"], header["INDXSCHM"]) == ("C", "EXPLICIT")
        assert header["TUNIT2"] == "sr-1"
        assert (np.diff(table["UNIQ"]) > 0).all()
        order = np.log2(table["UNIQ"] // 4) // 2
        assert (table["PROBDENSITY"] * np.pi / 3 / 4**order).sum() == pytest.approx(1)


LIGO = """
import sys, numpy as np
from ligo.skymap import postprocess
from ligo.skymap.io import fits
table = fits.read_sky_map(sys.argv[1], moc=True)
flat, meta = fits.read_sky_map(sys.argv[2], nest=True)
found = postprocess.crossmatch(table, contours=[0.25, 0.45])
print(len(table), flat.sum(), meta["nest"], *found.contour_areas, found.probdensity)
"""


def test_ligo_skymap_reads_both(sky, tmp_path):
    """Its program runs in a Python of its own: LIGO_PYTHON names it where it is not this one."""
    python = os.environ.get("LIGO_PYTHON", sys.executable)
    for name in ("sky", "flat"):
        path = tmp_path / f"{name}.fits"
        if name == "sky":
            skymap.write(path, sky, frame="icrs", time="2026-01-02T03:04:05")
        else:
            skymap.write_flat(path, sky, 5, frame="icrs")
    paths = [str(tmp_path / f"{name}.fits") for name in ("sky", "flat")]
    if subprocess.run([python, "-c", "import ligo.skymap"], capture_output=True).returncode:
        pytest.skip("ligo.skymap is not installed")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    run = subprocess.run([python, "-c", LIGO, *paths], capture_output=True, text=True, env=clean)
    assert run.returncode == 0, run.stderr
    n, total, nest, *areas, _ = run.stdout.split()
    assert (int(n), nest) == (len(sky.order), "True")
    assert float(total) == pytest.approx(1)
    ours = healpix.region(sky, [0.25, 0.45]).area_deg2
    np.testing.assert_allclose([float(a) for a in areas], ours, rtol=1e-6)


def rewritten(path, change):
    with fits.open(path) as file:
        change(file[1])
        file.writeto(path, overwrite=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.header.update(ORDERING="RING"), "ORDERING 'RING'"),
        (lambda t: t.columns.change_name("UNIQ", "NUMBER"), r"columns \['UNIQ'\] missing"),
        (lambda t: t.data["UNIQ"].__setitem__(0, 5), "overlap or leave gaps"),
        (lambda t: t.data["UNIQ"].__setitem__(0, 1), "uniq: 1"),
        (lambda t: t.data["PROBDENSITY"].__setitem__(2, np.nan), "density nan of cell 2"),
        (lambda t: t.header.update(ORDERING="NESTED"), "12 times a power of 4"),
    ],
)
def test_a_damaged_map_is_named(sky, tmp_path, change, message):
    path = tmp_path / "sky.fits"
    skymap.write(path, sky, frame="icrs")
    rewritten(path, change)
    with pytest.raises(BadFile, match=message) as caught:
        skymap.read(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize("size", [0, 100, 3000, 6000])
def test_a_file_cut_off_is_named(sky, tmp_path, size):
    path = tmp_path / "sky.fits"
    skymap.write(path, sky, frame="icrs")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadFile, match=r"sky\.fits"):
        skymap.read(path)


def test_bad_calls_are_named(sky, tmp_path):
    with pytest.raises(BadFile, match="no such file"):
        skymap.read(tmp_path / "none.fits")
    with pytest.raises(ValueError, match="frame: 'galactic'"):
        skymap.write(tmp_path / "a.fits", sky, frame="galactic")
    with pytest.raises(ValueError, match="overlap or leave gaps"):
        skymap.write(tmp_path / "a.fits", SkyMap(*(a[1:] for a in sky)), frame="icrs")
    assert not list(tmp_path.iterdir())
