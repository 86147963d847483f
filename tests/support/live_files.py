"""Files of a directory in which others are at work."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def modes_below(directory: Path) -> Iterator[tuple[Path, int]]:
    """All below the directory with their permissions. What goes while one looks is passed over, as are links.

    Path.rglob raises where a directory is gone by the time it is entered; os.walk does not.
    """
    for parent, names, files in os.walk(directory):
        for path in (Path(parent, name) for name in (*names, *files)):
            with contextlib.suppress(FileNotFoundError):
                if not path.is_symlink():
                    yield path, stat.S_IMODE(path.lstat().st_mode)
