"""State dicts are read as torch wrote them; what is damaged or hostile is refused, unrun."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from hepjax.io import torch_weights

KINDS = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "BoolStorage": "|b1",
}


class Storage:
    """A storage on its way into a file: type, key and number of items, as the pickle has them."""

    def __init__(self, kind, key, count):
        self.pid = ("storage", Global("torch", kind), str(key), "cpu", count)


class Global:
    """A name that the pickle asks for, without torch being there."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """A call of a global."""

    def __init__(self, module, name, *arguments):
        self.function, self.arguments = Global(module, name), arguments


class Writer(pickle._Pickler):
    """Pickle calls and storages of modules that need not exist, in protocol 2."""

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def tensor(kind, key, count, size, stride, offset=0):
    arguments = (Storage(kind, key, count), offset, size, stride, False, OrderedDict())
    return Call("torch._utils", "_rebuild_tensor_v2", *arguments)


def write(path, content, storages=(), compression=zipfile.ZIP_STORED, **entries):
    stream = io.BytesIO()
    Writer(stream, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("weights/data.pkl", stream.getvalue())
        for key, raw in enumerate(storages):
            archive.writestr(f"weights/data/{key}", raw)
        for name, raw in entries.items():
            archive.writestr(f"weights/{name}", raw)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("kind", KINDS)
def test_reads_numbers_of_every_kind(path, kind):
    x = np.arange(6).reshape(2, 3).astype(KINDS[kind])
    write(path, {"x": tensor(kind, 0, 6, (2, 3), (3, 1))}, [x.tobytes()], byteorder="little")
    found = torch_weights.read(path)["x"]
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, x)


def test_bfloat16_becomes_float32(path):
    x = np.array([1.0, -2.5, 3e38, 0.0], np.float32)
    raw = (x.view(np.uint32) >> 16).astype("<u2")
    write(path, {"x": tensor("BFloat16Storage", 0, 4, (4,), (1,))}, [raw.tobytes()])
    found = torch_weights.read(path)["x"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, x, rtol=2**-7)
    assert found[:2].tolist() == [1.0, -2.5]


def test_strides_offset_scalar_and_empty(path):
    x = np.arange(12, dtype="<f4")
    content = {
        "transposed": tensor("FloatStorage", 0, 12, (3, 4), (1, 3)),
        "part": tensor("FloatStorage", 0, 12, (2, 2), (4, 2), 5),
        "scalar": tensor("FloatStorage", 0, 12, (), (), 7),
        "empty": tensor("FloatStorage", 0, 12, (0, 3), (3, 1)),
    }
    found = torch_weights.read(write(path, content, [x.tobytes()]))
    np.testing.assert_array_equal(found["transposed"], x.reshape(4, 3).T)
    np.testing.assert_array_equal(found["part"], [[5, 7], [9, 11]])
    assert found["scalar"].shape == ()
    assert found["scalar"] == 7
    assert found["empty"].shape == (0, 3)
    found["transposed"][:] = 0
    assert found["part"][0, 0] == 5


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_nested_prefixed_and_parameter(path, wrapper):
    x = tensor("FloatStorage", 0, 2, (2,), (1,))
    inner = OrderedDict()
    inner["_orig_mod.module.mod.fc.weight"] = x
    inner["bias"] = Call("torch._utils", "_rebuild_parameter", x, True, OrderedDict())
    write(path, {wrapper: inner, "epoch": 3}, [np.ones(2, "<f4").tobytes()])
    found = torch_weights.read(str(path))
    assert {name: value.tolist() for name, value in found.items()} == {
        "fc.weight": [1, 1],
        "bias": [1, 1],
    }


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load")],
)
def test_hostile_pickle_is_refused_and_not_run(path, tmp_path, module, name):
    mark = tmp_path / "mark"
    write(path, {"x": Call(module, name, f"touch {mark}")})
    with pytest.raises(ValueError, match=rf"weights.pt: asks for {module}.{name}; only tensors"):
        torch_weights.read(path)
    assert not mark.exists()
    assert os.path.exists(path)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((10**12,), (0,), 0),
        ((10**6, 10**6), (0, 0), 0),
        ((5,), (1,), 0),
        ((2,), (1,), 3),
        ((2,), (4,), 0),
        ((2,), (-1,), 1),
        ((-2,), (1,), 0),
        ((2,), (1,), -1),
        ((2, 2), (1,), 0),
        ((0, 10**12), (1, 1), -5),
    ],
)
def test_tensor_past_its_storage_is_refused(path, size, stride, offset):
    write(path, {"x": tensor("FloatStorage", 0, 4, size, stride, offset)}, [bytes(16)])
    with pytest.raises(ValueError, match=r"weights.pt: a tensor of size"):
        torch_weights.read(path)


def test_storage_of_wrong_size_or_missing(path):
    content = {"x": tensor("FloatStorage", 0, 4, (4,), (1,))}
    with pytest.raises(ValueError, match=r"weights.pt: storage 0 has 12 bytes, expected 16"):
        torch_weights.read(write(path, content, [bytes(12)]))
    with pytest.raises(ValueError, match=r"weights.pt: no torch file that can be read"):
        torch_weights.read(write(path, content))


def test_damaged_files(path, tmp_path):
    write(path, {"x": tensor("FloatStorage", 0, 4, (4,), (1,))}, [bytes(16)])
    raw = path.read_bytes()
    for cut in (0, 10, len(raw) // 2, len(raw) - 5):
        path.write_bytes(raw[:cut])
        with pytest.raises(ValueError, match=r"weights.pt: no torch file"):
            torch_weights.read(path)
    with pytest.raises(ValueError, match=r"missing.pt: no torch file"):
        torch_weights.read(tmp_path / "missing.pt")


def test_archives_that_torch_does_not_write(path):
    content = {"x": tensor("FloatStorage", 0, 4, (4,), (1,))}
    with pytest.raises(ValueError, match="not compressed, found"):
        torch_weights.read(write(path, content, [bytes(16)], zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="expected little-endian numbers, found b'big'"):
        torch_weights.read(write(path, content, [bytes(16)], byteorder="big"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(ValueError, match=r"expected one data.pkl in the archive, found \[\]"):
        torch_weights.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected named tensors, found list"),
        ({}, "expected named tensors, found dict"),
        ({"x": 3}, "expected tensors only, found 'x' of type int"),
    ],
)
def test_other_content_is_refused(path, content, message):
    with pytest.raises(ValueError, match=message):
        torch_weights.read(write(path, content))


def test_names_that_agree_without_their_prefix(path):
    x = tensor("FloatStorage", 0, 1, (1,), (1,))
    with pytest.raises(ValueError, match="names differ only by"):
        torch_weights.read(write(path, {"a": x, "module.a": x}, [bytes(4)]))


def test_match_lists_everything():
    weights = {"a": np.zeros(2), "b": np.zeros((2, 3)), "more": np.zeros(1)}
    torch_weights.match(weights, {"a": (2,), "b": (2, 3), "more": (1,)}, "net")
    with pytest.raises(ValueError) as error:
        torch_weights.match(weights, {"a": (2,), "b": (3, 2), "c": (1,), "d": ()}, "net")
    for part in ("net: lacks ['c', 'd']", "not known ['more']", "b: expected (3, 2), found (2, 3)"):
        assert part in str(error.value)


def test_official_weights(hepjax_data):
    weights = torch_weights.read(hepjax_data / "jets" / "ParticleNet_kin.pt")
    learned = [x for name, x in weights.items() if not name.endswith(("_mean", "_var", "_tracked"))]
    assert sum(x.size for x in learned) == 368_216
    assert all(x.dtype == np.float32 for x in learned)
    assert weights["bn_fts.running_mean"].shape == (7,)
    assert not any(name.startswith("mod.") for name in weights)
