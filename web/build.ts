/** Builds the console into a directory: `deno run build.ts DIRECTORY`.
 *
 * Each wing becomes a script and a style sheet whose names have a hash of their contents, with a Brotli copy beside
 * each, and so does the script of the sign-in page; `manifest.json` says which of them a page loads, and
 * `documents.json` which operations the pages send. The server makes the pages (`callout/http/console.py`). The
 * technicians' wing can be installed: it also has a service worker, which knows all its files, and an application
 * manifest. */

import * as esbuild from "esbuild";
import { createHash } from "node:crypto";
import { brotliCompressSync } from "node:zlib";
import { writeOperations } from "./codegen.ts";

const WINGS = ["staff", "tech", "portal"];
const ENTRIES = { ...Object.fromEntries(WINGS.map((wing) => [wing, `${wing}/main.tsx`])), sign_in: "sign_in/main.ts" };
const INSTALLED = "tech";
/** What every page loads before anything else. */
const THEME = "design/theme_first.ts";
const ICON = "design/icon.svg";

/** What the page of a wing loads, as paths below the console's directory. `bytes` is the size of all of it, compressed. */
interface Entry {
  script: string;
  styles: string[];
  preloads: string[];
  bytes: number;
  manifest?: string;
}

/** What `manifest.json` has: the entries of the wings, and the names of the files that all pages have. */
interface Manifest {
  theme: string;
  icon: string;
  entries: Record<string, Entry>;
}

async function build(target: string): Promise<Manifest> {
  const documents = await writeOperations();
  await Deno.remove(target, { recursive: true }).catch(() => {});
  await Deno.mkdir(target, { recursive: true });
  const { metafile } = await esbuild.build({
    absWorkingDir: import.meta.dirname!,
    entryPoints: ENTRIES,
    entryNames: "[name]-[hash]",
    chunkNames: "chunk-[hash]",
    assetNames: "[name]-[hash]",
    outdir: target,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    metafile: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".svg": "file", ".png": "file", ".woff2": "file" },
    logLevel: "warning",
  });
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [nameOf(path), output]));
  const compressed = new Map<string, number>();
  for (const name of outputs.keys()) compressed.set(name, await compress(`${target}/${name}`));
  const entries: Record<string, Entry> = {};
  for (const [name, output] of outputs) {
    if (!Object.values(ENTRIES).includes(output.entryPoint ?? "")) continue;
    const preloads = [...staticImports(name, outputs)];
    const styles = output.cssBundle === undefined ? [] : [nameOf(output.cssBundle)];
    const bytes = [name, ...styles, ...preloads].reduce((sum, one) => sum + compressed.get(one)!, 0);
    entries[output.entryPoint!.split("/")[0]!] = { script: name, styles, preloads, bytes };
  }
  const installed = entries[INSTALLED]!;
  const theme = await buildTheme(target);
  const icon = await writeHashed(target, "icon", ".svg", await Deno.readTextFile(new URL(ICON, import.meta.url)));
  installed.manifest = await writeManifest(target, icon);
  const scripts = filesOf(installed.script, outputs);
  await buildServiceWorker(target, [...scripts, ...installed.styles, installed.manifest, theme, icon]);
  await Deno.writeTextFile(`${target}/documents.json`, JSON.stringify(Object.fromEntries(documents.entries())));
  await Deno.writeTextFile(`${target}/manifest.json`, JSON.stringify({ theme, icon, entries }, null, 2));
  return { theme, icon, entries };
}

type Outputs = Map<string, esbuild.Metafile["outputs"][string]>;

/** Builds the script that shows the chosen theme; returns its name. */
async function buildTheme(target: string): Promise<string> {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: import.meta.dirname!,
    entryPoints: [THEME],
    write: false,
    bundle: true,
    format: "iife",
    target: "es2022",
    minify: true,
    logLevel: "warning",
  });
  return await writeHashed(target, "theme", ".js", outputFiles[0]!.text);
}

/** Writes the application manifest (https://www.w3.org/TR/appmanifest/); returns its name. */
async function writeManifest(target: string, icon: string): Promise<string> {
  const manifest = {
    id: "/tech",
    name: "Callout",
    start_url: "/tech",
    scope: "/tech",
    display: "standalone",
    background_color: "#f5f7f9",
    theme_color: "#0e5f8a",
    icons: [{ src: `/console/${icon}`, type: "image/svg+xml", sizes: "any", purpose: "any maskable" }],
  };
  return await writeHashed(target, "tech", ".webmanifest", JSON.stringify(manifest));
}

async function writeHashed(target: string, name: string, ending: string, text: string): Promise<string> {
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 8);
  await Deno.writeTextFile(`${target}/${name}-${hash}${ending}`, text);
  return `${name}-${hash}${ending}`;
}

/** Its name has no hash: a browser knows a service worker by its address, and asks whether it has changed. */
async function buildServiceWorker(target: string, files: string[]): Promise<void> {
  const paths = files.map((name) => `/console/${name}`);
  await esbuild.build({
    absWorkingDir: import.meta.dirname!,
    entryPoints: ["tech/phone/service_worker.ts"],
    outfile: `${target}/service-worker.js`,
    bundle: true,
    format: "iife",
    target: "es2022",
    minify: true,
    define: {
      FILES: JSON.stringify(paths),
      VERSION: JSON.stringify(createHash("sha256").update(paths.join()).digest("hex").slice(0, 8)),
    },
    logLevel: "warning",
  });
}

/** A script and all that it can import. */
function filesOf(name: string, outputs: Outputs, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  outputs.get(name)?.imports.forEach(({ path }) => filesOf(nameOf(path), outputs, found));
  return found;
}

function staticImports(name: string, outputs: Outputs, found = new Set<string>()): Set<string> {
  for (const { path, kind } of outputs.get(name)?.imports ?? []) {
    const imported = nameOf(path);
    if (kind !== "import-statement" || found.has(imported)) continue;
    found.add(imported);
    staticImports(imported, outputs, found);
  }
  return found;
}

/** Writes a compressed copy beside the file and returns its size in bytes. */
async function compress(path: string): Promise<number> {
  const copy = brotliCompressSync(await Deno.readFile(path));
  await Deno.writeFile(`${path}.br`, copy);
  return copy.length;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

const [target] = Deno.args;
if (target === undefined) {
  console.error("usage: deno run build.ts DIRECTORY");
  Deno.exit(2);
}
const { entries } = await build(target);
await esbuild.stop();
for (const [wing, { bytes }] of Object.entries(entries)) {
  console.log(`${wing}: ${(bytes / 1024).toFixed(1)} KB compressed`);
}
