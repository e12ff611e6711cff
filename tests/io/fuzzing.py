"""Files that lie, made from good ones by a seed, and what readers make of them.

Each `Case` writes a small good sample of a format and reads it. `damage` cuts, flips, repeats,
inflates or swaps what is in one of its files; a reader must then raise a ValueError that names the
file, or give data: never another error, a crash, a hang, or memory without bound. As a program it
reads inputs in a process of its own, whose memory is limited:

    python fuzzing.py '["CASE", ...]' SEED N FIRST

and prints each input and what came of it as a line of JSON; `survey` starts such programs, and
starts them again behind an input that ended one.
"""

import gzip
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

for folder in (Path(__file__).parent, Path(__file__).parents[1]):
    sys.path.insert(0, str(folder))

MEMORY = 6 * 2**30
"""Bytes of address space that a reader may take; its imports take a third of it."""
SECONDS, PATIENCE = 20, 60
"""That one input may take by its own alarm, and before its process is ended."""
HUGE = (b"-1", b"0", b"99999999999999999999", b"2147483648", b"-9223372036854775808", b"nan")
HUGE += (b"inf", b"1e400", b"1e308", b"", b"null", b'"x"', b"[]", b"true", b"0x10", b"1,2", b"\xff")
WORDS = (b"(", b"[", b"{", b"<", b'"', b"\n", b"\x00", b"," * 40, b"[" * 3000, b"9" * 5000)


class Case(NamedTuple):
    """write(folder): a good sample, whose files may be damaged; read(folder): what is tested."""

    write: Callable[[Path], Any]
    read: Callable[[Path], Any]


def damage(raw: bytes, rng: np.random.Generator) -> bytes:
    """Make one to three changes to the bytes of a file."""
    for _ in range(rng.integers(1, 4)):
        raw = CHANGES[rng.integers(len(CHANGES))](raw, rng)
    return raw


def _cut(raw: bytes, rng: np.random.Generator) -> bytes:
    return raw[: rng.integers(len(raw) + 1)]


