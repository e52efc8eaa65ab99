// The shape of /api/snapshot. Rates are bits per second of link time, ratios 0 to 1.

export type LinkState = "starting" | "up" | "alarmed" | "requalifying" | "silent";
export type PairState = "served" | "no_route" | "filling";
export type JournalKind = "alarm" | "command" | "note" | "delivery";

export interface Site {
  id: string;
  name: string;
  latitude_deg: number;
  longitude_deg: number;
  is_up: boolean;
  is_trusted: boolean;
}

export interface LastBlock {
  block: string | number;
  sifted_bits: number;
  leak_bits: number;
  secret_bits: number;
  qber_x: number | null;
  phase_error_bound: number | null;
  epsilon_total: number | null;
}

export interface Link {
  id: string;
  a: string;
  b: string;
  fibre: string;
  length_km: number;
  loss_db: number;
  state: LinkState;
  qber: number | null;
  sifted_bps: number | null;
  secret_bps: number | null;
  buffer_bits: number;
  blocks_made: number;
  blocks_aborted: number;
  last_block: LastBlock | null;
  attacks: string[];
  is_cut: boolean;
}

export interface Pair {
  source: string;
  target: string;
  links: string[];
  trusted_nodes: string[];
  stored_keys: number;
  state: PairState;
}

export interface Alarm {
  number: number;
  at_ns: number;
  link: string;
  kind: string;
  severity: string;
  raised: boolean;
  statistic: number;
  threshold: number;
  evidence: string;
}

export interface JournalEntry {
  at_ns: number;
  kind: JournalKind;
  text: string;
}

export interface Snapshot {
  sequence: number;
  at_ns: number;
  network: { name: string; is_simulation: boolean };
  link_time_ns: number;
  stretch: number | null;
  sites: Site[];
  links: Link[];
  pairs: Pair[];
  alarms: Alarm[];
  journal: JournalEntry[];
  totals: { keys_delivered: number; keys_relayed: number; bits_quarantined: number; burned: number };
}

/** Alarms that still stand: of each link and kind the newest entry, when it says "raised". */
export function standingAlarms(alarms: Alarm[]): Alarm[] {
  const newest = new Map<string, Alarm>();
  for (const alarm of alarms) {
    const key = `${alarm.link}\0${alarm.kind}`;
    if (!newest.has(key)) newest.set(key, alarm);
  }
  return [...newest.values()].filter((alarm) => alarm.raised);
}

/** The sites that a pair's route visits, source first. */
export function sitesOfRoute(pair: Pair, linkById: Map<string, Link>): string[] {
  const sites = [pair.source];
  for (const id of pair.links) {
    const link = linkById.get(id);
    if (link) sites.push(link.a === sites.at(-1) ? link.b : link.a);
  }
  return sites;
}
