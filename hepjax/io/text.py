"""The text of a file, gzipped or not, or an error that names the file.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "a.txt.gz"
>>> _ = path.write_bytes(gzip.compress(b"one\\n"))
>>> read(path)
'one\\n'
"""

import gzip
import os
import zlib
from pathlib import Path

from hepjax.io.trees import BadFile


def read(path: str | os.PathLike[str]) -> str:
    """Read a file of UTF-8, unpacked if its name ends in .gz; raises BadFile, a ValueError that
    begins with the path, for one that is missing, damaged, or no text.
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
            return file.read()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
