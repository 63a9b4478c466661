// The page of `datagen studio`. The files are the only store: each change is written at once, if the file on disk is still
// what was read; else both versions are shown and a person decides. All texts enter the page as text, never as HTML.
import {
  EditorState, EditorView, HighlightStyle, Transaction, autocompletion, bracketMatching, closeBrackets,
  closeBracketsKeymap, completionKeymap, defaultKeymap, drawSelection, highlightActiveLine, highlightActiveLineGutter,
  highlightSelectionMatches, highlightSpecialChars, history, historyKeymap, indentOnInput, indentUnit, indentWithTab,
  isolateHistory, keymap, lineNumbers, lintGutter, lintKeymap, search, searchKeymap, setDiagnostics, syntaxHighlighting,
  tags, yaml,
} from "./editor.js";
import { complete } from "./completion.js";

const SAVE_MS = 250; // after the last key
const POLL_MS = 1000;
const KEEPALIVE_BYTES = 60_000; // browsers send no more from a page that closes

const by = (id) => document.getElementById(id);
const docs = new Map(); // open files by name
const noted = { words: { schemas: {}, functions: {}, parts: {} }, files: {}, slots: [], turn: 0 };
let open = null; // the file in the editor
let view = null;

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

class Refused extends Error {
  constructor(status, body) {
    super(body?.error ? tellError(body.error) : `the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  const body = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

const query = (values) => new URLSearchParams(values).toString();
const asJson = (method, values, more = {}) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(values), ...more });
const tellError = ({ what, where, hint }) => [where ? `${where}: ${what}` : what, hint].filter(Boolean).join("\n");

// ---- Files: open, save, reload -------------------------------------------------------------------------------------

const textOf = (doc) => (doc === open ? view.state : doc.state).doc.toString();

async function openFile(name, line = 0, column = 1) {
  if (!docs.has(name)) {
    let read;
    try {
      read = await ask(`file?${query({ name })}`);
    } catch (error) {
      if (!(error instanceof Refused)) return;
      read = { text: error.message, version: null }; // a file that is no text is not edited
    }
    if (!docs.has(name)) {
      const doc = { name, base: read.version, dirty: false, saving: null, conflict: null, timer: 0, faults: [] };
      doc.state = EditorState.create({ doc: read.text ?? "", extensions: extend(name, read.version === null) });
      docs.set(name, doc);
    }
  }
  if (open) open.state = view.state;
  const changed = open?.name !== name;
  open = docs.get(name);
  view.setState(open.state);
  by("file").value = name;
  location.replace(`#${encodeURIComponent(name)}`);
  document.title = `${name} – datagen studio`;
  showConflict();
  showSaved();
  if (line) goTo(line, column);
  if (changed) refresh();
}

function goTo(line, column) {
  const at = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
  view.dispatch({ selection: { anchor: Math.min(at.from + Math.max(column - 1, 0), at.to) }, scrollIntoView: true });
  view.focus();
}

function touched(doc) {
  doc.dirty = true;
  clearTimeout(doc.timer);
  doc.timer = setTimeout(() => save(doc), SAVE_MS);
  showSaved();
}

function save(doc) {
  clearTimeout(doc.timer);
  doc.saving ??= Promise.resolve().then(() => saveAll(doc)).finally(() => { doc.saving = null; showSaved(); });
  return doc.saving;
}

async function saveAll(doc) {
  while (doc.dirty && !doc.conflict) {
    doc.dirty = false;
    showSaved();
    try {
      const { version } = await ask(`file?${query({ name: doc.name })}`, asJson("PUT", { text: textOf(doc), base: doc.base }));
      doc.base = version;
      doc.error = "";
      noted.files[doc.name] = version;
      setAway(false);
    } catch (error) {
      doc.dirty = true;
      if (error instanceof Refused && error.status === 409) settle(doc, error.body);
      else if (error instanceof Refused) { doc.error = error.message; return; }
      else { setAway(true); return; }
    }
    refresh();
  }
}

// The file on disk is another one: the same text is no conflict.
function settle(doc, theirs) {
  if (theirs.text === textOf(doc)) { doc.base = theirs.version; doc.dirty = false; return; }
  doc.conflict = theirs;
  if (doc === open) { showConflict(); showSaved(); }
}

// Put a text in the place of a file's, as one step that can be undone; only what differs is replaced.
function replaceText(doc, text) {
  const state = doc === open ? view.state : doc.state;
  const old = state.doc.toString();
  let from = 0;
  while (from < old.length && from < text.length && old[from] === text[from]) from++;
  let end = 0;
  while (end < old.length - from && end < text.length - from && old.at(-1 - end) === text.at(-1 - end)) end++;
  const change = state.update({
    changes: { from, to: old.length - end, insert: text.slice(from, text.length - end) },
    annotations: [isolateHistory.of("full"), Transaction.userEvent.of("reload")],
  });
  if (doc === open) view.dispatch(change);
  else doc.state = change.state;
}

async function poll() {
  try {
    const { project, files } = await ask("files");
    setAway(false);
    const changed = JSON.stringify(files) !== JSON.stringify(noted.files);
    if (changed) {
      noted.files = files;
      by("project").textContent = project;
      listFiles();
    }
    for (const doc of docs.values()) {
      if (doc.base === null || doc.saving || doc.conflict) continue;
      if (doc.dirty) save(doc); // a server that was away is back
      else if (files[doc.name] !== doc.base) await reload(doc);
    }
    if (changed) refresh();
  } catch (error) {
    if (!(error instanceof Refused)) setAway(true);
  }
}

async function reload(doc) {
  const base = doc.base;
  const theirs = await ask(`file?${query({ name: doc.name })}`);
  // An answer that was on its way while the file was saved is older than what the editor has.
  if (doc.saving || doc.dirty || doc.conflict || doc.base !== base || theirs.version === base) return;
  if (theirs.text === null) settle(doc, theirs); // it was removed: the words are still here
  else {
    doc.base = theirs.version;
    replaceText(doc, theirs.text);
  }
}

async function keepPolling() {
  for (;;) {
    await poll();
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

function setAway(away) {
  by("banner").hidden = !away;
  by("banner").textContent = away ? "The studio does not answer. What you type stays in this tab until it does: do not close it, or copy the text." : "";
  document.body.dataset.away = away;
  showSaved();
}

function showSaved() {
  if (!open) return;
  const away = document.body.dataset.away === "true";
  const state = open.base === null ? "unreadable" : open.conflict ? "conflict" : away && open.dirty ? "away" : open.error ? "unsaved" : open.dirty || open.saving ? "saving" : "saved";
  const words = { conflict: "not saved: two versions", away: "not saved: no server", saving: "saving …", saved: "saved", unreadable: "cannot be edited", unsaved: open.error };
  by("saved").dataset.state = state;
  by("saved").textContent = words[state];
}

function listFiles() {
  const names = Object.keys(noted.files);
  const groups = Object.groupBy(names, (name) => name.split("/")[0]);
  const chosen = by("recipe").value;
  by("file").replaceChildren(...Object.entries(groups).map(([folder, own]) =>
    make("optgroup", { label: folder }, ...own.map((name) => make("option", { value: name }, name.slice(folder.length + 1))))));
  if (open && !names.includes(open.name)) by("file").append(make("option", { value: open.name }, open.name));
  if (open) by("file").value = open.name;
  const recipes = names.filter((name) => name.startsWith("recipes/"));
  by("recipe").replaceChildren(...(recipes.length ? recipes : [""]).map((name) =>
    make("option", { value: name }, name ? name.slice(8).replace(/\.ya?ml$/, "") : "quickstart (ships)")));
  if (recipes.includes(chosen)) by("recipe").value = chosen;
}

// ---- New files -----------------------------------------------------------------------------------------------------

function beginDraft() {
  by("kind").replaceChildren(...Object.keys(noted.words.parts).map((kind) => make("option", { value: kind }, kind)));
  by("name").value = "";
  by("draft-error").hidden = true;
  showParts();
  by("maker").showModal();
}

function showParts() {
  const name = by("name").value.trim() || "NAME";
  by("parts").textContent = noted.words.parts[by("kind").value].map((path) => path.replace("NAME", name)).join(", ");
}

async function makeDraft(event) {
  event.preventDefault();
  by("draft-error").hidden = true;
  try {
    if (open) await save(open);
    const { files } = await ask("new", asJson("POST", { kind: by("kind").value, name: by("name").value.trim() }));
    await poll(); // which lists them
    if (files[0].startsWith("recipes/")) by("recipe").value = files[0];
    by("maker").close();
    await openFile(files[0]);
    view.focus();
  } catch (error) {
    by("draft-error").hidden = false;
    by("draft-error").textContent = error instanceof Refused ? error.message : "The studio does not answer.";
  }
}

// ---- Conflict ------------------------------------------------------------------------------------------------------

function showConflict() {
  const box = by("conflict");
  const doc = open;
  box.hidden = !doc?.conflict;
  if (!doc?.conflict) { box.replaceChildren(); return; }
  const theirs = doc.conflict;
  const gone = theirs.text === null;
  const decide = (mine) => {
    doc.conflict = null;
    doc.base = theirs.version;
    doc.dirty = mine;
    if (!mine) replaceText(doc, theirs.text);
    showConflict();
    if (mine) save(doc);
    showSaved();
    view.focus();
  };
  box.replaceChildren(
    make("h2", {}, gone ? "The file was removed by something else." : "The file was changed by something else while you typed."),
    make("p", {}, gone ? "Your text is in the editor below and nowhere else." : "Nothing is lost: yours is in the editor below, the other is on disk. Undo brings back what you replace."),
    make("div", { class: "acts" },
      make("button", { type: "button", id: "keep-mine", onclick: () => decide(true) }, gone ? "Write it again" : "Keep mine"),
      ...(gone ? [] : [make("button", { type: "button", id: "take-theirs", onclick: () => decide(false) }, "Take the one on disk")])),
    ...(gone ? [] : [make("div", { class: "versions" }, showVersion("Yours", textOf(doc), theirs.text), showVersion("On disk", theirs.text, textOf(doc)))]),
  );
}

function showVersion(title, text, other) {
  const lines = text.split("\n"), others = other.split("\n");
  let from = 0;
  while (from < lines.length && from < others.length && lines[from] === others[from]) from++;
  let end = 0;
  while (end < lines.length - from && end < others.length - from && lines.at(-1 - end) === others.at(-1 - end)) end++;
  const shown = lines.flatMap((line, k) => [make("span", { class: k >= from && k < lines.length - end ? "differs" : false }, line || " "), "\n"]);
  return make("div", {}, make("strong", {}, title), make("pre", {}, ...shown));
}

// ---- Editor --------------------------------------------------------------------------------------------------------

const colors = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--link)" },
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.string, tags.content], color: "var(--ink)" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--soft)" },
  { tag: [tags.keyword, tags.number, tags.bool], color: "var(--text)" },
]);
const look = EditorView.theme({
  "&": { backgroundColor: "var(--card)", color: "var(--ink)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
  ".cm-gutters": { backgroundColor: "var(--page)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--fill) 55%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--mark)" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--mark)", color: "var(--ink)" },
  ".cm-diagnostic": { maxWidth: "60ch", whiteSpace: "pre-wrap" },
});

function extend(name, isReadOnly) {
  const nonce = document.querySelector("meta[name=nonce]").content;
  return [
    lineNumbers(), lintGutter(), highlightActiveLineGutter(), highlightSpecialChars(), history(), drawSelection(),
    indentOnInput(), indentUnit.of("  "), bracketMatching(), closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), search({ top: true }),
    autocompletion({ override: [(context) => suggest(name, context)], icons: false }),
    keymap.of([
      { key: "Mod-s", preventDefault: true, run: () => { save(open); return true; } },
      ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap, indentWithTab,
    ]),
    ...(name.endsWith(".j2") ? [] : [yaml()]), syntaxHighlighting(colors), look,
    EditorView.lineWrapping, EditorView.cspNonce.of(nonce), EditorState.readOnly.of(isReadOnly),
    EditorView.contentAttributes.of({ "aria-label": name, spellcheck: "false" }),
    EditorView.updateListener.of((update) => {
      const own = update.transactions.some((each) => each.docChanged && !each.isUserEvent("reload"));
      if (own) touched(open);
    }),
  ];
}

