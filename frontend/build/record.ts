// Two files beside the built page: the licences of what it contains, and a hash of the sources it was built from.
// The hash lets a test without node say "the committed page is older than frontend/src".
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import type { Plugin } from "vite";

const SOURCES = ["index.html", "package-lock.json", "package.json", "public", "src", "build", "svelte.config.js", "vite.config.ts"];
const SHIPPED = ["svelte", "uplot", "d3-geo", "d3-array", "@fontsource-variable/inter"];

function filesUnder(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap((name) => filesUnder(join(path, name)));
}

/** SHA-256 over "path NUL size NUL content" of every source, in the order of their paths. */
function sourceHash(root: string): string {
  const hash = createHash("sha256");
  const paths = SOURCES.flatMap((name) => filesUnder(join(root, name))).map((path) => relative(root, path).split("\\").join("/"));
  for (const path of paths.sort()) {
    const body = readFileSync(join(root, path));
    hash.update(`${path}\0${body.length}\0`).update(body);
  }
  return hash.digest("hex");
}

function licences(root: string): string {
  return SHIPPED.map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((file) => join(folder, file)).find(existsSync);
    if (!file) throw new Error(`no licence text in ${name}`);
    return `${name} ${version} (${license})\n\n${readFileSync(file, "utf8").trim()}\n`;
  }).join(`\n${"-".repeat(100)}\n\n`);
}

export function record(): Plugin {
  let root = "";
  return {
    name: "record",
    apply: "build",
    configResolved(config) {
      root = config.root;
    },
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: licences(root) });
      this.emitFile({ type: "asset", fileName: "build.json", source: `{"sources_sha256": "${sourceHash(root)}"}\n` });
    },
  };
}
