// Where things are on the map: coordinates to pixels, labels that do not collide, what is under the pointer.
import { geoMercator } from "d3-geo";
import type { Link, Site } from "./snapshot";

export interface Point {
  x: number;
  y: number;
}

export interface Box extends Point {
  width: number;
  height: number;
}

export interface Zoom {
  factor: number;
  x: number;
  y: number;
}

export const NO_ZOOM: Zoom = { factor: 1, x: 0, y: 0 };
const PIXELS_PER_RADIAN_MAX = 6371 / 0.002; // 2 m per pixel: sites at one place must not zoom to infinity
const EARTH_RADIUS_KM = 6371;

export class MapView {
  readonly siteAt = new Map<string, Point>();
  private readonly projection = geoMercator();
  private readonly lanes = new Map<string, number>(); // sideways shift in pixels of links between the same two sites

  constructor(
    readonly sites: Site[],
    readonly links: Link[],
    readonly width: number,
    readonly height: number,
    zoom: Zoom,
  ) {
    const coordinates = sites.map((site): [number, number] => [site.longitude_deg, site.latitude_deg]);
    const margin = { x: Math.min(90, width * 0.14), y: Math.min(64, height * 0.14) };
    this.projection.fitExtent(
      [[margin.x, margin.y], [Math.max(width - margin.x, margin.x + 1), Math.max(height - margin.y, margin.y + 1)]],
      { type: "MultiPoint", coordinates: coordinates.length ? coordinates : [[0, 0]] },
    );
    if (!(this.projection.scale() < PIXELS_PER_RADIAN_MAX)) {
      this.projection.scale(PIXELS_PER_RADIAN_MAX).center(coordinates[0] ?? [0, 0]).translate([width / 2, height / 2]);
    }
    const [x, y] = this.projection.translate();
    this.projection.scale(this.projection.scale() * zoom.factor).translate([x * zoom.factor + zoom.x, y * zoom.factor + zoom.y]);
    for (const site of sites) this.siteAt.set(site.id, this.point(site.longitude_deg, site.latitude_deg));
    this.spreadParallelLinks();
  }

  point(longitude_deg: number, latitude_deg: number): Point {
    const [x, y] = this.projection([longitude_deg, latitude_deg]) ?? [0, 0];
    return { x, y };
  }

  coordinates(x: number, y: number): [number, number] {
    return this.projection.invert?.([x, y]) ?? [0, 0];
  }

  get centre(): Point {
    const points = [...this.siteAt.values()];
    const sum = points.reduce((a, b) => ({ x: a.x + b.x, y: a.y + b.y }), { x: 0, y: 0 });
    return { x: sum.x / (points.length || 1), y: sum.y / (points.length || 1) };
  }

  /** Both ends of a link in pixels, moved sideways when several links join the same sites. */
  ends(link: Link): [Point, Point] | null {
    const a = this.siteAt.get(link.a);
    const b = this.siteAt.get(link.b);
    if (!a || !b) return null;
    const shift = this.lanes.get(link.id) ?? 0;
    if (shift === 0) return [a, b];
    const [from, to] = link.a < link.b ? [a, b] : [b, a]; // one direction for all, or lanes would cross
    const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
    const move = { x: (-(to.y - from.y) / length) * shift, y: ((to.x - from.x) / length) * shift };
    return [{ x: a.x + move.x, y: a.y + move.y }, { x: b.x + move.x, y: b.y + move.y }];
  }

  linkNear(x: number, y: number, reach = 9): string | null {
    let best: string | null = null;
    let least = reach;
    for (const link of this.links) {
      const ends = this.ends(link);
      const distance = ends ? distanceToSegment({ x, y }, ...ends) : Infinity;
      if (distance < least) [best, least] = [link.id, distance];
    }
    return best;
  }

  /** A round length in km that is 60 to 150 pixels long in the middle of the map. */
  scaleBar(): { length_km: number; width: number } {
    const latitude = (this.coordinates(this.width / 2, this.height / 2)[1] * Math.PI) / 180;
    const km_per_pixel = (EARTH_RADIUS_KM * Math.cos(latitude)) / this.projection.scale();
    const length_km = roundBelow(150 * km_per_pixel);
    return { length_km, width: length_km / km_per_pixel };
  }

  /** Meridians and parallels at a round step, about 130 pixels apart. */
  graticule(): { meridians: number[]; parallels: number[]; step_deg: number } {
    const [west, north] = this.coordinates(0, 0);
    const [east, south] = this.coordinates(this.width, this.height);
    const step_deg = Math.max(roundBelow(((east - west) * 130) / this.width), 0.001);
    return { meridians: multiples(west, east, step_deg), parallels: multiples(south, north, step_deg), step_deg };
  }

