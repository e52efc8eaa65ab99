"""A live network that has every door: two KMEs, the hub, the registrar, routers, operators, and a partner."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from support.kmes import LiveKmes, network_text

from fuzzing.endpoint import Endpoint
from qanat.core.ids import LinkId, SaeId, SiteId
from qanat.crypto.pki import issue, make_ca
from qanat.node.enrolment import enrol
from qanat.node.entropy import SystemEntropy
from qanat.node.holders import OPERATORS
from qanat.node.pki import Credentials, identity_credentials, kme_credentials, registrar_credentials
from qanat.node.skip_psk import add
from qanat.node.supervisor import free_ports

LINK = LinkId("site0-site1")
SITES = (SiteId("site0"), SiteId("site1"))
PUSHED = ("m0", "s0", "m1", "s1", "m2")  # these have a push_url
PARTNER, VAULT = "west", "vault"  # another operator, and its application
OPERATOR_COUNT = 16  # each has twenty calls a second


@dataclass
class Stage:
    """Use as a context manager."""

    folder: Path
    others: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    psks: dict[str, bytes] = field(default_factory=dict)  # secrets by SAE; its identity is "router-<SAE>"

    def __post_init__(self) -> None:
        names = ["site0", "site1", "operators", "applications", "border", "partner", *PUSHED]
        self.places = dict(zip(names, islice(free_ports(), 60, 60 + len(names)), strict=True))
        self.kmes = LiveKmes(self.folder, text=self._text())
        self.state, self.ports = self.kmes.state, self.kmes.ports
        for index in range(OPERATOR_COUNT):
            enrol(self.state, f"op{index}", OPERATORS, days=3, folder=None, csr=None)
        for sae, site in (("m0", SITES[0]), ("s0", SITES[1])):
            self.psks[sae] = add(self.state, site, SaeId(sae), f"router-{sae}", entropy=SystemEntropy()).secret
        self._meet_partner()

    def _text(self) -> str:
        text = network_text(2, 4).replace("[policy]", '[policy]\nskip_psk = "plain"')
        for site in SITES:
            text = text.replace(f'id = "{site}"\nlat', f'id = "{site}"\nadmin = "localhost:{self.places[site]}"\nlat')
        for sae in PUSHED:
            text = text.replace(f'id = "{sae}"\n', f'id = "{sae}"\npush_url = "https://127.0.0.1:{self.places[sae]}"\n')
        spare = "".join(f'\n[[saes]]\nid = "spare{index}"\nsite = "site0"' for index in range(2))
        own, theirs = (f"https://127.0.0.1:{self.places[name]}" for name in ("border", "partner"))
        partner = f'id = "{PARTNER}"\nsite = "site0"\nurl = "{theirs}"\nown_url = "{own}"\npairs = [["m0", "{VAULT}"]]'
        office = "\n".join(f'{name} = "localhost:{self.places[name]}"' for name in ("operators", "applications"))
        return f"{text}{spare}\n[[partners]]\n{partner}\n[registrar]\n{office}\n"

    def _meet_partner(self) -> None:
        """Its CA, and the certificate of its KME."""
        now, folder = datetime.now(UTC), self.folder / "partner"
        folder.mkdir()
        ca, ca_key = make_ca(common_name="another operator", now=now, days=3)
        hosts = ["127.0.0.1"]
        cert, key = issue(ca_cert=ca, ca_key=ca_key, role="kme", identity=PARTNER, hosts=hosts, now=now, days=3)
        for name, data in (("cert.pem", cert), ("key.pem", key)):
            (folder / name).write_bytes(data)
        target = self.state.partner_ca(PARTNER)
        target.parent.mkdir(parents=True)
        target.write_bytes(ca)

    def __enter__(self) -> Stage:
        own = {sae: self.kmes.credentials(sae) for sae in PUSHED} | {"partner": self.partner}
        for index, (name, files) in enumerate(own.items()):
            stranger = self.kmes.credentials("m3")
            self.endpoints[name] = Endpoint(self.places[name], files, stranger, index)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.kmes)
            for name in ("hub", "registrar"):
                self.others[name] = self.kmes.started(name)
                stack.callback(_stop, self.others[name])
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for popen in self.others.values():
            _stop(popen)
        self.kmes.__exit__()
        for endpoint in self.endpoints.values():
            endpoint.close()

    @property
    def partner(self) -> Credentials:
        return Credentials(
            self.folder / "partner/cert.pem", self.folder / "partner/key.pem", self.state.ca / "cert.pem"
        )

    def operator(self, index: int) -> Credentials:
        return identity_credentials(self.state, f"op{index % OPERATOR_COUNT}")

    def strangers(self, door: str) -> list[Credentials]:
        """Good certificates of this network that have no business at this door."""
        kinds = {
            "sae": self.kmes.credentials("m0"),
            "operator": self.operator(0),
            "kme": kme_credentials(self.state, SITES[0]),
            "registrar": registrar_credentials(self.state),
            "partner": self.partner,
        }
        own = {"admin": "operator", "registrar": "operator", "020": "partner"}.get(door, "sae")
        return [files for kind, files in kinds.items() if kind != own]

    def popens(self) -> dict[str, subprocess.Popen[bytes]]:
        return {**{str(site): popen for site, popen in self.kmes.popens.items()}, **self.others}

    def troubles(self) -> list[str]:
        """Lines of logs that no request may bring about."""
        words = ("Traceback", " ERROR ", " CRITICAL ", "never retrieved", "Fatal Python")
        return [
            f"{path.name}: {line[:300]}"
            for path in sorted(self.state.logs.glob("*.log"))
            for line in path.read_text(errors="replace").splitlines()
            if any(word in line for word in words)
        ]


def own_mb(popen: subprocess.Popen[bytes]) -> float:
    """Anonymous pages of a process."""
    text = Path(f"/proc/{popen.pid}/smaps_rollup").read_text()
    return int(text.partition("Anonymous:")[2].split()[0]) / 1024


def _stop(popen: subprocess.Popen[bytes]) -> None:
    popen.terminate()
    popen.wait(10)
