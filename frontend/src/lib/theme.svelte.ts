// Light or dark: the system's wish, unless the reader has another.

export type Choice = "system" | "light" | "dark";
const CHOICES: Choice[] = ["system", "light", "dark"];
const KEY = "qanat-theme";
const wish = matchMedia("(prefers-color-scheme: dark)");

function stored(): Choice {
  try {
    const value = localStorage.getItem(KEY) as Choice;
    return CHOICES.includes(value) ? value : "system";
  } catch {
    return "system"; // storage is switched off
  }
}

class Theme {
  choice = $state<Choice>(stored());
  private systemIsDark = $state(wish.matches);
  readonly shown: "light" | "dark" = $derived(
    this.choice === "system" ? (this.systemIsDark ? "dark" : "light") : this.choice,
  );

  constructor() {
    wish.addEventListener("change", () => (this.systemIsDark = wish.matches));
  }

  choose(choice: Choice): void {
    this.choice = choice;
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // the choice then lasts until the page is closed
    }
  }
}

export const theme = new Theme();
export { CHOICES };

/** A CSS variable's value, for canvases. Read after the theme was applied. */
export const cssValue = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
