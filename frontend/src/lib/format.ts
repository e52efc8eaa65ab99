// Numbers as people read them. An unknown value is an en dash, never 0.

export const UNKNOWN = "–";

/** Three significant digits with an SI prefix: 24 130 -> "24.1 kbit/s". */
export function si(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  const prefixes = ["", "k", "M", "G", "T"];
  let index = 0;
  let scaled = Math.abs(value);
  while (scaled >= 999.5 && index < prefixes.length - 1) {
    scaled /= 1000;
    index += 1;
  }
  const digits = index === 0 && Number.isInteger(scaled) ? 0 : scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${value < 0 ? "−" : ""}${scaled.toFixed(digits)} ${prefixes[index]}${unit}`.trim();
}

export const rate = (bps: number | null | undefined): string => si(bps, "bit/s");
export const bits = (size_bits: number | null | undefined): string => si(size_bits, "bit");

export function percent(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return UNKNOWN;
  return `${(ratio * 100).toFixed(ratio < 0.1 ? 2 : 1)} %`;
}

export function count(value: number): string {
  return value.toLocaleString("en").replaceAll(",", "\u202f");
}

/** 1e-10 -> ["1.0", "−10"]: mantissa and exponent, as proofs are quoted. */
export function power(value: number): [mantissa: string, exponent: string] {
  const [mantissa, exponent] = value.toExponential(1).split("e") as [string, string];
  return [mantissa, exponent.replace("+", "").replace("-", "−")];
}

/** An axis needs no trailing zeros: "20.0 %" -> "20 %". */
export const tick = (text: string): string => text.replace(/(\.\d*?)0+(?=\s)/, "$1").replace(/\.(?=\s)/, "");

/** Statistics of sequential tests: short, whatever their size. */
export function number(value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e5 || size < 1e-2) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

export function clock(at_ns: number): string {
  return new Date(at_ns / 1e6).toLocaleTimeString("en-GB");
}

export function ago(now_ms: number, at_ns: number): string {
  const seconds = Math.max(0, Math.round(now_ms / 1000 - at_ns / 1e9));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

/** Link time as h:mm:ss. */
export function duration(time_ns: number): string {
  const total = Math.floor(time_ns / 1e9);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(total / 3600)}:${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
}

/** "link time runs 2.3x slower than the clock", or null while unknown. */
export function stretchSentence(stretch: number | null): string | null {
  if (stretch === null) return null;
  if (Math.abs(stretch - 1) < 0.05) return "link time keeps up with the clock";
  if (stretch > 1) return `link time runs ${stretch.toFixed(1)}x slower than the clock`;
  return `link time runs ${(1 / stretch).toFixed(1)}x faster than the clock`;
}
