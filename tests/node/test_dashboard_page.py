"""The live page in a real browser, against a real server, fed by a scripted network.

Run this file (``python tests/node/test_dashboard_page.py``) to have the scripted network at
http://127.0.0.1:8470 while working on the page.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from qanat.node.dashboard.app import create_dashboard

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "frontend/node_modules/axe-core/axe.min.js"
CI_OUTPUT = Path(os.environ.get("QANAT_CI_OUTPUT", ROOT / "ci-output"))

SITES = {  # id: name, latitude, longitude, trusted
    "harbour": ("Harbour", 46.212, 6.160, True),
    "campus": ("Campus", 46.302, 6.045, True),
    "exchange": ("Exchange", 46.402, 6.215, True),
    "ridge": ("Ridge", 46.372, 6.480, True),
    "mill": ("Mill", 46.225, 6.560, True),
    "airport": ("Airport", 46.105, 6.395, False),
}
LINKS = {  # id: a, b, km, QBER, secret bit/s
    "harbour-campus": ("harbour", "campus", 14.2, 0.011, 412_000),
    "campus-exchange": ("campus", "exchange", 19.8, 0.012, 298_000),
    "exchange-ridge": ("exchange", "ridge", 24.1, 0.014, 221_000),
    "ridge-mill": ("ridge", "mill", 20.5, 0.013, 280_000),
    "mill-airport": ("mill", "airport", 22.7, 0.016, 190_000),
    "airport-harbour": ("airport", "harbour", 25.4, 0.015, 176_000),
    "harbour-exchange": ("harbour", "exchange", 31.9, 0.018, 98_300),
    "harbour-mill": ("harbour", "mill", 48.6, 0.026, 21_400),
}
PAIRS = [("harbour", "campus"), ("harbour", "ridge"), ("campus", "mill"), ("airport", "exchange")]
ROUTES = {  # pair: links, trusted nodes
    ("harbour", "campus"): (["harbour-campus"], []),
    ("harbour", "ridge"): (["harbour-exchange", "exchange-ridge"], ["exchange"]),
    ("campus", "mill"): (["harbour-campus", "harbour-mill"], ["harbour"]),
    ("airport", "exchange"): (["airport-harbour", "harbour-exchange"], ["harbour"]),
}
DETOURS = {
    ("harbour", "ridge"): (["harbour-campus", "campus-exchange", "exchange-ridge"], ["campus", "exchange"]),
    ("airport", "exchange"): (["airport-harbour", "harbour-campus", "campus-exchange"], ["harbour", "campus"]),
}


class ScriptedNetwork:
    """A source of snapshots whose story the test writes. `tick` lets time pass, the other methods make trouble."""

    def __init__(self, *, seed: int = 2, at_ns: int | None = None) -> None:
        self._luck = random.Random(seed)
        self._at_ns = at_ns
        self.sequence = 1
        self.link_time_ns = 0
        self.eve_on: str | None = None
        self.cut: str | None = None
        self.down: set[str] = set()
        self.is_simulation = True
        self.state = dict.fromkeys(LINKS, "up")
        self.buffer = dict.fromkeys(LINKS, 0)
        self.blocks = dict.fromkeys(LINKS, 0)
        self.stored = dict.fromkeys(PAIRS, 96)
        self.alarms: list[dict[str, Any]] = []
        self.journal: list[dict[str, Any]] = []
        self.totals = {"keys_delivered": 40, "keys_relayed": 12, "bits_quarantined": 0, "burned": 0}

    @property
    def at_ns(self) -> int:
        return time.time_ns() if self._at_ns is None else self._at_ns

    def tick(self, seconds: float = 1.0) -> None:
        if self._at_ns is not None:
            self._at_ns = min(self._at_ns + int(seconds * 1e9), time.time_ns())
        self.link_time_ns += int(seconds * 1e9 / 2.3)
        for link, (_, _, _, _, secret_bps) in LINKS.items():
            if self.state[link] == "up":
                self.buffer[link] = int(self.buffer[link] + secret_bps * seconds / 2.3 * self._luck.uniform(0.2, 1))
                self.buffer[link] = min(self.buffer[link], 14_000_000 + secret_bps * 3)
                self.blocks[link] += self._luck.random() < 0.4
        self.totals["keys_delivered"] += self._luck.randrange(4)
        self.sequence += 1

    def note(self, kind: str, text: str) -> None:
        self.journal.insert(0, {"at_ns": self.at_ns, "kind": kind, "text": text})
        self.sequence += 1

    def alarm(self, link: str, kind: str, evidence: str, *, raised: bool = True) -> None:
        entry = {
            "number": len(self.alarms) + 1,
            "at_ns": self.at_ns,
            "link": link,
            "kind": kind,
            "severity": "critical",
        }
        entry |= {"raised": raised, "statistic": 41.73, "threshold": 17.2, "evidence": evidence}
        self.alarms.insert(0, entry)
        self.state[link] = "alarmed" if raised else "requalifying"
        self.note("alarm", f"{kind} {'raised' if raised else 'over'} on link {link}: {evidence}")

    def intercept(self, link: str) -> None:
        self.eve_on = link
        self.alarm(
            link, "qber", "error rate rose from 0.018 to 0.251 within 2 pulse blocks (1 204 of 4 797 announced bits)"
        )
        self.totals["bits_quarantined"] += self.buffer[link]
        self.buffer[link] = 0
        self.note("command", f"quarantine link {link} since link time 0:03:12 at both ends, because of alarm 1")
        self.note("command", "route harbour → ridge now over campus, exchange")

    def snapshot(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "at_ns": self.at_ns,
            "network": {"name": "metro", "is_simulation": self.is_simulation},
            "link_time_ns": self.link_time_ns,
            "stretch": 2.3,
            "sites": [self._site(site) for site in SITES],
            "links": [self._link(link) for link in LINKS],
            "pairs": [self._pair(pair) for pair in PAIRS],
            "alarms": list(self.alarms),
            "journal": list(self.journal),
            "totals": dict(self.totals),
        }

    async def wait_next(self, last: int) -> int:
        while self.sequence <= last:
            await asyncio.sleep(0.01)
        return self.sequence

    def _site(self, site: str) -> dict[str, Any]:
        name, latitude_deg, longitude_deg, is_trusted = SITES[site]
        return {
            "id": site,
            "name": name,
            "latitude_deg": latitude_deg,
            "longitude_deg": longitude_deg,
            "is_up": site not in self.down,
            "is_trusted": is_trusted,
        }

    def _link(self, link: str) -> dict[str, Any]:
        a, b, length_km, qber, secret_bps = LINKS[link]
        state = "silent" if link == self.cut else self.state[link]
        is_making = state == "up"
        wobble = self._luck.gauss(1, 0.05) + 0.03 * math.sin(self.link_time_ns / 4e10)
        seen = 0.25 * wobble if link == self.eve_on else qber * wobble
        block = {"block": f"{link}/{self.blocks[link]}", "sifted_bits": 131_072, "leak_bits": int(131_072 * (qber * 9))}
        block |= {"secret_bits": int(131_072 * (0.62 - qber * 12)), "qber_x": qber, "phase_error_bound": qber * 1.9}
        block |= {"epsilon_total": 1e-10}
        return {
            "id": link,
            "a": a,
            "b": b,
            "fibre": f"fibre-{link}",
            "length_km": length_km,
            "loss_db": length_km * 0.2 + 0.8,
            "state": state,
            "qber": None if state == "silent" else seen,
            "sifted_bps": None if state == "silent" else secret_bps * 2.7 * wobble,
            "secret_bps": secret_bps * wobble if is_making else None if state == "silent" else 0.0,
            "buffer_bits": self.buffer[link],
            "blocks_made": self.blocks[link],
            "blocks_aborted": 3 if link == self.eve_on else 0,
            "last_block": block if self.blocks[link] else None,
            "attacks": ["intercept-resend, fraction 1.0"] if link == self.eve_on else [],
            "is_cut": link == self.cut,
        }

    def _pair(self, pair: tuple[str, str]) -> dict[str, Any]:
        links, trusted_nodes = ROUTES[pair]
        if {self.eve_on, self.cut} & set(links):
            links, trusted_nodes = DETOURS.get(pair, ([], []))
        state = "served" if links else "no_route"
        stored_keys = self.stored[pair]
        source, target = pair
        return {
            "source": source,
            "target": target,
            "links": links,
            "trusted_nodes": trusted_nodes,
            "stored_keys": stored_keys,
            "state": state if stored_keys >= 64 or not links else "filling",
        }


@contextmanager
def served(source: ScriptedNetwork, *, interval_s: float, port: int = 0) -> Iterator[str]:
    """A uvicorn server on loopback in a thread; its address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        create_dashboard(source, interval_s=interval_s),
        log_level="warning",
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium on PATH; on Debian: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Visit:
    """One open page with what it logged and asked for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        self.address = address
        page.goto(address)
        expect(page.get_by_role("heading", name="Links", exact=True)).to_be_visible()

    def row(self, link: str) -> Any:
        return self.page.locator(f'tr[data-link="{link}"]')

    def tag(self, link: str) -> Any:
        return self.page.locator(f'button.tag[data-link="{link}"]')


@pytest.fixture
def network() -> ScriptedNetwork:
    network = ScriptedNetwork()
    network.tick(20)
    return network


@pytest.fixture
def visit(browser: Browser, network: ScriptedNetwork) -> Iterator[Visit]:
    with served(network, interval_s=0.05) as address:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
        visit = Visit(context.new_page(), address)
        yield visit
        context.close()
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith(visit.address)] == []


def test_the_page_shows_every_link_and_what_is_simulated(visit: Visit) -> None:
    page = visit.page
    expect(page.get_by_text("SIMULATED PHOTONS: these keys are a rehearsal")).to_be_visible()
    expect(page.get_by_text("link time runs 2.3x slower than the clock")).to_be_visible()
    for link, (a, b, *_) in LINKS.items():
        expect(visit.row(link)).to_contain_text(f"{SITES[a][0]} – {SITES[b][0]}")
        expect(visit.tag(link)).to_have_attribute("data-state", "up")
    expect(page.get_by_text("Relayed; trusts Exchange", exact=True)).to_be_visible()
    painted = page.evaluate(
        "() => { const c = document.querySelector('canvas'); "
        "return new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size }"
    )
    assert painted > 50, "the map is blank"


def test_a_network_of_real_photons_has_no_rehearsal_banner(visit: Visit, network: ScriptedNetwork) -> None:
    network.is_simulation = False
    network.tick()
    expect(visit.page.get_by_text("SIMULATED PHOTONS")).to_have_count(0)


def test_an_alarm_appears_without_reloading_with_its_evidence_and_the_new_route(
    visit: Visit, network: ScriptedNetwork
) -> None:
    page = visit.page
    expect(page.get_by_text("No alarm so far.")).to_be_visible()
    network.intercept("harbour-exchange")
    expect(page.locator("#alarms")).to_contain_text("error rate rose from 0.018 to 0.251")
    expect(page.locator("#alarms")).to_contain_text("statistic 41.73 ≥ threshold 17.2")
    expect(visit.tag("harbour-exchange")).to_have_attribute("data-state", "alarmed")
    expect(visit.row("harbour-exchange")).to_contain_text("Alarmed")
    expect(page.locator('[data-pair="harbour/ridge"]')).to_contain_text("trusts Campus, Exchange")
    expect(page.get_by_role("log")).to_contain_text("Alarm raised on Harbour – Exchange")
    expect(page).to_have_title("(1 alarm) metro · qanat")
    network.eve_on = None
    network.alarm("harbour-exchange", "qber", "error rate back at 0.018", raised=False)
    expect(page.locator("#alarms")).to_contain_text("none standing")
    expect(visit.tag("harbour-exchange")).to_have_attribute("data-state", "requalifying")


def test_links_are_picked_by_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    first, second = list(LINKS)[:2]
    visit.tag(first).focus()
    page.keyboard.press("ArrowRight")
    expect(visit.tag(second)).to_be_focused()
    page.keyboard.press("Enter")
    expect(visit.tag(second)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("heading", name="Campus – Exchange")).to_be_visible()
    page.keyboard.press("End")
    page.keyboard.press(" ")
    expect(page.get_by_role("heading", name="Harbour – Mill")).to_be_visible()
    stops = page.locator("button.tag[tabindex='0']")
    expect(stops).to_have_count(1)  # the map is one tab stop, however many links it has
    visit.row(first).get_by_role("button").press("Enter")
    expect(visit.row(first)).to_contain_class("picked")


def test_a_click_on_the_canvas_picks_the_link_under_it(visit: Visit) -> None:
    box = visit.tag("exchange-ridge").bounding_box()
    assert box is not None
    canvas = visit.page.locator(".frame canvas")
    for y in range(int(box["y"]) - 30, int(box["y"] + box["height"]) + 30, 4):  # beside the tag, across the line
        visit.page.mouse.move(box["x"] - 8, y)
        if "pointing" in (canvas.get_attribute("class") or ""):
            break
    else:
        pytest.fail("no link under the pointer where the line must be")
    visit.page.mouse.click(box["x"] - 8, y)
    expect(visit.row("exchange-ridge")).to_contain_class("picked hovered")


def test_a_lost_connection_is_said_and_mended(browser: Browser, network: ScriptedNetwork) -> None:
    with served(network, interval_s=0.05) as address:
        page = browser.new_context().new_page()
        page.goto(address)
        expect(page.get_by_role("status")).to_have_text("Live")
    expect(page.get_by_role("alert")).to_contain_text("Connection lost")
    expect(page).to_have_title("[lost] metro · qanat")
    with served(network, interval_s=0.05, port=int(address.rstrip("/").rpartition(":")[2])):
        expect(page.get_by_role("status")).to_have_text("Live", timeout=10_000)
        expect(page.get_by_role("alert")).to_have_count(0)
        page.context.close()


def test_the_colours_follow_the_reader(visit: Visit) -> None:
    html = visit.page.locator("html")
    expect(html).to_have_attribute("data-theme", "light")
    visit.page.emulate_media(color_scheme="dark")
    expect(html).to_have_attribute("data-theme", "dark")
    visit.page.get_by_role("radio", name="Light").check(force=True)
    expect(html).to_have_attribute("data-theme", "light")
    visit.page.reload()
    expect(html).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there; get it by `npm ci` in frontend/")
def test_axe_finds_no_barrier(visit: Visit, network: ScriptedNetwork, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    network.intercept("harbour-exchange")
    network.cut = "ridge-mill"
    network.tick()
    expect(visit.tag("ridge-mill")).to_have_attribute("data-state", "silent")
    visit.page.evaluate(AXE.read_text())
    found = visit.page.evaluate("() => axe.run({resultTypes: ['violations']})")
    assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found["violations"]] == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 1440), ("dark", 390)])
def test_screenshots_are_kept(browser: Browser, scheme: str, width: int) -> None:
    network = ScriptedNetwork(at_ns=time.time_ns() - 420_000_000_000)
    with served(network, interval_s=0.005) as address:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.goto(address)
        for step in range(200):
            network.tick(2)
            if step == 60:
                network.note("delivery", "5 keys to video-harbour for video-ridge, relayed through exchange")
            if step == 120:
                network.intercept("harbour-exchange")
            if step == 150:
                network.note("note", "fibre of link ridge-mill cut by `qanat fault cut`")
                network.cut = "ridge-mill"
            time.sleep(0.02)
        expect(page.locator("tr[data-link='ridge-mill']")).to_contain_text("Silent")
        page.locator("tr[data-link='harbour-exchange'] button").click()
        page.locator("[data-pair='harbour/ridge'] button").click()
        page.mouse.move(5, 5)
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0) }")
        page.wait_for_timeout(150)
        CI_OUTPUT.mkdir(parents=True, exist_ok=True)
        kept = CI_OUTPUT / f"live-page-{scheme}-{width}.png"
        page.screenshot(path=kept, full_page=True)
        assert kept.stat().st_size > 50_000
        overflow = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"the page is {overflow} pixels wider than a window of {width}"
        context.close()


def _rehearse() -> None:
    """Serve the scripted network until Ctrl-C, one step per second, with Eve coming and going."""
    network = ScriptedNetwork()
    with served(network, interval_s=1.0, port=8470) as address:
        print(f"scripted network at {address}")  # noqa: T201
        while True:
            time.sleep(1)
            network.tick()
            if network.sequence % 60 == 40:
                network.intercept("harbour-exchange")
            if network.sequence % 60 == 58 and network.eve_on:
                network.eve_on = None
                network.alarm("harbour-exchange", "qber", "error rate back at 0.018", raised=False)
                network.state["harbour-exchange"] = "up"


if __name__ == "__main__":
    _rehearse()