def _flip(raw: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(raw)
    for at in rng.integers(max(len(raw), 1), size=rng.choice([1, 3, 30])):
        if raw:
            out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _overwrite(raw: bytes, rng: np.random.Generator) -> bytes:
    at, n = rng.integers(len(raw) + 1), int(rng.choice([1, 2, 4, 8, 64]))
    value = [b"\x00", b"\xff", b"\x7f", b"\x80", rng.bytes(1)][rng.integers(5)]
    return raw[:at] + value * n + raw[at + n :]


def _repeat(raw: bytes, rng: np.random.Generator) -> bytes:
    a, b = np.sort(rng.integers(len(raw) + 1, size=2))
    return raw[:b] + raw[a:b] * int(rng.integers(0, 3)) + raw[b:]


def _remove(raw: bytes, rng: np.random.Generator) -> bytes:
    a = rng.integers(len(raw) + 1)
    return raw[:a] + raw[a + rng.integers(1, 200) :]


def _insert(raw: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(raw) + 1)
    return raw[:at] + WORDS[rng.integers(len(WORDS))] + raw[at:]


def _token(raw: bytes, rng: np.random.Generator) -> bytes:
    """Put something else in the place of a number, or of a word, of a text."""
    spans, start = [], None
    for at, byte in enumerate(raw[:200_000]):
        inside = chr(byte).isalnum() or byte in b"+-._"
        if inside and start is None:
            start = at
        if not inside and start is not None:
            spans.append((start, at))
            start = None
    if not spans:
        return _flip(raw, rng)
    a, b = spans[rng.integers(len(spans))]
    return raw[:a] + HUGE[rng.integers(len(HUGE))] + raw[b:]


CHANGES = (_cut, _flip, _overwrite, _repeat, _remove, _insert, _token, _token)


def damaged(folder: Path, rng: np.random.Generator) -> str:
    """Damage one file of a folder, inside of its compression half of the time; gives its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    raw = path.read_bytes()
    packed = raw[:2] == b"\x1f\x8b" and rng.random() < 0.5
    new = damage(gzip.decompress(raw) if packed else raw, rng)
    path.write_bytes(gzip.compress(new) if packed else new)
    return path.name


def outcome(case: Case, folder: Path, name: str) -> str:
    """Read, and tell what came of it; name: of the file that was damaged, by its first part."""
    try:
        case.read(folder)
        return "data"
    except ValueError as error:
        return "refused" if name in str(error) else f"refused, no file named: {str(error)[:120]}"
    except MemoryError:
        return "out of memory"
    except TimeoutError:
        return "hang"
    except Exception as error:
        frame = error.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
        return f"{type(error).__name__}: {str(error)[:120]} ({where})"


def program(names: list[str], seed: int, n: int, first: int) -> None:
    """Read inputs of cases, n of each, from the first one on, all cases counted through."""
    import fuzzing_cases

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _alarm)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        for job in range(first, n * len(names)):
            name, index = names[job // n], job % n
            case, good = fuzzing_cases.CASES[name], Path(scratch) / f"good_{job // n}" / "of"
            if not good.exists():
                good.mkdir(parents=True)
                case.write(good)
                case.read(good)
            rng = np.random.default_rng([seed, index, zlib.crc32(name.encode())])
            bad = good.parent / "bad"
            shutil.copytree(good, bad)
            about = {"job": job, "case": name, "index": index, "file": damaged(bad, rng)}
            print(json.dumps(about), flush=True)
            start = time.monotonic()
            signal.alarm(SECONDS)
            found = outcome(case, bad, about["file"].split("-")[0])
            signal.alarm(0)
            taken = time.monotonic() - start
            print(json.dumps({"outcome": found, "seconds": taken}), flush=True)
            shutil.rmtree(bad, ignore_errors=True)


def _alarm(*_: Any) -> None:
    raise TimeoutError


class Found(NamedTuple):
    """counts: of outcomes; bad: (index, file, outcome) of those that must not be; slowest: s."""

    counts: Counter
    bad: list[tuple[int, str, str]]
    slowest: float


def survey(names: list[str], n: int, seed: int = 0) -> dict[str, Found]:
    """Read n inputs of each case, in as many processes as it takes."""
    found = {name: Found(Counter(), [], 0.0) for name in names}
    first = 0
    while first < n * len(names):
        lines, code = _process(names, seed, n, first)
        if not lines:
            raise RuntimeError(f"{names[first // n]}: ended with {code} before its first input")
        if len(lines) % 2:
            what = "hang" if code == -signal.SIGKILL else f"crash {code}"
            lines.append({"outcome": what, "seconds": 0.0})
        elif code:
            raise RuntimeError(f"{lines[-2]['case']}: ended with {code}, not in a reader")
        for about, result in zip(lines[::2], lines[1::2]):
            one = found[about["case"]]
            one.counts[result["outcome"]] += 1
            if result["outcome"] not in ("data", "refused"):
                one.bad.append((about["index"], about["file"], result["outcome"]))
            slowest = max(one.slowest, result["seconds"])
            found[about["case"]] = one._replace(slowest=slowest)
        first = lines[-2]["job"] + 1
    return found


def _process(names: list[str], seed: int, n: int, first: int) -> tuple[list[dict], int]:
    """Run the program until it ends, or is ended for saying nothing."""
    words = [json.dumps(names), *map(str, (seed, n, first))]
    command = [sys.executable, __file__, *words]
    lines: list[dict] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = [time.monotonic()]

        def watch() -> None:
            while process.poll() is None:
                time.sleep(0.5)
                if time.monotonic() - last[0] > PATIENCE + 120 * (not lines):
                    process.kill()

        threading.Thread(target=watch, daemon=True).start()
        for line in process.stdout:
            if line.startswith("{"):
                lines.append(json.loads(line))
            last[0] = time.monotonic()
        return lines, process.wait()


if __name__ == "__main__":
    program(json.loads(sys.argv[1]), *map(int, sys.argv[2:]))
