// The map on its canvas: graticule, links by state, the picked route, sites, scale bar.
import { linkLook, SHIELD } from "./states";
import { siteLabels, type MapView, type Point, type SiteLabel } from "./map_view";
import type { Link, Site } from "./snapshot";

export interface Marks {
  picked: string | null;
  hovered: string | null;
  routeSites: string[];
  routeLinks: string[];
}

export type Palette = (variable: string) => string;
export const FONT = '"Inter Variable", system-ui, sans-serif';

export function drawMap(ctx: CanvasRenderingContext2D, view: MapView, marks: Marks, colour: Palette): void {
  ctx.clearRect(0, 0, view.width, view.height);
  drawGraticule(ctx, view, colour);
  for (const link of view.links) if (marks.routeLinks.includes(link.id)) drawRouteBand(ctx, view, link, colour);
  for (const link of view.links) drawLink(ctx, view, link, marks, colour);
  drawRouteArrows(ctx, view, marks, colour);
  const labels = siteLabels(view, siteLabelWidth(ctx));
  for (const site of view.sites) drawSite(ctx, view, site, labels.get(site.id)!, marks, colour);
  drawScaleBar(ctx, view, colour);
}

export function siteLabelWidth(ctx: CanvasRenderingContext2D): (text: string) => number {
  ctx.font = `600 13px ${FONT}`;
  return (text) => ctx.measureText(text).width;
}

function drawGraticule(ctx: CanvasRenderingContext2D, view: MapView, colour: Palette): void {
  const { meridians, parallels, step_deg } = view.graticule();
  const digits = Math.max(0, Math.min(3, Math.ceil(-Math.log10(step_deg))));
  const degrees = (value: number, [plus, minus]: [string, string]) =>
    `${Math.abs(value).toFixed(digits)}° ${value < 0 ? minus : plus}`;
  ctx.save();
  ctx.strokeStyle = colour("--grid");
  ctx.fillStyle = colour("--faint");
  ctx.lineWidth = 1;
  ctx.font = `11px ${FONT}`;
  for (const longitude of meridians) {
    const x = Math.round(view.point(longitude, 0).x) + 0.5;
    stroke(ctx, [{ x, y: 0 }, { x, y: view.height }]);
    ctx.textAlign = "left";
    if (x < view.width - 70) ctx.fillText(degrees(longitude, ["E", "W"]), x + 5, 15);
  }
  const middle = view.coordinates(view.width / 2, 0)[0];
  for (const latitude of parallels) {
    const y = Math.round(view.point(middle, latitude).y) + 0.5;
    stroke(ctx, [{ x: 0, y }, { x: view.width, y }]);
    ctx.textAlign = "right";
    if (y > 30 && y < view.height - 10) ctx.fillText(degrees(latitude, ["N", "S"]), view.width - 7, y - 5);
  }
  ctx.restore();
}

function drawLink(ctx: CanvasRenderingContext2D, view: MapView, link: Link, marks: Marks, colour: Palette): void {
  const ends = view.ends(link);
  if (!ends) return;
  const look = linkLook(link.state);
  const isMarked = link.id === marks.picked || link.id === marks.hovered;
  ctx.save();
  ctx.lineCap = "round";
  if (isMarked) {
    ctx.strokeStyle = colour(link.id === marks.picked ? "--focus" : "--faint");
    ctx.globalAlpha = link.id === marks.picked ? 0.38 : 0.3;
    ctx.lineWidth = look.width + 11;
    stroke(ctx, ends);
  }
  ctx.globalAlpha = link.state === "silent" ? 0.75 : 1;
  ctx.strokeStyle = colour(look.colour);
  ctx.lineWidth = look.width + (isMarked ? 0.5 : 0);
  ctx.setLineDash(look.dash);
  if (link.is_cut) drawCut(ctx, ends, colour);
  else stroke(ctx, ends);
  ctx.restore();
}

/** A cut fibre has a gap at one third of its length, with a slash at each loose end. */
function drawCut(ctx: CanvasRenderingContext2D, [a, b]: [Point, Point], colour: Palette): void {
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const unit = { x: (b.x - a.x) / length, y: (b.y - a.y) / length };
  const along = (distance: number): Point => ({ x: a.x + unit.x * distance, y: a.y + unit.y * distance });
  const [from, to] = [along(length * 0.27 - 9), along(length * 0.27 + 9)];
  stroke(ctx, [a, from]);
  stroke(ctx, [to, b]);
  ctx.setLineDash([]);
  ctx.lineWidth = 2.5;
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colour("--alarm");
  for (const end of [from, to]) {
    const lean = { x: -unit.y * 8 + unit.x * 4, y: unit.x * 8 + unit.y * 4 };
    stroke(ctx, [{ x: end.x - lean.x, y: end.y - lean.y }, { x: end.x + lean.x, y: end.y + lean.y }]);
  }
}

function drawRouteBand(ctx: CanvasRenderingContext2D, view: MapView, link: Link, colour: Palette): void {
  const ends = view.ends(link);
  if (!ends) return;
  ctx.save();
  ctx.lineCap = "round";
  ctx.strokeStyle = colour("--route");
  ctx.globalAlpha = 0.42;
  ctx.lineWidth = 17;
  stroke(ctx, ends);
  ctx.restore();
}

