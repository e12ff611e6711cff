"""hepjax.io.stream: every jet once an epoch, in an order that only the seed and epoch decide."""

import gc
import tracemalloc

import numpy as np
import pytest

from hepjax.io import root, stream

N_JETS = (50, 23, 32)


@pytest.fixture
def files(make, tmp_path, monkeypatch):
    monkeypatch.setattr(root, "BASKET", 16)
    paths = [tmp_path / f"{index}.root" for index in range(3)]
    for seed, (path, n_jets) in enumerate(zip(paths, N_JETS)):
        root.write_jetclass(path, make(n_jets, seed))
    return paths


def test_scan_finds_the_length_of_every_jet_and_cuts_all_files(files):
    scan = stream.scan(files, chunk_size=20)
    whole = root.read_jetclass(files)
    np.testing.assert_array_equal(scan.lengths, np.diff(whole.offsets))
    assert scan.lengths.dtype == np.int32
    assert scan.paths == tuple(str(path) for path in files)
    sizes = scan.entry_stop - scan.entry_start
    assert sizes.min() >= 1
    assert sizes.max() <= 20
    for index, n_jets in enumerate(N_JETS):
        assert sizes[scan.file == index].sum() == n_jets
    assert stream.chunk_offsets(scan)[-1] == 105


def test_chunks_end_where_baskets_end_if_that_costs_little(files):
    assert (stream.scan(files, chunk_size=20).entry_start % 16 == 0).all()
    assert stream.scan(files[0], chunk_size=40).entry_stop.tolist() == [32, 50]
    assert stream.scan(files[0], chunk_size=8).entry_stop[:4].tolist() == [8, 16, 24, 32]


@pytest.mark.parametrize("chunk_size", [3, 20, 1000])
def test_chunks_one_after_the_other_are_the_files(files, same, chunk_size):
    names = files[1:2] if chunk_size == 3 else files
    scan = stream.scan(names, chunk_size=chunk_size)
    chunks = np.arange(stream.n_chunks(scan))
    same(stream.read_buffer(scan, chunks), root.read_jetclass(names))


def test_an_epoch_has_every_jet_once_in_a_new_order(files):
    scan = stream.scan(files, chunk_size=10)
    orders = []
    for epoch in range(3):
        buffers = stream.buffers(scan, seed=5, epoch=epoch, chunks_per_buffer=4)
        assert all(len(chunks) == 4 for chunks in buffers[:-1])
        jets = np.concatenate([stream.jet_index(scan, chunks) for chunks in buffers])
        np.testing.assert_array_equal(np.sort(jets), np.arange(105))
        orders.append(np.concatenate(buffers).tolist())
    assert orders[0] != orders[1] != orders[2] != orders[0]
    plain = stream.buffers(scan, seed=5, epoch=1, chunks_per_buffer=4, shuffle=False)
    np.testing.assert_array_equal(np.concatenate(plain), np.arange(stream.n_chunks(scan)))


def test_a_resumed_run_reads_the_same_buffer(files, same):
    first, second = (stream.scan(files, chunk_size=10) for _ in range(2))
    plans = [stream.buffers(scan, seed=1, epoch=7, chunks_per_buffer=3) for scan in (first, second)]
    np.testing.assert_array_equal(np.concatenate(plans[0]), np.concatenate(plans[1]))
    same(stream.read_buffer(first, plans[0][2]), stream.read_buffer(second, plans[1][2]))
    others = stream.buffers(first, seed=2, epoch=7, chunks_per_buffer=3)
    assert np.concatenate(others).tolist() != np.concatenate(plans[0]).tolist()


def test_jet_index_gives_the_lengths_of_the_jets_in_a_buffer(files):
    scan = stream.scan(files, chunk_size=10)
    for chunks in stream.buffers(scan, seed=0, epoch=0, chunks_per_buffer=5):
        columns = stream.read_buffer(scan, chunks)
        lengths = scan.lengths[stream.jet_index(scan, chunks)]
        np.testing.assert_array_equal(np.diff(columns.offsets), lengths)


