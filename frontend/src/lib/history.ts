// The last ten minutes, kept in the browser: one time column for all links, three value columns per link.
import type { Snapshot } from "./snapshot";

export const WINDOW_S = 600;

export interface Columns {
  qber: (number | null)[];
  secret_bps: (number | null)[];
  buffer_bits: (number | null)[];
}

const QUANTITIES = ["qber", "secret_bps", "buffer_bits"] as const;

export class History {
  times_s: number[] = [];
  links = new Map<string, Columns>();
  secret_bps_total: (number | null)[] = [];

  append(snapshot: Snapshot): void {
    const time_s = snapshot.at_ns / 1e9;
    const last_s = this.times_s.at(-1);
    if (last_s !== undefined && time_s < last_s - 5) this.clear(); // another hub with another clock
    else if (last_s !== undefined && time_s <= last_s) return; // seen already, after a reconnection
    else if (last_s !== undefined && time_s - last_s > 5) this.push(last_s + 1, null); // a gap stays a gap
    this.push(time_s, snapshot);
    this.forget(time_s - WINDOW_S);
  }

  of(link: string): Columns {
    return this.links.get(link) ?? { qber: [], secret_bps: [], buffer_bits: [] };
  }

  private push(time_s: number, snapshot: Snapshot | null): void {
    this.times_s.push(time_s);
    for (const link of snapshot?.links ?? []) {
      if (!this.links.has(link.id)) {
        const empty = () => new Array<null>(this.times_s.length - 1).fill(null);
        this.links.set(link.id, { qber: empty(), secret_bps: empty(), buffer_bits: empty() });
      }
      const columns = this.links.get(link.id)!;
      for (const name of QUANTITIES) columns[name].push(link[name]);
    }
    for (const columns of this.links.values()) {
      for (const name of QUANTITIES) if (columns[name].length < this.times_s.length) columns[name].push(null);
    }
    this.secret_bps_total.push(snapshot ? snapshot.links.reduce((sum, link) => sum + (link.secret_bps ?? 0), 0) : null);
  }

  private forget(before_s: number): void {
    const index = this.times_s.findIndex((time_s) => time_s >= before_s);
    if (index <= 0) return;
    this.times_s.splice(0, index);
    this.secret_bps_total.splice(0, index);
    for (const columns of this.links.values()) for (const name of QUANTITIES) columns[name].splice(0, index);
  }

  private clear(): void {
    this.times_s = [];
    this.secret_bps_total = [];
    this.links.clear();
  }
}
