// Builds datagen/studio/static/editor.js, and the licences of what is in it, from the pinned packages:
//
//     cd editor && npm ci --ignore-scripts && npm run build
//
// The same packages give the same bytes; package-lock.json holds the hash of each. `npm run build -- --check` only compares.
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const target = new URL("../datagen/studio/static/", import.meta.url);
const made = await build({
  entryPoints: ["editor.mjs"], bundle: true, minify: true, format: "esm", target: "es2022", charset: "utf8",
  legalComments: "none", metafile: true, write: false,
  banner: { js: "// CodeMirror and Lezer, built by editor/build.mjs. MIT; see LICENSE.editor.txt." },
});
const used = Object.entries(made.metafile.inputs).map(([file]) => file.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
const packages = [...new Set(used.filter(Boolean))].sort();
const licences = packages.map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return `${name} ${version} (${license})\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
const files = { "editor.js": made.outputFiles[0].text, "LICENSE.editor.txt": licences.join(`\n${"-".repeat(80)}\n\n`) };
for (const [name, text] of Object.entries(files)) {
  const file = new URL(name, target);
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) throw new Error(`${name} is not what these packages build`);
}
