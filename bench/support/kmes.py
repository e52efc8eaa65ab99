"""Live KMEs of a chain of sites as operating-system processes, fed with key blocks over their own sockets.

The QKD modules are played by this process: it draws random bits and hands the same block to the KMEs at both ends of a
link over Kq-1, as a module does. Everything above is what `qanat up --isolate` runs: mutual TLS, encrypted durable
stores, the messages between KMEs. There is no hub.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from qanat.core.ids import BlockId, LinkId, SaeId, SiteId
from qanat.core.netfile import network_from_toml
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.records import KeyBlock
from qanat.core.secret import SecretBits
from qanat.node.instance import all_instances, instances_of, site_of, standbys
from qanat.node.kek import kek_path
from qanat.node.messages import KQ1, KeyBlockStored, message_from_key_block
from qanat.node.pki import Credentials, provision, sae_credentials
from qanat.node.processes.config import ChildConfig, hub_socket, kq1_socket
from qanat.node.statedir import StateDir
from qanat.node.store.choice import choice_path
from qanat.node.supervisor import choose_ports

BLOCK_BYTES = 65_536  # half a megabit: a busy link's key block


def network_text(n_sites: int, pairs: int, key_size_bits: int = 256, kme_count: int = 1) -> str:
    """A chain of sites; application pairs between its ends. ``kme_count`` is of the first site."""
    names = [f"site{index}" for index in range(n_sites)]
    lines = ['name = "bench"', "simulation = true"]
    for index, name in enumerate(names):
        lines.append(f'[[sites]]\nid = "{name}"\nlatitude_deg = 52.5\nlongitude_deg = {13.4 + index / 20}')
        if index == 0:
            lines.append(f"kme_count = {kme_count}")
    for a, b in pairwise(names):
        lines.append(
            f'[[fibres]]\nid = "duct-{a}-{b}"\nbetween = ["{a}", "{b}"]\nlength_km = 5\nattenuation_db_per_km = 0.2'
        )
        lines.append(f'[[links]]\nid = "{a}-{b}"\nfrom = "{a}"\nto = "{b}"\nfibre = "duct-{a}-{b}"')
    for index in range(pairs):
        lines.append(f'[[saes]]\nid = "m{index}"\nsite = "{names[0]}"\n[[saes]]\nid = "s{index}"\nsite = "{names[-1]}"')
        lines.append(f'[[demands]]\nbetween = ["m{index}", "s{index}"]\nrate_bits_per_s = 1000')
    lines.append(f"[policy]\nkey_size_bits = {key_size_bits}\nbuffer_keys = 4096\nstore_bits_max = 1000000000")
    return "\n".join(lines)


@dataclass
class LiveKmes:
    """One process per site, or per instance of its KME (``site0@2``). Use as a context manager.

    Each further instance has a state directory of its own with nothing but what a second machine would be given:
    its node's folder, the KEK, store.toml, and the certificates of the CAs.

    ``databases`` has the text of store.toml by site, for those whose keys lie on a PostgreSQL server.
    """

    folder: Path
    n_sites: int = 2
    pairs: int = 8
    text: str = ""  # a network file, in place of the chain
    databases: dict[str, str] = field(default_factory=dict)
    popens: dict[SiteId, subprocess.Popen[bytes]] = field(default_factory=dict)
    _next: int = 0

    def __post_init__(self) -> None:
        self.network = network_from_toml(self.text or network_text(self.n_sites, self.pairs))
        self.state = StateDir(self.folder / "state")
        provision(self.state, self.network, datetime.now(UTC))
        self.ports = choose_ports(self.network)
        for site, table in self.databases.items():
            choice_path(self.state, SiteId(site)).write_text(table)
        self.states = dict.fromkeys(self.network.sites, self.state)
        for instance in standbys(self.network):
            self.states[instance] = self._apart(instance)
        names = [hub_socket(), *(kq1_socket(name) for name in all_instances(self.network))]
        self.sockets = {name: str(self.state.socket_path(name)) for name in names}

    def _apart(self, instance: SiteId) -> StateDir:
        """Take an instance to a state directory of its own."""
        here, there = self.state, StateDir(self.folder / f"state-{instance}")
        there.prepare()
        shutil.move(here.node(instance), there.node(instance))
        for path in (kek_path(here, site_of(instance)), choice_path(here, site_of(instance))):
            shutil.copy2(path, there.node(instance) / path.name)
        for ca in ("ca", "ca-applications"):
            (there.path / ca).mkdir(mode=0o700, exist_ok=True)
            shutil.copy2(here.path / ca / "cert.pem", there.path / ca / "cert.pem")
        return there

    def __enter__(self) -> LiveKmes:
        for instance in all_instances(self.network):
            self.start(instance)
        return self

    def __exit__(self, *_: object) -> None:
        for popen in self.popens.values():
            popen.terminate()
        for popen in self.popens.values():
            popen.wait(10)

    def start(self, site: SiteId) -> None:
        """Start one KME and wait until it serves, or stands by."""
        self.popens[site] = self.started("kme", [site], self.states[site], str(site))

    def started(
        self, process: str, sites: list[SiteId] | None = None, state: StateDir | None = None, name: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start a process of this network, the hub or the registrar for example, and wait until it is ready."""
        config = ChildConfig(
            process=process,
            network=self.network,
            state=str((state or self.state).path),
            ports=self.ports,
            sockets=self.sockets,
            sites=sites or [],
        )
        path = self.state.logs / f"{name or process}.log"
        with path.open("ab") as log:
            words = [sys.executable, "-m", "qanat.node.processes", process]
            popen = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert popen.stdin is not None
        assert popen.stdout is not None
        popen.stdin.write(msgspec.json.encode(config) + b"\n")
        popen.stdin.flush()
        if not popen.stdout.readline().startswith(b"ready"):
            raise SystemExit(path.read_text()[-2000:])
        return popen

    def kill(self, site: SiteId) -> None:
        """kill -9."""
        self.popens[site].kill()
        self.popens[site].wait()

    def feed(self, link: LinkId, count: int) -> None:
        """Hand ``count`` key blocks to both ends of a link; returns when both have stored them."""
        blocks = []
        for _ in range(count):
            self._next += 1
            blocks.append(
                KeyBlock(
                    link=link,
                    block=BlockId(f"{link}/{self._next}/{secrets.token_hex(4)}"),
                    start_ns=self._next * 10**9,
                    end_ns=(self._next + 1) * 10**9,
                    bits=SecretBits(os.urandom(BLOCK_BYTES)),
                    provenance=Provenance(
                        origin=Origin.QKD,
                        links=(link,),
                        authentication=Authentication.PRE_SHARED,
                        epsilon_total=2e-10,
                        simulated=True,
                    ),
                )
            )
        for site in self.network.links[link].sites:
            self._hand_over(site, blocks)
        for block in blocks:
            block.bits.wipe()

    @property
    def next_start_ns(self) -> int:
        """Link time at which the next block begins."""
        return (self._next + 1) * 10**9

    def _hand_over(self, site: SiteId, blocks: list[KeyBlock]) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.sockets[kq1_socket(self.serving(site))])
            stream = line.makefile("rwb")
            for block in blocks:
                frame = KQ1.encode(message_from_key_block(block))
                stream.write(len(frame).to_bytes(4) + frame)
                stream.flush()
                answer = KQ1.decode(stream.read(int.from_bytes(stream.read(4))))
                assert isinstance(answer, KeyBlockStored)

    def health(self, instance: SiteId) -> str:
        """What one of several instances says of itself; "silent" when it says nothing."""
        line = http.client.HTTPConnection("127.0.0.1", self.ports.health[instance], timeout=0.5)
        try:
            line.request("GET", "/health")
            return str(json.load(line.getresponse())["state"])
        except OSError:
            return "silent"
        finally:
            line.close()

    def serving(self, site: SiteId) -> SiteId:
        """The instance of a site's KME that serves now.

        Raises:
            LookupError: none does.
        """
        instances = instances_of(self.network, site)
        if len(instances) == 1:
            return site
        for instance in instances:
            if self.health(instance) == "serving":
                return instance
        raise LookupError(f"no instance of {site} serves")

    def credentials(self, sae: str) -> Credentials:
        return sae_credentials(self.state, SaeId(sae))

    def port(self, site: str) -> int:
        return self.ports.key_delivery[SiteId(site)]

    def ports_of(self, site: str) -> list[int]:
        """Of the instances of its KME, the first one first."""
        return [self.ports.key_delivery[name] for name in instances_of(self.network, SiteId(site))]

    def cpu_s(self, site: SiteId) -> float:
        """User and system time of one KME."""
        words = Path(f"/proc/{self.popens[site].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def pss_mb(self, site: SiteId) -> float:
        """Proportional set size."""
        return self._size_mb(site, "Pss:")

    def own_mb(self, site: SiteId) -> float:
        """Anonymous pages: no other process has a share in them, so none that starts or ends changes the figure."""
        return self._size_mb(site, "Anonymous:")

    def _size_mb(self, site: SiteId, name: str) -> float:
        text = Path(f"/proc/{self.popens[site].pid}/smaps_rollup").read_text()
        return int(text.partition(name)[2].split()[0]) / 1024
