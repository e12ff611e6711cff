"""The classical tracks of tracking_velo.py, found by velopix in an environment of its own.

`tracks` makes the environment where it is missing (velopix 0.9.0, MIT licence), and runs this file
with its Python: search by triplet trie, each event by itself. velopix dies of an event with an
empty module; such an event has no tracks, and is counted.
"""

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import _peers

PEER = "velopix==0.9.0"


def tracks(cache: Path, files: Sequence[Path], out: Path) -> tuple[list[list[list[int]]], int]:
    """Find the tracks [event][track][hit] of JSON events, and count the events that failed.

    cache: folder of the environment; out: a file for the answer.
    """
    python = _peers.environment(cache, [PEER])
    names = [str(Path(file).absolute()) for file in files]
    subprocess.run([python, __file__, out], input=json.dumps(names), text=True, check=True)
    answer = json.loads(Path(out).read_text())
    return answer["tracks"], answer["n_failed"]


def main() -> None:
    """Answer for the files on standard input."""
    import velopix  # type: ignore[import-not-found]

    solver = velopix.ReconstructionAlgorithms.SearchByTripletTrie()
    found, n_failed = [], 0
    for name in json.load(sys.stdin):
        opened = gzip.open if name.endswith(".gz") else open
        with opened(name, "rt") as file:
            content = json.load(file)
        try:
            solved = solver.solve(velopix.DetectorEvent.Event(content))
            found.append([[hit.id for hit in track.hits] for track in solved])
        except BaseException as error:  # a panic in Rust is no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            found.append([])
            n_failed += 1
    Path(sys.argv[1]).write_text(json.dumps({"tracks": found, "n_failed": n_failed}))


if __name__ == "__main__":
    main()
