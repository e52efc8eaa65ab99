"""One question to a PKCS#11 token, asked in a process of its own: ``python -m qanat.node.token.worker``.

The maker's library is foreign code: it may crash, hang, start threads, or remember the slots as they were. Here it can
do so without taking a KME with it, and never sees a key of the store. The question comes on standard input and the
answer leaves on standard output, both pipes to the one process that asked; PIN and root key travel nowhere else.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec

KEY_BITS = 256


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """``verb`` is "create" (a key, then as "root"), "root" or "destroy".

    Attributes:
        key_id: CKA_ID of the key; we draw it, so that no label can be mistaken.
        message: What the key authenticates; the tag is the root key.
        is_last_try_allowed: Also where one more wrong PIN locks the token.
    """

    verb: str
    module: str
    token: str
    serial: str
    key: str
    key_id: bytes
    message: bytes
    pin: str
    is_last_try_allowed: bool

    def __repr__(self) -> str:
        return f"<Question {self.verb}>"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """``problem`` is empty or one of the words that ``device.py`` puts into sentences."""

    problem: str = ""
    detail: str = ""
    root: bytes = b""
    serial: str = ""

    def __repr__(self) -> str:
        return f"<Answer {self.problem}>"


class _Refused(Exception):
    """A problem that no function of the library reported."""


# What PKCS#11 calls it, and the word for it. Whatever is not here is "other", by its name.
_PROBLEMS = {
    "NoSuchToken": "no token",
    "MultipleTokensReturned": "many tokens",
    "TokenNotRecognised": "no token",
    "TokenNotPresent": "gone",
    "DeviceRemoved": "gone",
    "DeviceError": "gone",
    "PinIncorrect": "wrong pin",
    "PinInvalid": "wrong pin",
    "PinLenRange": "wrong pin",
    "PinLocked": "locked",
    "PinExpired": "pin expired",
    "UserPinNotInitialized": "no pin set",
    "NoSuchKey": "no key",
    "MultipleObjectsReturned": "many keys",
    "MechanismInvalid": "cannot",
    "KeyTypeInconsistent": "cannot",
    "TemplateInconsistent": "cannot",
    "TokenWriteProtected": "read only",
}


def main() -> int:
    from qanat.node.processes.hardening import harden  # noqa: PLC0415 - only where a process begins

    harden()
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    answers = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not garble the answer
    answer = answered(question)
    with os.fdopen(answers, "wb") as out:
        out.write(msgspec.json.encode(answer))
    return 0


def answered(question: Question) -> Answer:
    """Ask the token. Every failure is an answer, so that no traceback can carry a PIN."""
    try:
        import pkcs11  # noqa: PLC0415 - an optional extra
    except ImportError:
        return Answer(problem="no extra")
    try:
        library = pkcs11.lib(question.module)
    except Exception as error:
        return Answer(problem="no module", detail=type(error).__name__)
    serial = ""
    try:
        token = library.get_token(
            token_label=question.token, **({"token_serial": question.serial.encode()} if question.serial else {})
        )
        serial = token.serial.decode("ascii", "replace").strip("\0 ")
        _check_tries(pkcs11, token, question)
        with token.open(user_pin=question.pin, rw=question.verb != "root") as session:
            return Answer(root=_VERBS[question.verb](pkcs11, session, question), serial=serial)
    except _Refused as refused:
        return Answer(problem=str(refused), serial=serial)
    except Exception as error:
        name = type(error).__name__
        return Answer(problem=_PROBLEMS.get(name, "other"), detail=name, serial=serial)


def _check_tries(pkcs11: Any, token: Any, question: Question) -> None:
    if token.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
        raise _Refused("locked")
    if token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY and not question.is_last_try_allowed:
        raise _Refused("last try")


def _create(pkcs11: Any, session: Any, question: Question) -> bytes:
    """A key that stays on the token and does one thing: HMAC."""
    attribute = pkcs11.Attribute
    forbidden = (
        attribute.EXTRACTABLE, attribute.ENCRYPT, attribute.DECRYPT, attribute.WRAP, attribute.UNWRAP, attribute.DERIVE,
        attribute.VERIFY,
    )  # fmt: skip
    demanded = (attribute.PRIVATE, attribute.SENSITIVE, attribute.SIGN)
    session.generate_key(
        pkcs11.KeyType.GENERIC_SECRET,
        KEY_BITS,
        mechanism=pkcs11.Mechanism.GENERIC_SECRET_KEY_GEN,
        label=question.key,
        id=question.key_id,
        store=True,
        template=dict.fromkeys(demanded, True) | dict.fromkeys(forbidden, False),
    )
    return _root(pkcs11, session, question)


def _root(pkcs11: Any, session: Any, question: Question) -> bytes:
    key = _key(pkcs11, session, question)
    if key[pkcs11.Attribute.EXTRACTABLE] or not key[pkcs11.Attribute.SENSITIVE]:
        raise _Refused("extractable")  # some tokens pass over what a template asks
    return bytes(key.sign(question.message, mechanism=pkcs11.Mechanism.SHA256_HMAC))


def _destroy(pkcs11: Any, session: Any, question: Question) -> bytes:
    _key(pkcs11, session, question).destroy()
    return b""


def _key(pkcs11: Any, session: Any, question: Question) -> Any:
    return session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=question.key_id)


_VERBS = {"create": _create, "root": _root, "destroy": _destroy}

if __name__ == "__main__":
    sys.exit(main())
