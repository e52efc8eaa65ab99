"""The client of ETSI GS QKD 014: an application asks the KME of its own site for keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlsplit

from qanat.core.errors import MisuseError
from qanat.core.ids import KeyId, SaeId
from qanat.sae.answers import KmeStatus, container_from_json, error_from_answer, status_from_json
from qanat.sae.connection import Answer, KmeConnection, client_context
from qanat.sae.errors import CertificateUnusable, KmeNotTrusted, KmeSpokeNonsense
from qanat.sae.keys import DeliveredKey

DEFAULT_PORT = 443
TIMEOUT_S = 10.0


class KeyDeliveryClient:
    """Fetches keys over mutual TLS, on one connection that is kept alive. Not for several threads at once.

    Args:
        base_url: ``https://host:port``; or give ``host`` and ``port``.
        certfile, keyfile: The SAE's certificate and unencrypted private key, PEM.
        cafile: The CA of the network.
        sae_id: Ours; read from the certificate when not given.

    Raises:
        MisuseError: the address cannot be understood.
        CertificateUnusable: a file cannot be used.

    Example (alice's and bob's clients, each to its own KME)::

        sent = alice.enc_keys(SaeId("bob"))[0]
        got = bob.dec_keys(SaeId("alice"), [sent.key_id])[0]
        assert got.bits == sent.bits
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
        timeout_s: float = TIMEOUT_S,
        sae_id: SaeId | None = None,
    ) -> None:
        where = _address(base_url, host, port)
        context = client_context(certfile=certfile, keyfile=keyfile, cafile=cafile)
        self._certfile = Path(certfile)
        self._chosen_id = sae_id
        self._connection = KmeConnection(host=where[0], port=where[1], context=context, timeout_s=timeout_s)

    def __enter__(self) -> KeyDeliveryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @cached_property
    def sae_id(self) -> SaeId:
        """Who we are, as our certificate says.

        Raises:
            CertificateUnusable: it is not a qanat certificate; give ``sae_id`` then.
        """
        return self._chosen_id or _sae_id_in(self._certfile)

    @property
    def kme_id(self) -> str:
        """Who the KME is, from its certificate, as clause 5.1 of the standard demands.

        Raises:
            KmeNotTrusted: the certificate names no KME.
        """
        found = self._connection.kme_id()
        if found is None:
            raise KmeNotTrusted(f"The certificate of {self._connection.address} names no KME.")
        return found

    def status(self, slave: SaeId) -> KmeStatus:
        """How many keys wait for this pair, and the KME's limits.

        Raises:
            NotEntitled, RequestRefused, and what the connection raises (``errors.py``).
        """
        answer = self._call("GET", slave, "status", None, takes_keys=False)
        return status_from_json(answer.body)

    def enc_keys(
        self,
        slave: SaeId,
        number: int = 1,
        size_bits: int | None = None,
        *,
        extension_mandatory: list[dict[str, object]] | None = None,
        extension_optional: list[dict[str, object]] | None = None,
    ) -> list[DeliveredKey]:
        """New keys to share with ``slave``. Sent once: see ``AnswerLost``.

        Args:
            size_bits: None is the KME's default key size.

        Raises:
            KeysNotReady: too few are stored now; it carries ``retry_after_ms``.
            NotEntitled, RequestRefused, CalledTooOften, AnswerLost, and what the connection raises.
        """
        wanted: dict[str, object] = {"number": number}
        if size_bits is not None:
            wanted["size"] = size_bits
        if extension_mandatory:
            wanted["extension_mandatory"] = extension_mandatory
        if extension_optional:
            wanted["extension_optional"] = extension_optional
        us = self.sae_id  # before the keys are taken: a certificate that names nobody fails here
        answer = self._call("POST", slave, "enc_keys", wanted, takes_keys=True)
        keys = container_from_json(answer.body, master=us, slave=slave)
        if len(keys) != number or len({key.key_id for key in keys}) != number:
            raise KmeSpokeNonsense(f"{number} keys were asked for, {len(keys)} came.")
        if size_bits is not None and any(key.bits.size_bits != size_bits for key in keys):
            raise KmeSpokeNonsense(f"Keys of {size_bits} bits were asked for, others came.")
        return keys

    def dec_keys(self, master: SaeId, key_ids: Iterable[KeyId]) -> list[DeliveredKey]:
        """The keys that ``master`` got under these IDs, in the order asked for. Sent once.

        Raises:
            KeysNotFound: at least one is not there; then none was taken.
            NotEntitled, RequestRefused, CalledTooOften, AnswerLost, and what the connection raises.
        """
        asked = list(key_ids)
        us = self.sae_id
        wanted = {"key_IDs": [{"key_ID": str(key_id)} for key_id in asked]}
        answer = self._call("POST", master, "dec_keys", wanted, takes_keys=True)
        keys = {key.key_id: key for key in container_from_json(answer.body, master=master, slave=us)}
        if set(keys) != set(asked):
            raise KmeSpokeNonsense("Other keys came than those asked for.")
        return [keys[key_id] for key_id in asked]

    def key_of(self, master: SaeId, key_id: KeyId) -> DeliveredKey:
        """One key by ID: what ``seal.open_file`` wants as its ``key_lookup``."""
        return self.dec_keys(master, [key_id])[0]

    def _call(self, verb: str, sae: SaeId, method: str, body: object, *, takes_keys: bool) -> Answer:
        path = f"/api/v1/keys/{quote(sae, safe='')}/{method}"
        data = None if body is None else json.dumps(body).encode()
        answer = self._connection.call(verb, path, data, takes_keys=takes_keys)
        if answer.status_code != 200:
            raise error_from_answer(answer, self._connection.address)
        return answer


def _address(base_url: str | None, host: str | None, port: int | None) -> tuple[str, int]:
    if (base_url is None) == (host is None):
        raise MisuseError("Give the KME's address as base_url, or as host and port.")
    if base_url is None:
        assert host is not None
        return host, port or DEFAULT_PORT
    try:
        parts = urlsplit(base_url)
        if parts.scheme == "https" and parts.hostname and not parts.path.strip("/"):
            return parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:  # a port that is none, a bracket that is not closed
        pass
    raise MisuseError(f"{base_url!r} is not the address of a KME; write https://host:port")


def _sae_id_in(certfile: Path) -> SaeId:
    import ssl

    from qanat.core.errors import QanatError
    from qanat.crypto.identity import CertificateRole, identity_from_der

    try:
        text = certfile.read_text("ascii")
        leaf = text[text.index(ssl.PEM_HEADER) : text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]  # a chain may follow
        identity = identity_from_der(ssl.PEM_cert_to_DER_cert(leaf))
    except (OSError, ValueError, QanatError):
        raise CertificateUnusable(f"{certfile} does not say which SAE it is for.") from None
    if identity.role is not CertificateRole.SAE:
        raise CertificateUnusable(f"{certfile} is the certificate of a {identity.role.value}, not of an SAE.")
    return SaeId(identity.name)