function kindOf(name, text) {
  if (name.startsWith("recipes/")) return "recipe";
  if (name.startsWith("experiments/")) return "experiment";
  return name.startsWith("taxonomies/lexicons/") || /^lexicon:/m.test(text) ? "lexicon" : "taxonomy";
}

function suggest(name, context) {
  const before = context.state.sliceDoc(0, context.pos);
  if (name.endsWith(".j2")) {
    const word = context.matchBefore(/\w*$/);
    const inside = before.lastIndexOf("{{") > before.lastIndexOf("}}");
    if (!inside || (!word.text && !context.explicit)) return null;
    const functions = Object.entries(noted.words.functions).map(([label, info]) => ({ label, type: "function", apply: `${label}(`, info }));
    return { from: word.from, options: [...noted.slots.map((label) => ({ label, type: "variable" })), ...functions] };
  }
  const schema = noted.words.schemas[kindOf(name, before)];
  const { word, options } = schema ? complete(schema, before) : { word: "", options: [] };
  if (!options.length || (!word && !context.explicit && !/(^|\n)\s*(- )?$|:\s$|[{[,]\s*$/.test(before))) return null;
  return { from: context.pos - word.length, options, validFor: /^[\w.-]*$/ };
}

function showFaults(doc, faults) {
  doc.faults = faults;
  if (doc !== open) return;
  const text = view.state.doc;
  const own = faults.filter((fault) => fault.file === doc.name);
  view.dispatch(setDiagnostics(view.state, own.map((fault) => {
    const line = text.line(Math.min(Math.max(fault.line, 1), text.lines));
    const from = Math.min(line.from + Math.max(fault.column - 1, 0), line.to);
    const word = /^(?:"[^"]*"|'[^']*'|[^\s,[\]{}#]+)/.exec(text.sliceString(from, line.to))?.[0].length ?? 0;
    return { from, to: Math.max(from + word, Math.min(from + 1, line.to)), severity: fault.severity, message: tell(fault) };
  })));
  const errors = faults.filter((fault) => fault.severity === "error").length;
  by("fault-count").textContent = faults.length ? `${errors} errors, ${faults.length - errors} warnings` : "none";
  by("fault-count").dataset.state = faults.length ? "some" : "none";
  by("faults").replaceChildren(...faults.map((fault) => make("li", { class: `is-${fault.severity}` },
    make("button", { type: "button", onclick: () => goToFault(fault) },
      make("span", { class: "place" }, `${fault.file === doc.name ? "" : `${fault.file}:`}${fault.line}:${fault.column}`),
      make("span", { class: "what" }, fault.what), fault.hint ? make("span", { class: "hint" }, ` – ${fault.hint}`) : ""))));
}

const tell = (fault) => (fault.hint ? `${fault.what}\n${fault.hint}` : fault.what);

function goToFault(fault) {
  if (Object.hasOwn(noted.files, fault.file)) openFile(fault.file, fault.line, fault.column);
}

// ---- What it makes -------------------------------------------------------------------------------------------------

const looks = { running: false, again: false };

// Ask for faults and prompts of the open file; while an answer is awaited, further calls are one.
async function refresh() {
  looks.again = true;
  if (looks.running) return;
  looks.running = true;
  while (looks.again) {
    looks.again = false;
    const doc = open;
    by("prompts").dataset.state = "loading";
    by("fault-count").dataset.state = "loading";
    try {
      const { faults } = await ask(`faults?${query({ name: doc.name })}`);
      showFaults(doc, faults);
      const found = await ask(`look?${query({ name: doc.name, recipe: by("recipe").value })}`);
      if (doc === open) showLook(found);
    } catch (error) {
      if (!(error instanceof Refused)) setAway(true);
      else if (doc === open) showLook({ error: { what: error.message } });
    }
  }
  looks.running = false;
}

function showLook(found) {
  const parts = ["skills", "prompts", "unjudged", "notes"].map(by);
  by("look-error").hidden = !found.error;
  by("look-error").textContent = found.error ? `${tellError(found.error)}\nBelow stands what the last sound version made.` : "";
  for (const part of parts) part.classList.toggle("is-old", Boolean(found.error));
  by("prompts").dataset.state = found.error ? "error" : "ready";
  if (found.error) return;
  noted.slots = [...new Set(found.skills.flatMap((skill) => skill.slots.map((slot) => slot.name)))];
  by("cover-note").textContent = `of the first ${found.planned} prompts of ${found.recipe}, lexicon ${found.lexicon}`;
  by("skills").replaceChildren(...found.skills.map(showSkill));
  by("notes").replaceChildren(...found.notes.map((note) => make("li", {}, note)));
  by("unjudged-count").textContent = found.unjudged.length ? "" : "every claim has a scorer";
  by("unjudged").replaceChildren(...found.unjudged.map((note) => make("li", {}, note)));
  by("prompt-note").textContent = `${found.prompts.length} shown; a dashed claim is judged by no scorer of the recipe`;
  by("prompts").replaceChildren(...found.prompts.map((prompt) => make("li", {},
    make("span", { class: "words" }, prompt.text, make("span", { class: "from" }, `  ${prompt.path} · ${prompt.level}`)),
    make("button", { type: "button", title: "Draw six candidates of this prompt", onclick: () => draw(prompt.id) }, "draw"),
    make("span", { class: "claims" }, ...prompt.claims.map(showClaim)))));
}

const showClaim = ([claim, judges]) => make("span", { class: judges.length ? "claim" : "claim is-unjudged", title: judges.length ? `judged by ${judges.join(", ")}` : "no scorer of the recipe judges this" }, claim);

function showSkill(skill) {
  const levels = Object.entries(skill.levels).flatMap(([name, count], k) => [k ? " · " : "", make("span", { class: count ? false : "lack" }, `${name} ${count}`)]);
  const slots = skill.slots.flatMap((slot, k) => {
    const lack = slot.missing.length;
    const few = lack && lack <= 3 ? `, without ${slot.missing.join(", ")}` : "";
    return [k ? " · " : "", make("span", { class: lack ? "lack" : false, title: slot.missing.slice(0, 200).join(", ") }, `${slot.name} ${slot.values - lack} of ${slot.values}${few}`)];
  });
  return make("tr", {}, make("td", { title: skill.title }, skill.path), make("td", {}, ...levels), make("td", {}, ...slots),
    make("td", {}, `${skill.wordings_used} of ${skill.wordings}`),
    make("td", { class: "num" }, `${skill.distinct.exact ? "" : "≥ "}${skill.distinct.count.toLocaleString("en")}`),
    make("td", { class: skill.duplicates ? "num lack" : "num" }, `${skill.duplicates} of ${skill.drawn}`));
}

// ---- Samples -------------------------------------------------------------------------------------------------------

let drawing = null; // of the drawing that runs

async function draw(prompt = "") {
  drawing?.abort();
  const own = (drawing = new AbortController());
  const key = `${open.name} ${by("recipe").value} ${prompt}`;
  noted.turn = noted.key === key ? noted.turn + 1 : 0;
  noted.key = key;
  const started = performance.now();
  by("draw-error").hidden = true;
  by("samples").replaceChildren();
  by("samples").dataset.state = "drawing";
  by("stop").hidden = false;
  by("draw-note").textContent = "loading the model …";
  try {
    await save(open);
    const body = { name: open.name, recipe: by("recipe").value, prompt, turn: noted.turn };
    const answer = await fetch("draw", asJson("POST", body, { signal: own.signal }));
    if (!answer.ok) throw new Refused(answer.status, await answer.json());
    for await (const line of readLines(answer.body)) showLine(line, started);
    by("samples").dataset.state = "ready";
  } catch (error) {
    if (own !== drawing) return;
    by("samples").dataset.state = own.signal.aborted ? "stopped" : "error";
    if (own.signal.aborted) by("draw-note").textContent = "stopped";
    else if (error instanceof Refused) showDrawError(error.message);
    else showDrawError("The studio does not answer.");
  }
  if (own === drawing) { drawing = null; by("stop").hidden = true; }
}

async function* readLines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let piece; !(piece = await reader.read()).done; ) {
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}

function showDrawError(text) {
  by("draw-error").hidden = false;
  by("draw-error").textContent = text;
  by("draw-note").textContent = "";
}

function showLine(line, started) {
  if (line.asked) by("draw-note").textContent = `${line.asked} by ${line.model} …`;
  if (line.error) showDrawError(tellError(line.error));
  if (line.failure) by("samples").append(make("article", { class: "sample", "data-id": line.failure.id }, make("div", { class: "about" }, make("span", {}, line.failure.text), make("span", { class: "verdict is-fail" }, "not made"), make("span", {}, line.failure.error))));
  if (line.sample) by("samples").append(showSample(line.sample));
  const count = by("samples").childElementCount;
  if (count) by("draw-note").textContent = `${count} in ${((performance.now() - started) / 1000).toFixed(1)} s · found boxes solid, planned dashed`;
}

function showSample(sample) {
  const number = (value) => (value === null ? "–" : value.toFixed(2));
  return make("article", { class: "sample", "data-id": sample.id },
    ...sample.pictures.map(showPicture),
    make("div", { class: "about" },
      make("span", {}, sample.text),
      make("span", { class: `verdict is-${sample.verdict}`, title: sample.why }, `${sample.verdict} · image ${number(sample.image_reward)} · text ${number(sample.text_reward)}`),
      ...sample.scores.map(([name, value, reason]) => make("span", { class: "note" }, `${name} ${number(value)}: ${reason}`)),
      ...sample.faults.map((fault) => make("span", { class: "error" }, fault)),
      ...(sample.passages.length ? [make("details", {}, make("summary", {}, "reasoning"), ...sample.passages.map(showPassage))] : [])));
}

function showPassage([role, plan]) {
  return make("p", {}, `${role}: `, plan.map((step) => (typeof step === "string" ? step : `${step[0]}${step[1] ? ` (${step[1].join(" ")})` : ""}`)).join(" "));
}

function showPicture(picture) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 1000 1000");
  svg.setAttribute("preserveAspectRatio", "none");
  for (const [boxes, kind] of [[picture.planned, "is-planned"], [picture.detected, "is-found"]]) {
    for (const [left, top, right, bottom, label] of boxes) {
      const box = document.createElementNS(svg.namespaceURI, "rect");
      for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top, class: kind })) box.setAttribute(name, value);
      const title = document.createElementNS(svg.namespaceURI, "title");
      title.textContent = label;
      box.append(title);
      svg.append(box);
    }
  }
  const enlarge = (event) => event.currentTarget.closest(".sample").classList.toggle("is-large");
  return make("button", { class: "frame", type: "button", title: "larger or smaller", onclick: enlarge }, make("img", { src: picture.url, alt: picture.caption || "sample", width: picture.width, height: picture.height, class: picture.pixelated ? "is-small" : false }), svg);
}

