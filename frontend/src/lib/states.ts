// What each state looks like: word, colour, dash pattern and icon. Colour never stands alone.
import type { LinkState, PairState } from "./snapshot";

export interface Look {
  word: string;
  meaning: string;
  colour: string; // name of the CSS variable
  dash: number[];
  width: number;
  icon: string; // SVG path in a 16 x 16 box, stroked
}

const TICK = "M3.500 8.500l3 3 6-7";
const TRIANGLE = "M8 2.200 14.500 13.500h-13zM8 6.500v3.300M8 11.700v.1";
const TURN = "M13 8a5 5 0 1 1-1.600-3.700M13 2.200v2.900h-2.900";
const SLASH = "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11M4.200 11.800l7.600-7.600";
const CLOCK = "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11M8 5v3.200l2.200 1.400";
const HOURGLASS = "M4.500 2.500h7M4.500 13.500h7M5.500 2.500c0 4 5 3.500 5 11M10.500 2.500c0 4-5 3.500-5 11";
export const CUT = "M3 3l10 10M13 3L3 13";
export const EYE = "M1.500 8S4 3.500 8 3.500 14.500 8 14.500 8 12 12.500 8 12.500 1.500 8 1.500 8M8 6.200a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600";
export const SHIELD = "M8 1.800 13 3.600v4c0 3.300-2.100 5.500-5 6.600-2.900-1.100-5-3.300-5-6.600v-4z";

export const LINK_LOOKS: Record<LinkState, Look> = {
  up: { word: "Up", meaning: "makes key", colour: "--up", dash: [], width: 3, icon: TICK },
  alarmed: { word: "Alarmed", meaning: "not used, an alarm stands", colour: "--alarm", dash: [11, 6], width: 4.5, icon: TRIANGLE },
  requalifying: { word: "Requalifying", meaning: "good again, on probation", colour: "--warn", dash: [12, 5, 2, 5], width: 3.5, icon: TURN },
  starting: { word: "Starting", meaning: "no block yet", colour: "--start", dash: [5, 6], width: 3, icon: CLOCK },
  silent: { word: "Silent", meaning: "no reports", colour: "--silent", dash: [2, 7], width: 3, icon: SLASH },
};

export const PAIR_LOOKS: Record<PairState, Pick<Look, "word" | "colour" | "icon">> = {
  served: { word: "Served", colour: "--up", icon: TICK },
  filling: { word: "Filling", colour: "--start", icon: HOURGLASS },
  no_route: { word: "No route", colour: "--alarm", icon: SLASH },
};

/** An alarm's kind in words; an unknown kind speaks for itself. */
export const alarmWord = (kind: string): string => (kind === "qber" ? "QBER" : kind.replaceAll("_", " "));

/** A state that this page does not know (a newer hub) is shown as silent rather than breaking the page. */
export const linkLook = (state: string): Look => LINK_LOOKS[state as LinkState] ?? { ...LINK_LOOKS.silent, word: state };
export const pairLook = (state: string) => PAIR_LOOKS[state as PairState] ?? { ...PAIR_LOOKS.no_route, word: state };