def test_branches_and_labels_are_chosen_once_for_all_chunks(files):
    scan = stream.scan(files, features="kinematic", branches=["jet_tau1"], labels=False)
    columns = stream.read_chunk(scan, 0)
    assert set(columns.jets) == {*root.JET, "jet_tau1"}
    assert set(columns.particles) == {*root.KINEMATICS, *root.ANGLES}


def test_a_wrong_number_is_named_when_its_chunk_is_read(make, tmp_path):
    columns = make(50)
    columns.particles["part_dzerr"][columns.offsets[33]] = np.nan
    root.write_jetclass(tmp_path / "nan.root", columns)
    scan = stream.scan(tmp_path, chunk_size=10)
    stream.read_chunk(scan, 0)
    with pytest.raises(ValueError, match=r"nan\.root: branch part_dzerr, entry 33, particle 0"):
        stream.read_chunk(scan, 3)


def test_a_file_that_changes_after_the_scan_is_found_out(make, files):
    scan = stream.scan(files, chunk_size=100)
    root.write_jetclass(files[1], make(23, seed=9))
    with pytest.raises(ValueError, match=r"1\.root: .* as scanned; the file has changed"):
        stream.read_chunk(scan, 1)
    root.write_jetclass(files[1], make(20, seed=1))
    with pytest.raises(ValueError, match=r"1\.root"):
        stream.read_chunk(scan, 1)


def test_bad_files_are_skipped_counted_and_reported(files):
    files[1].write_bytes(files[1].read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"1\.root"):
        stream.scan(files)
    with pytest.warns(RuntimeWarning, match="1 of 3 files skipped"):
        scan = stream.scan(files, skip_bad=True)
    assert scan.paths == (str(files[0]), str(files[2]))
    assert [item.path for item in scan.skipped] == [str(files[1])]
    assert len(scan.lengths) == 82


def test_files_with_other_branches_need_a_choice(make, files):
    columns = make(20)
    del columns.jets["jet_tau1"]
    root.write_jetclass(files[1], columns)
    with pytest.raises(ValueError, match=r"1\.root: branches \['jet_tau1'\] are not in both"):
        stream.scan(files)
    assert stream.n_chunks(stream.scan(files, branches=[])) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda scan, path: stream.scan(path, chunk_size=0), "chunk_size: 0"),
        (lambda scan, path: stream.read_chunk(scan, 3), "chunk: 3, expected 0 to 2"),
        (
            lambda scan, path: stream.buffers(scan, seed=0, epoch=0, chunks_per_buffer=0),
            "chunks_per_buffer: 0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(files, call, message):
    scan = stream.scan(files)
    with pytest.raises(ValueError, match=message):
        call(scan, files[0])


def test_memory_holds_a_buffer_and_not_the_file(make, tmp_path, monkeypatch):
    monkeypatch.setattr(root, "BASKET", 500)
    part = make(1000)
    size = sum(values.nbytes for table in (part.particles, part.jets) for values in table.values())
    peaks = []
    gc.freeze()
    for n_parts in (2, 6):
        path = tmp_path / f"{n_parts}.root"
        root.write_jetclass(path, (part for _ in range(n_parts)))
        tracemalloc.start()
        run_epoch(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    gc.unfreeze()
    assert size < peaks[0] < 4 * size  # a buffer and its parts while they are joined
    assert peaks[1] < 1.1 * peaks[0]


def run_epoch(path):
    """Look at every jet of a file with one buffer of two chunks, 1000 jets, in memory."""
    scan = stream.scan(path, chunk_size=500)
    n_jets = 0
    for chunks in stream.buffers(scan, seed=0, epoch=0, chunks_per_buffer=2):
        n_jets += root.n_jets(stream.read_buffer(scan, chunks))
        gc.collect()  # uproot's description of a file, 0.3 MB, waits for it in a reference cycle
    assert n_jets == len(scan.lengths)
