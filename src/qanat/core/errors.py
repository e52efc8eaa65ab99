"""Errors that speak: the class docstring is the message, fields carry the numbers."""

from __future__ import annotations

import inspect


class QanatError(Exception):
    """Something went wrong. The sentence after this one says what, why and what to do next."""

    exit_code = 1

    def __init__(self, detail: str = "", **fields: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields

    @property
    def summary(self) -> str:
        """The class docstring as one line of prose."""
        return " ".join(inspect.cleandoc(type(self).__doc__ or "").split())

    def __str__(self) -> str:
        return f"{self.detail}\n{self.summary}" if self.detail else self.summary


class MisuseError(QanatError):
    """The command or call cannot be understood as given. See `qanat COMMAND --help`."""

    exit_code = 2


class EnvironmentProblem(QanatError):
    """The machine does not allow this now (port, file, disk, right or missing part). `qanat doctor`
    looks at the usual causes."""

    exit_code = 3


class NetworkFileError(MisuseError):
    """The network file has errors; all of them are listed, each with its place. Mend them and run
    `qanat check FILE` again."""

    @property
    def problems(self) -> list[object]:
        """One ``core.netfile.Problem`` per error, in the order of the file."""
        listed = self.fields.get("problems", ())
        return list(listed) if isinstance(listed, tuple) else []


class LocalProtocolError(QanatError):
    """We used an engine in a way that its state does not allow. This is a bug on our side."""


class RemoteProtocolError(QanatError):
    """The peer sent something that the protocol does not allow. The session ends; nothing it sent is
    used as key."""


class AuthenticationFailed(RemoteProtocolError):
    """A message authentication tag does not match. Either the two ends do not share the same secret or
    somebody changed a message on the way. Nothing of this batch is used as key."""


class SecretExhausted(QanatError):
    """The secret pool has too few bits left for this. More arrive with the next key block; a link that
    never made one needs a new pre-shared secret."""


class LightEnded(QanatError):
    """The recording has no more pulse blocks. What was seen up to its end is used."""


class KeyUnavailable(QanatError):
    """Not enough key is stored for this pair of SAEs yet. Ask for fewer or shorter keys, or retry after
    the time given; `qanat link list` shows which links are producing."""
