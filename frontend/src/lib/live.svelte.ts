// The page's one connection to the network, and what the reader has picked.
import { History } from "./history";
import { standingAlarms, type Link, type Pair, type Site, type Snapshot } from "./snapshot";

export type Connection = "connecting" | "live" | "lost";

const STALE_MS = 5_000; // snapshots come every second; five missing in a row is worth saying
const REOPEN_MS = 3_000;

const routeKey = (pair: Pair) => `${pair.source}\0${pair.target}`;

class Live {
  snapshot = $state.raw<Snapshot | null>(null);
  now_ms = $state(Date.now());
  pickedLink = $state<string | null>(null);
  hoveredLink = $state<string | null>(null);
  private pickedRoute = $state<string | null>(null);
  private hoveredRoute = $state<string | null>(null);
  private isOpen = $state(false);
  receivedAt_ms = $state(0);
  private source: EventSource | null = null;
  readonly history = new History();

  readonly isStale = $derived(this.now_ms - this.receivedAt_ms > STALE_MS);
  readonly connection: Connection = $derived(
    this.snapshot === null ? (this.isOpen ? "connecting" : "lost") : this.isOpen && !this.isStale ? "live" : "lost",
  );
  readonly siteById = $derived(new Map<string, Site>(this.snapshot?.sites.map((site) => [site.id, site])));
  readonly linkById = $derived(new Map<string, Link>(this.snapshot?.links.map((link) => [link.id, link])));
  readonly standing = $derived(standingAlarms(this.snapshot?.alarms ?? []));
  readonly link = $derived(
    (this.pickedLink && this.linkById.get(this.pickedLink)) || this.snapshot?.links[0] || null,
  );
  readonly route = $derived(this.routeOf(this.hoveredRoute) ?? this.routeOf(this.pickedRoute));

  siteName(id: string): string {
    return this.siteById.get(id)?.name ?? id;
  }

  linkName(id: string): string {
    const link = this.linkById.get(id);
    return link ? `${this.siteName(link.a)} – ${this.siteName(link.b)}` : id;
  }

  pick(link: string): void {
    this.pickedLink = link;
  }

  isRoutePicked(pair: Pair): boolean {
    return this.pickedRoute === routeKey(pair);
  }

  toggleRoute(pair: Pair): void {
    this.pickedRoute = this.isRoutePicked(pair) ? null : routeKey(pair);
  }

  hoverRoute(pair: Pair | null): void {
    this.hoveredRoute = pair && routeKey(pair);
  }

  /** Connect and keep connected; the returned function ends it. */
  start(): () => void {
    this.open();
    const tick = setInterval(() => this.tick(), 1000);
    return () => {
      clearInterval(tick);
      this.source?.close();
    };
  }

  private routeOf(key: string | null): Pair | null {
    return (key && this.snapshot?.pairs.find((pair) => routeKey(pair) === key)) || null;
  }

  private open(): void {
    this.source?.close();
    this.openedAt_ms = Date.now();
    this.isOpen = this.source === null; // the first attempt counts as connecting, not as lost
    this.source = new EventSource("api/events");
    this.source.addEventListener("open", () => (this.isOpen = true));
    this.source.addEventListener("snapshot", (event) => this.receive(event.data));
    this.source.addEventListener("error", () => (this.isOpen = false));
  }

  private openedAt_ms = 0;

  private receive(data: string): void {
    const snapshot = JSON.parse(data) as Snapshot;
    this.history.append(snapshot);
    this.snapshot = snapshot;
    this.receivedAt_ms = this.now_ms = Date.now();
    this.isOpen = true;
  }

  /** A refused stream is closed for good by the browser, and a dead host says nothing at all: open anew. */
  private tick(): void {
    this.now_ms = Date.now();
    const isRefused = this.source?.readyState === EventSource.CLOSED;
    const isDeaf = this.isStale && this.now_ms - this.openedAt_ms > 15_000;
    if ((isRefused && this.now_ms - this.openedAt_ms > REOPEN_MS) || isDeaf) this.open();
  }
}

export const live = new Live();