// ---- Begin ---------------------------------------------------------------------------------------------------------

// Send what is not in a file yet in a way that outlives the page; return whether that is all of it.
function flush() {
  let all = true;
  for (const doc of docs.values()) {
    if (!doc.dirty && !doc.saving) continue;
    const options = asJson("PUT", { text: textOf(doc), base: doc.base }, { keepalive: true });
    const fits = new Blob([options.body]).size < KEEPALIVE_BYTES;
    if (fits && !doc.conflict) fetch(`file?${query({ name: doc.name })}`, options).catch(() => {});
    all &&= fits && !doc.conflict && document.body.dataset.away !== "true";
  }
  return all;
}

addEventListener("pagehide", flush);
addEventListener("beforeunload", (event) => { if (!flush()) event.preventDefault(); });
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") for (const doc of docs.values()) save(doc);
  else poll();
});
by("file").addEventListener("change", async () => { const name = by("file").value; if (open) await save(open); openFile(name); });
by("recipe").addEventListener("change", refresh);
by("new").addEventListener("click", beginDraft);
by("draft").addEventListener("input", showParts);
by("draft").addEventListener("submit", makeDraft);
by("leave").addEventListener("click", () => by("maker").close());
by("draw").addEventListener("click", () => draw());
by("stop").addEventListener("click", () => drawing?.abort());

view = new EditorView({ parent: by("editor"), state: EditorState.create({ extensions: extend("", true) }) });
const first = await ask("files");
noted.files = first.files;
by("project").textContent = first.project;
listFiles();
const wanted = decodeURIComponent(location.hash.slice(1));
const names = Object.keys(first.files);
const begin = names.includes(wanted) ? wanted : names.find((name) => name.startsWith("taxonomies/") && !name.includes("/lexicons/")) ?? names[0];
noted.words = await ask("words");
by("new").disabled = false;
if (begin) await openFile(begin);
keepPolling();
