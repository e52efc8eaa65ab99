"""What may go wrong between an application and its KME."""

from __future__ import annotations

from qanat.core.errors import EnvironmentProblem, KeyUnavailable, QanatError, RemoteProtocolError


class KeysNotReady(KeyUnavailable):
    """Not enough key is stored for this pair of SAEs yet. Ask for fewer or shorter keys, or retry after
    the time given; `qanat link list` shows which links are producing."""

    @property
    def retry_after_ms(self) -> int | None:
        """What the KME advises; None when it gives no time."""
        value = self.fields.get("retry_after_ms")
        return value if isinstance(value, int) else None


class CalledTooOften(QanatError):
    """The KME limits how often one application may call. Wait as long as it says, or ask for several keys in
    one call."""

    @property
    def retry_after_ms(self) -> int | None:
        value = self.fields.get("retry_after_ms")
        return value if isinstance(value, int) else None


class NotEntitled(QanatError):
    """The KME knows this application and refuses it: the network file has no demand that names this pair of
    SAEs, or the keys asked for belong to other SAEs. Check the SAE IDs and the certificate in use."""


class KeysNotFound(QanatError):
    """The KME does not have one or more of these keys. Each SAE gets a key once: it may have been fetched
    before, have expired, or its link was condemned by an alarm. Ask the master SAE for a new key."""


class RequestRefused(QanatError):
    """The KME cannot do what was asked. Its status shows the limits (key sizes, keys per request)."""


class AnswerLost(QanatError):
    """The connection broke after the request had gone out, so the KME may already have taken keys for it. Such
    keys are never handed out again. Ask anew when one set of keys may be spent for nothing, or give the network
    file a `policy.redelivery_s`."""

    @property
    def burned_max(self) -> int:
        """How many keys may be spent for nothing; 0 when the request takes none."""
        value = self.fields.get("burned_max")
        return value if isinstance(value, int) else 0


class KmeSpokeNonsense(RemoteProtocolError):
    """The KME's answer does not follow ETSI GS QKD 014. Nothing in it is used as key. Check that the address
    is the one of a KME's key delivery interface."""


class KmeUnreachable(EnvironmentProblem):
    """No KME answers at this address. Check the address, and whether the network runs (`qanat status`)."""


class KmeNotTrusted(EnvironmentProblem):
    """The server's certificate was not accepted, so nothing was asked of it. Use the CA file of the network that
    the KME belongs to; `qanat up` renews certificates that expire."""


class OurCertificateRefused(EnvironmentProblem):
    """The KME did not accept the certificate we showed. Use the certificate and key that this network's own CA
    made for the SAE; `qanat up` renews those that expire."""


class CertificateUnusable(EnvironmentProblem):
    """A certificate or key file cannot be used. The three files are the CA, the SAE's certificate and its
    unencrypted private key, all in PEM."""