/** Arrow heads along the route, in the direction from source to target. */
function drawRouteArrows(ctx: CanvasRenderingContext2D, view: MapView, marks: Marks, colour: Palette): void {
  ctx.save();
  ctx.fillStyle = colour("--route");
  ctx.strokeStyle = colour("--map");
  ctx.lineWidth = 2;
  for (let hop = 0; hop + 1 < marks.routeSites.length; hop += 1) {
    const from = view.siteAt.get(marks.routeSites[hop]!);
    const to = view.siteAt.get(marks.routeSites[hop + 1]!);
    if (!from || !to) continue;
    const angle = Math.atan2(to.y - from.y, to.x - from.x);
    for (const t of [0.22, 0.82]) {
      ctx.save();
      ctx.translate(from.x + t * (to.x - from.x), from.y + t * (to.y - from.y));
      ctx.rotate(angle);
      const head = new Path2D("M9 0-6-7.500-3 0-6 7.500z");
      ctx.stroke(head);
      ctx.fill(head);
      ctx.restore();
    }
  }
  ctx.restore();
}

function drawSite(
  ctx: CanvasRenderingContext2D, view: MapView, site: Site, label: SiteLabel, marks: Marks, colour: Palette,
): void {
  const at = view.siteAt.get(site.id)!;
  const isOnRoute = marks.routeSites.includes(site.id);
  ctx.save();
  if (isOnRoute) {
    ctx.fillStyle = colour("--route");
    ctx.globalAlpha = 0.42;
    disc(ctx, at, 16);
    ctx.globalAlpha = 1;
  }
  ctx.fillStyle = colour("--map");
  disc(ctx, at, 12);
  ctx.lineWidth = 2;
  ctx.strokeStyle = ctx.fillStyle = colour(site.is_up ? "--text" : "--alarm");
  if (!site.is_up) cross(ctx, at);
  else if (site.is_trusted) shield(ctx, at);
  else ring(ctx, at, 6);
  ctx.font = `600 13px ${FONT}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.lineJoin = "round";
  ctx.lineWidth = 4;
  ctx.strokeStyle = colour("--map");
  ctx.strokeText(site.name, label.x + 2, label.y + label.height / 2);
  ctx.fillStyle = colour(site.is_up ? "--text" : "--alarm");
  ctx.fillText(site.name, label.x + 2, label.y + label.height / 2);
  if (!site.is_up) drawDown(ctx, label);
  ctx.restore();
}

function drawDown(ctx: CanvasRenderingContext2D, label: SiteLabel): void {
  ctx.font = `500 11px ${FONT}`;
  ctx.textAlign = label.align;
  const x = { left: label.x + 2, right: label.x + label.width - 2, center: label.x + label.width / 2 }[label.align];
  ctx.strokeText("KME down", x, label.y + label.height + 7);
  ctx.fillText("KME down", x, label.y + label.height + 7);
}

function drawScaleBar(ctx: CanvasRenderingContext2D, view: MapView, colour: Palette): void {
  const { length_km, width } = view.scaleBar();
  const [x, y] = [16, view.height - 16];
  ctx.save();
  ctx.strokeStyle = colour("--muted");
  ctx.fillStyle = colour("--muted");
  ctx.lineWidth = 1.5;
  ctx.font = `500 11px ${FONT}`;
  stroke(ctx, [{ x, y: y - 5 }, { x, y }, { x: x + width, y }, { x: x + width, y: y - 5 }]);
  ctx.fillText(length_km >= 1 ? `${length_km} km` : `${Math.round(length_km * 1000)} m`, x + 5, y - 6);
  ctx.restore();
}

function stroke(ctx: CanvasRenderingContext2D, points: Point[]): void {
  ctx.beginPath();
  points.forEach((point, index) => (index ? ctx.lineTo(point.x, point.y) : ctx.moveTo(point.x, point.y)));
  ctx.stroke();
}

function disc(ctx: CanvasRenderingContext2D, at: Point, radius: number): void {
  ctx.beginPath();
  ctx.arc(at.x, at.y, radius, 0, 2 * Math.PI);
  ctx.fill();
}

function ring(ctx: CanvasRenderingContext2D, at: Point, radius: number): void {
  ctx.beginPath();
  ctx.arc(at.x, at.y, radius, 0, 2 * Math.PI);
  ctx.stroke();
}

function cross(ctx: CanvasRenderingContext2D, at: Point): void {
  ctx.lineWidth = 3;
  ctx.lineCap = "round";
  stroke(ctx, [{ x: at.x - 5, y: at.y - 5 }, { x: at.x + 5, y: at.y + 5 }]);
  stroke(ctx, [{ x: at.x + 5, y: at.y - 5 }, { x: at.x - 5, y: at.y + 5 }]);
}

function shield(ctx: CanvasRenderingContext2D, at: Point): void {
  ctx.save();
  ctx.translate(at.x - 8.5, at.y - 8.5);
  ctx.scale(1.06, 1.06);
  ctx.fill(new Path2D(SHIELD));
  ctx.restore();
}
