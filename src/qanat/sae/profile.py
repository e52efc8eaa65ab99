"""Who an application is and where its KMEs are: one small file, ``application.toml``, beside its certificate.

The file holds no secret. It names the key file, and a key file that others can read is refused.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId
from qanat.node.privatefile import privacy_problem
from qanat.sae.client import TIMEOUT_S, KeyDeliveryClient
from qanat.sae.errors import CertificateUnusable
from qanat.sae.setting import kme_address, sae_id_in

FILE_NAME = "application.toml"
FILES = ("certfile", "keyfile", "cafile")


class ProfileUnusable(MisuseError):
    """This is no application profile. It is a TOML file with `kmes` (a list of https://host:port), `certfile`,
    `keyfile`, `cafile` and, if you like, `sae`; `qanat sae enroll` writes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one application needs to ask for keys.

    Attributes:
        sae: Its name, as far as told; the certificate decides.
        kmes: The KMEs of its site, the one to ask first first. Not empty.
        certfile, keyfile, cafile: PEM; the key unencrypted and readable by its owner only.
    """

    sae: SaeId | None
    kmes: tuple[str, ...]
    certfile: Path
    keyfile: Path
    cafile: Path

    @property
    def name(self) -> SaeId:
        """Who this is: the certificate's word, or ``sae`` where the certificate is no qanat one and names nobody.

        Raises:
            MisuseError: the two differ.
            CertificateUnusable: neither says.
        """
        try:
            found = sae_id_in(self.certfile)
        except CertificateUnusable:
            if self.sae is None:
                raise
            return self.sae
        if self.sae not in (None, found):
            raise MisuseError(f"{self.certfile} is the certificate of {found}, not of {self.sae}")
        return found


def read_profile(path: str | os.PathLike[str]) -> Profile:
    """A profile from its file; file names in it are relative to its folder.

    Raises:
        ProfileUnusable: it is missing, no TOML, or lacks something.
    """
    try:
        found = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ProfileUnusable(f"{path}: {error.strerror}.") from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise ProfileUnusable(f"{path}: {error}.") from None
    if unknown := sorted(found.keys() - {"sae", "kmes", *FILES}):
        raise ProfileUnusable(f"{path} says {', '.join(unknown)}, which nobody understands.")
    kmes = found.get("kmes")
    if not isinstance(kmes, list) or not kmes or not all(isinstance(url, str) for url in kmes):
        raise ProfileUnusable(f"{path}: kmes is not a list of addresses.")
    for field in (*FILES, *({"sae"} & found.keys())):
        if not isinstance(found.get(field), str) or not found[field]:
            raise ProfileUnusable(f"{path}: {field} is missing or no text.")
    folder = Path(path).parent
    files = {field: folder / Path(found[field]).expanduser() for field in FILES}
    return Profile(sae=SaeId(found["sae"]) if "sae" in found else None, kmes=tuple(kmes), **files)


def profile_text(sae: SaeId, kmes: tuple[str, ...], files: Mapping[str, str]) -> str:
    """The file that ``read_profile`` reads."""
    lines = [
        "# What this application needs to ask its KME for keys: qanat key|seal|open|integrate --profile THIS_FILE",
        f'sae = "{sae}"',
        "kmes = [" + ", ".join(f'"{url}"' for url in kmes) + "] # the first is asked first",
        *(f'{field} = "{files[field]}"' for field in FILES),
    ]
    return "\n".join(lines) + "\n"


def open_client(profile: Profile, *, timeout_s: float = TIMEOUT_S, redelivery: bool = False) -> KeyDeliveryClient:
    """A client of the KMEs in the list; of several, it asks whichever serves.

    Raises:
        MisuseError: an address is none, or certificate and ``sae`` differ.
        CertificateUnusable: a file cannot be used, or others can read the key.
    """
    for url in profile.kmes:
        kme_address(url, None, None)  # all of them: a wrong one is not found out only when the first is down
    check_private(profile.keyfile)
    return KeyDeliveryClient(
        list(profile.kmes),
        certfile=profile.certfile,
        keyfile=profile.keyfile,
        cafile=profile.cafile,
        sae_id=profile.name,
        timeout_s=timeout_s,
        redelivery=redelivery,
    )


def check_private(keyfile: Path) -> None:
    """Raises:
    CertificateUnusable: the key is missing, another user's, or open to others.
    """
    try:
        problem = privacy_problem(keyfile, keyfile.stat())
    except OSError as error:
        problem = f"{keyfile}: {error.strerror}"
    if problem is not None:
        raise CertificateUnusable(f"{problem}.")