  private spreadParallelLinks(): void {
    const groups = new Map<string, Link[]>();
    for (const link of this.links) {
      const key = [link.a, link.b].sort().join("\0");
      groups.set(key, [...(groups.get(key) ?? []), link]);
    }
    for (const group of groups.values()) {
      group.forEach((link, index) => this.lanes.set(link.id, (index - (group.length - 1) / 2) * 12));
    }
  }
}

/** 1, 2 or 5 times a power of ten, the largest not above the value. */
function roundBelow(value: number): number {
  const base = 10 ** Math.floor(Math.log10(value));
  return base * ([5, 2, 1].find((digit) => digit * base <= value) ?? 1);
}

function multiples(from: number, to: number, step: number): number[] {
  if (!(step > 0) || (to - from) / step > 60) return [];
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.max(0, Math.floor(to / step) - first + 1) }, (_, index) => (first + index) * step);
}

function distanceToSegment(p: Point, a: Point, b: Point): number {
  const length_2 = (b.x - a.x) ** 2 + (b.y - a.y) ** 2 || 1;
  const t = Math.min(1, Math.max(0, ((p.x - a.x) * (b.x - a.x) + (p.y - a.y) * (b.y - a.y)) / length_2));
  return Math.hypot(p.x - a.x - t * (b.x - a.x), p.y - a.y - t * (b.y - a.y));
}

const overlaps = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

export interface SiteLabel extends Box {
  align: "left" | "right" | "center";
}

/** Site names stand outside the network, where no link runs. */
export function siteLabels(view: MapView, widthOf: (text: string) => number): Map<string, SiteLabel> {
  const centre = view.centre;
  const labels = new Map<string, SiteLabel>();
  for (const site of view.sites) {
    const at = view.siteAt.get(site.id)!;
    const width = widthOf(site.name) + 4;
    const height = 18;
    const [dx, dy] = [at.x - centre.x, at.y - centre.y];
    const isSideways = Math.abs(dx) > Math.abs(dy) * 1.1;
    const spots: SiteLabel[] = [
      { x: at.x + 15, y: at.y - height / 2, width, height, align: "left" },
      { x: at.x - 15 - width, y: at.y - height / 2, width, height, align: "right" },
      { x: at.x - width / 2, y: at.y - 15 - height, width, height, align: "center" },
      { x: at.x - width / 2, y: at.y + 15, width, height, align: "center" },
    ];
    const [side, pole] = [dx >= 0 ? 0 : 1, dy < 0 ? 2 : 3];
    const order = isSideways ? [side, pole, 5 - pole, 1 - side] : [pole, side, 1 - side, 5 - pole];
    const fits = (spot: SiteLabel) =>
      spot.x > 2 && spot.x + width < view.width - 2 && ![...labels.values()].some((other) => overlaps(spot, other));
    labels.set(site.id, order.map((index) => spots[index]!).find(fits) ?? spots[order[0]!]!);
  }
  return labels;
}

export interface Tag extends Point {
  isCompact: boolean;
  isBare: boolean;
}

/** Where each link's tag goes along its line. A tag that finds no room shrinks to its icon, and one that finds
 *  not even that is bare: unseen until it is pointed at or focused. Trouble is placed first and never bare. */
export function linkTags(
  view: MapView,
  taken: Box[],
  widthOf: (link: Link) => number,
  first: string[],
): Map<string, Tag> {
  const tags = new Map<string, Tag>();
  const boxes = [...taken];
  const rank = (link: Link) => (first.includes(link.id) ? 0 : link.state === "up" ? 2 : 1);
  for (const link of [...view.links].sort((a, b) => rank(a) - rank(b))) {
    const ends = view.ends(link);
    if (!ends) continue;
    const [a, b] = ends;
    const room = Math.hypot(b.x - a.x, b.y - a.y);
    const box = (t: number, width: number, height: number): Box => ({
      x: a.x + t * (b.x - a.x) - width / 2, y: a.y + t * (b.y - a.y) - height / 2, width, height,
    });
    const isFree = (candidate: Box) => !boxes.some((other) => overlaps(candidate, other));
    const wide = widthOf(link);
    const spots = [0.5, 0.4, 0.6, 0.3, 0.7];
    const t = room > 70 ? spots.find((t) => isFree(box(t, wide, 24))) : undefined;
    const small = t ?? spots.find((t) => isFree(box(t, 24, 24)));
    const isBare = small === undefined && link.state === "up" && !first.includes(link.id);
    const at = small ?? 0.5;
    if (!isBare) boxes.push(t === undefined ? box(at, 24, 24) : box(t, wide, 24));
    tags.set(link.id, { x: a.x + at * (b.x - a.x), y: a.y + at * (b.y - a.y), isCompact: t === undefined, isBare });
  }
  return tags;
}
