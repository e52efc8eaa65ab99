"""The client of ETSI GS QKD 014: an application asks the KME of its own site for keys.

What goes out, what comes back and when a request may be repeated stand in ``calls.py``, ``answers.py`` and
``retry.py``; this file and ``async_client.py`` only carry bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.sae.answers import KmeStatus, error_from_answer
from qanat.sae.calls import Call, Extensions, ResultT, dec_keys_call, enc_keys_call, status_call
from qanat.sae.connection import KmeConnection
from qanat.sae.errors import AnswerLost, KmeNotTrusted, KmeUnreachable
from qanat.sae.http import Answer, request_bytes
from qanat.sae.keys import DeliveredKey
from qanat.sae.places import CONNECT_S_MAX, Places, Search, addresses
from qanat.sae.retry import Attempts, KmePromise
from qanat.sae.setting import sae_id_in
from qanat.sae.tls import client_context

TIMEOUT_S = 10.0


class KeyDeliveryClient:
    """Fetches keys over mutual TLS, on one connection that is kept alive. Not for several threads at once.

    Args:
        base_url: ``https://host:port``; or give ``host`` and ``port``. A site whose KME has several instances has
            several: give them all, and the calls go to whichever serves.
        certfile, keyfile: The SAE's certificate and unencrypted private key, PEM.
        cafile: The CA of the network.
        timeout_s: For the connection, and again for each answer. Of several addresses, each has at most a second for
            its connection, and the search for the one that serves lasts so long.
        sae_id: Ours; read from the certificate when not given.
        redelivery: Ask again when an answer is lost, at a KME that then gives the same keys (its network file
            sets ``policy.redelivery_s``). At any other KME nothing is asked twice.

    Attributes:
        burned_max: Keys that may have been spent for nothing in this client's life.

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
        base_url: str | Sequence[str] | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
        timeout_s: float = TIMEOUT_S,
        sae_id: SaeId | None = None,
        redelivery: bool = False,
    ) -> None:
        where = addresses(base_url, host, port)
        connect_s = timeout_s if len(where) == 1 else min(timeout_s, CONNECT_S_MAX)
        context = client_context(certfile=certfile, keyfile=keyfile, cafile=cafile)
        self._certfile = Path(certfile)
        self._chosen_id = sae_id
        self._places = Places(
            [
                KmeConnection(host=host, port=port, context=context, timeout_s=timeout_s, connect_s=connect_s)
                for host, port in where
            ]
        )
        self._timeout_s = timeout_s
        self._promise, self._wants_redelivery = KmePromise(), redelivery
        self.burned_max = 0

    def __enter__(self) -> KeyDeliveryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Be connected now, where the first request would do it: to learn early whether this KME can be reached.

        Raises:
            KmeUnreachable, KmeNotTrusted, OurCertificateRefused
        """
        self._connection.open()

    def close(self) -> None:
        for connection in self._places:
            connection.close()

    @property
    def _connection(self) -> KmeConnection:
        return self._places.now

    @cached_property
    def sae_id(self) -> SaeId:
        """Who we are, as our certificate says.

        Raises:
            CertificateUnusable: it is not a qanat certificate; give ``sae_id`` then.
        """
        return self._chosen_id or sae_id_in(self._certfile)

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
        return self._result(status_call(slave))

    def enc_keys(
        self,
        slave: SaeId,
        number: int = 1,
        size_bits: int | None = None,
        *,
        additional_slaves: Iterable[SaeId] = (),
        extension_mandatory: Extensions | None = None,
        extension_optional: Extensions | None = None,
    ) -> list[DeliveredKey]:
        """New keys to share with ``slave``. For a lost answer see ``AnswerLost``.

        Args:
            size_bits: None is the KME's default key size.
            additional_slaves: Others who may fetch the same keys; a KME's status says how many it allows.

        Raises:
            KeysNotReady: too few are stored now; it carries ``retry_after_ms``.
            NotEntitled, RequestRefused, CalledTooOften, AnswerLost, and what the connection raises.
        """
        us = self.sae_id  # before the keys are taken: a certificate that names nobody fails here
        call = enc_keys_call(
            us,
            slave,
            number,
            size_bits,
            additional_slaves=additional_slaves,
            extension_mandatory=extension_mandatory,
            extension_optional=extension_optional,
        )
        return self._result(call)

    def dec_keys(self, master: SaeId, key_ids: Iterable[KeyId]) -> list[DeliveredKey]:
        """The keys that ``master`` got under these IDs, in the order asked for.

        Raises:
            KeysNotFound: at least one is not there; then none was taken.
            NotEntitled, RequestRefused, CalledTooOften, AnswerLost, and what the connection raises.
        """
        return self._result(dec_keys_call(self.sae_id, master, key_ids))

    def key_of(self, master: SaeId, key_id: KeyId) -> DeliveredKey:
        """One key by ID."""
        return self.dec_keys(master, [key_id])[0]

    def _result(self, call: Call[ResultT]) -> ResultT:
        if call.key_count and self._wants_redelivery and self._promise.window_s is None:
            self._answer(status_call(call.other))  # whatever it says, its header tells what this KME keeps
        answer = self._answer(call)
        if answer.status_code != 200:
            raise error_from_answer(answer, self._connection.address)
        return call.read(answer.body)

    def _answer(self, call: Call[ResultT]) -> Answer:
        began_s = time.monotonic()
        attempts = Attempts(call.key_count, self._promise, self._wants_redelivery, began_s)
        search = Search(self._places.count, began_s + self._timeout_s)
        try:
            while True:
                was_reused, connection = False, self._connection
                try:
                    was_reused = connection.open()
                    head = attempts.headers()
                    request = request_bytes(call.verb, connection.address, call.path, call.body, head)
                    answer = connection.exchange(request)
                except QanatError as error:
                    now_s = time.monotonic()
                    if isinstance(error, KmeUnreachable | AnswerLost):
                        self._places.leave(connection)
                    pause_s = search.after(error, attempts, now_s)
                    if pause_s is None:
                        pause_s = attempts.after(error, was_reused=was_reused, now_s=now_s)
                    time.sleep(pause_s)
                    continue
                attempts.succeeded(answer)
                return answer
        except BaseException as error:
            self.burned_max += attempts.burned_by(error)
            raise
