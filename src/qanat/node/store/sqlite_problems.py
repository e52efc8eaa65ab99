"""SQLite's errors as one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import apsw

from qanat.core.errors import EnvironmentProblem


class Told:
    """``with told:`` around every use of a key store's file. A class, since it stands around every statement.

    Raises:
        EnvironmentProblem: the disk is full, the file damaged or out of reach.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        words = None if error is None else self._words(error)
        if words is not None:
            raise EnvironmentProblem(words) from None

    def _words(self, error: BaseException) -> str | None:
        match error:
            case apsw.FullError():
                return (
                    f"the disk of key store {self._path} is full. Nothing was half written and no key left; free some "
                    "space, the KME goes on by itself."
                )
            case apsw.CorruptError() | apsw.NotADBError():
                return (
                    f"key store {self._path} is damaged. Do not restore an old copy: it would give keys out twice. "
                    "Move the file away and start again; new keys come from the links."
                )
            case apsw.IOError() | apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.BusyError() | OSError():
                return f"key store {self._path} cannot be used: {error}. Look at the disk and the rights of the folder."
        return None
