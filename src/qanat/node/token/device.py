"""A site's token as the rest of the node sees it: it makes a key, computes a root key from it, destroys it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgspec

from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.node.kek import TokenKey
from qanat.node.token.settings import PinRefused, TokenProblem, TokenSettings
from qanat.node.token.worker import Answer, Question

PATIENCE_S = 60.0  # a smart card draws a key in seconds; a network HSM fails over in tens
_KEY_ID_BYTES = 16
_SALT_BYTES = 32
_ROOT_BYTES = 32

_SENTENCES = {
    "no extra": "the package python-pkcs11 is not installed. Run `pip install 'qanat[pkcs11]'`.",
    "no module": "{module} is no PKCS#11 module that loads here ({detail}). Check it with the tools of its maker.",
    "no token": "no token {token} is there for {module}. Plug it in, or mend its label or serial number in kek.toml.",
    "many tokens": "several tokens are called {token}. Say which one by `serial` in kek.toml.",
    "gone": "token {token} does not answer ({detail}). Plug it in again.",
    "wrong pin": "token {token} refused the PIN.",
    "locked": "token {token} is locked after too many wrong PINs. Its security officer can unlock it.",
    "last try": "one more wrong PIN locks token {token}, so the file's is not tried. Log in once with the tools of its "
    "maker and the right PIN; that resets the count.",
    "pin expired": "the PIN of token {token} has expired. Set a new one with the tools of its maker.",
    "no pin set": "token {token} has no user PIN yet. Set one with the tools of its maker.",
    "no key": "token {token} (serial {serial}) has no key {key_id}, under which the KEK is sealed: it was made on "
    "token {made_on}. Plug in that one or a copy of it. If the key is gone everywhere, so are the keys in the store.",
    "many keys": "token {token} has more than one key {key_id}. Remove the copies with the tools of its maker.",
    "cannot": "token {token} cannot make or use the key it would need ({detail}): CKM_GENERIC_SECRET_KEY_GEN and "
    "CKM_SHA256_HMAC. Take another token, or shares.",
    "read only": "token {token} is write-protected, so no key can be made on it or removed.",
    "extractable": "token {token} gives its key {key_id} out of hand (it is extractable or not sensitive), so it "
    "guards nothing. Take another token, or shares.",
    "crashed": "the PKCS#11 module {module} crashed ({detail}). The KME is unharmed; see its maker's notes.",
    "slow": "the PKCS#11 module {module} gave no answer for {detail}. See whether its token can be reached.",
    "other": "token {token} refused: {detail}.",
}


class Token:
    """The token of one site. Each call is a process and a login, some 0.3 s with SoftHSM; it blocks."""

    def __init__(self, site: SiteId, settings: TokenSettings) -> None:
        self._site = site
        self.settings = settings

    def create(self, pin: SecretBits | None, entropy: Entropy) -> tuple[TokenKey, SecretBits]:
        """A new key on the token, and the root key it computes.

        Args:
            pin: As typed; None takes it from its file. The same below.

        Raises:
            TokenProblem: in words.
        """
        key = TokenKey(
            token=self.settings.token,
            serial=self.settings.serial,
            key_id=entropy.random_bytes(_KEY_ID_BYTES).hex(),
            salt=entropy.random_bytes(_SALT_BYTES).hex(),
        )
        answer = self._ask("create", key, pin)
        return replace(key, serial=answer.serial), _root(answer)

    def root(self, key: TokenKey, pin: SecretBits | None) -> SecretBits:
        """The root key again. Raises: TokenProblem."""
        return _root(self._ask("root", key, pin))

    def destroy(self, key: TokenKey, pin: SecretBits | None) -> None:
        """What it computed is gone for good. Raises: TokenProblem."""
        self._ask("destroy", key, pin)

    def _ask(self, verb: str, key: TokenKey, typed: SecretBits | None) -> Answer:
        settings = self.settings
        pin = settings.pin() if typed is None else typed
        question = Question(
            verb=verb,
            module=settings.module,
            token=settings.token,
            serial=settings.serial,
            key=settings.key,
            key_id=bytes.fromhex(key.key_id),
            message=self._message(key),
            pin=pin.reveal().decode("utf-8", "replace"),  # to the process that logs in
            is_last_try_allowed=typed is not None,
        )
        answer = _answer(question)
        if answer.problem == "wrong pin" and typed is None:
            settings.note_refusal()
        if answer.problem:
            raise self._told(answer, key)
        if typed is None:
            settings.forget_refusal()
        return answer

    def _message(self, key: TokenKey) -> bytes:
        """SP 800-108r1, 4.1: counter mode with HMAC-SHA256, of which 256 bits are the first and only block."""
        context = f"{self._site}/{key.key_id}/{key.salt}".encode()
        return (1).to_bytes(4) + b"qanat kek root\x00" + context + (8 * _ROOT_BYTES).to_bytes(4)

    def _told(self, answer: Answer, key: TokenKey) -> TokenProblem:
        kind = PinRefused if answer.problem == "wrong pin" else TokenProblem
        sentence = _SENTENCES[answer.problem].format(
            module=self.settings.module,
            token=self.settings.token,
            detail=answer.detail,
            serial=answer.serial or "unknown",
            key_id=key.key_id,
            made_on=f"{key.token}, serial {key.serial}",
        )
        return kind(f"{self._site}: {sentence}")


def _root(answer: Answer) -> SecretBits:
    if len(answer.root) != _ROOT_BYTES:
        raise TokenProblem(f"the token computed {len(answer.root)} bytes where HMAC-SHA256 has {_ROOT_BYTES}")
    return SecretBits(answer.root)


def _answer(question: Question) -> Answer:
    command = [sys.executable, "-P", "-m", "qanat.node.token.worker"]
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(question),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a maker's library prints is nobody's to vouch for
            timeout=PATIENCE_S,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=Answer)
    except subprocess.TimeoutExpired:
        return Answer(problem="slow", detail=f"{PATIENCE_S:.0f} s")
    except msgspec.DecodeError:
        return Answer(problem="crashed", detail=f"exit code {done.returncode}")
