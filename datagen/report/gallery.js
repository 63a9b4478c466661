// The gallery without a library. The page holds all samples as numbers (`table`) and those that have cards as chunks of words
// and thumbnails. This file unpacks them, filters, sorts, and builds the cards that are in sight with `cards.js`, which stands
// before it in the page; it asks for nothing but a full picture beside the page when a sample is opened.
(async () => {
  const find = (id) => document.getElementById(id);
  const form = document.querySelector(".toolbar");
  const list = find("groups");
  const viewer = find("viewer");
  const root = document.documentElement;
  const digits = (value) => (value === "" ? NaN : Number(value));
  const count = (number) => number.toLocaleString("en-US");
  const VERDICTS = ["pass", "fail", "unjudged"];
  const BUILT_WHOLE = 400; // so many cards are built at once: printing and the browser's own search then see all
  const OTHERS = 100; // samples without a card that are listed
  const GLANCES = 12; // pictures above the figures
  const FIELDS = ["q", "weakness", "skill", "verdict", "cause", "score", "low", "high", "sort", "detected", "planned", "siblings"];

  // ---- unpack
  async function inflate(text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let k = 0; k < letters.length; k++) bytes[k] = letters.charCodeAt(k);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // A table of columns: of prompts (size, skill, card, id) and of rows (candidate, verdict, values).
  async function readTable() {
    const bytes = await inflate(find("table").textContent), end = bytes.indexOf(10);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
    const table = { prompts: head.prompts, rows: head.rows, paths: head.paths, values: {}, codes: {} };
    let place = end + 1;
    const take = (length) => bytes.subarray(place, (place += length));
    for (const column of head.columns) {
      const length = ["size", "skill", "card"].includes(column.name) ? head.prompts : head.rows;
      let codes = take(length);
      if (column.wide) {
        const upper = take(length), both = new Uint16Array(length);
        for (let k = 0; k < length; k++) both[k] = codes[k] | (upper[k] << 8);
        codes = both;
      }
      table.codes[column.name] = codes;
      if (column.values) table.values[column.name] = [NaN, ...column.values];
      if (column.sets) table.sets = column.sets; // of causes: the one of each code
    }
    const rest = bytes.subarray(place), width = 12, decoder = new TextDecoder();
    table.start = new Int32Array(head.prompts + 1);
    table.card = new Int32Array(head.prompts).fill(-1); // number of its group among those with cards
    table.nameless = new Int32Array(head.prompts);
    table.prompt = new Int32Array(head.rows);
    let shown = 0, others = 0;
    for (let p = 0; p < head.prompts; p++) {
      table.start[p + 1] = table.start[p] + table.codes.size[p];
      if (table.codes.card[p]) table.card[p] = shown++;
      else table.nameless[p] = others++;
      table.prompt.fill(p, table.start[p], table.start[p + 1]);
    }
    table.id = (p) => decoder.decode(rest.subarray(width * table.nameless[p], width * (table.nameless[p] + 1))).trimEnd();
    table.value = (name, row) => (table.codes[name] ? table.values[name][table.codes[name][row]] : NaN);
    return table;
  }

  const parts = [...document.querySelectorAll("script[id^=words-]")].filter((part) => part.id !== "words-disputed");
  const chunks = parts.map((part) => ({ part, groups: Number(part.dataset.groups) }));
  const place = []; // of each group with cards: its chunk, and its number there
  chunks.forEach((chunk, number) => { for (let k = 0; k < chunk.groups; k++) place.push([number, k]); });

  async function readChunk(name) {
    const groups = JSON.parse(new TextDecoder().decode(await inflate(find(`words-${name}`).textContent)));
    const thumbs = find(`thumbs-${name}`).textContent.split("\n");
    let next = 0;
    for (const group of groups)
      for (const card of group.cards || [group]) for (const picture of card.pictures) picture.thumb = thumbs[next++];
    return groups;
  }

  function load(number) {
    const chunk = chunks[number];
    chunk.promise ||= readChunk(number).then((groups) => (chunk.content = groups));
    return chunk.promise;
  }

  const groupOf = (p) => {
    const [number, k] = place[table.card[p]];
    return chunks[number].content?.[k];
  };
  const cardOf = (row) => groupOf(table.prompt[row]).cards[row - table.start[table.prompt[row]]];

  // ---- disputes
  function makeDispute(dispute) {
    const evaluators = document.body.dataset.evaluators.split(" "), scores = make("ul", "scores"), pictures = make("div", "pictures");
    for (const picture of dispute.pictures) {
      const found = picture.detected.map((box) => box[4]).join(", ") || "no boxes";
      pictures.append(makePicture(picture, `Image for “${dispute.text}”. Detected: ${found}.`, "span"));
    }
    if (!dispute.pictures.length) pictures.append(make("p", "missing", "No image."));
    for (const [name, value, reason, says] of dispute.voices) {
      const words = make("span", "", says ? "✓ " : "✗ ", make("b", "", name));
      if (evaluators.includes(name)) words.append(" ", make("span", "tag", "evaluates only"));
      words.append(" ", make("span", "why", reason));
      scores.append(make("li", says ? "full" : "short", make("span", "value", show(value)), words));
    }
    return make("div", "dispute", make("p", "", bdi(dispute.text, "auto")), pictures, scores, make("p", "origin", make("code", "", dispute.id)));
  }

  // ---- filter and sort
  const table = await readTable();
  let entries = []; // the groups with cards that are shown, in order: prompt, rows, which of these matched
  let visible = []; // the rows of their cards, in order
  let current = -1; // a row, or none
  let words = null; // of each row with a card: the text to search
  let round = 0;

  async function readWords() {
    await Promise.all(chunks.map((_, number) => load(number)));
    words = [];
    for (let p = 0; p < table.prompts; p++) {
      if (table.card[p] < 0) continue;
      const group = groupOf(p), shared = [group.text, group.path, group.level, ...group.claims].join(" ");
      for (const [k, card] of group.cards.entries()) {
        const said = card.scores.flatMap(([name, , reason]) => [name, reason]);
        const thought = card.passages.flatMap(([role, steps]) => [role, ...steps.map((step) => (typeof step === "string" ? step : step[0]))]);
        words[table.start[p] + k] = [shared, card.id, card.seed, card.verdict, ...said, ...thought].join(" ").replace(/\s+/g, " ").toLowerCase();
      }
    }
  }

  function readTerms() {
    return (find("q").value.toLowerCase().match(/"[^"]+"|\S+/g) || []).map((term) => term.replace(/^"(.+)"$/, "$1"));
  }

  function matcher(terms) {
    const low = digits(find("low").value), high = digits(find("high").value), ranged = low > 0 || high < 1;
    const [weakness, skill, verdict, score] = ["weakness", "skill", "verdict", "score"].map((id) => find(id).value);
    const cause = find("cause")?.value, caused = cause && table.sets.map((set) => set.includes(cause));
    const paths = table.paths.map((path) => (!weakness || path.startsWith(weakness + "/")) && (!skill || path === skill));
    const fits = (table.values[score] || [NaN]).map((value) => value >= low - 1e-6 && value <= high + 1e-6);
    const codes = table.codes[score], wanted = VERDICTS.indexOf(verdict), skills = table.codes.skill, verdicts = table.codes.verdict;
    return (p, row) => {
      if (!paths[skills[p]] || (wanted >= 0 && verdicts[row] !== wanted)) return false;
      if (cause && !caused[table.codes.causes[row]]) return false;
      if (ranged && !(codes && fits[codes[row]])) return false;
      return !terms.length || (words[row] !== undefined && terms.every((term) => words[row].includes(term)));
    };
  }

  function keyOf(rows, name, way) {
    let low = Infinity, high = -Infinity;
    for (const row of rows) {
      const value = table.value(name, row);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low === Infinity) return NaN;
    return way === "up" ? low : way === "spread" ? high - low : high;
  }

  // Rows without a value come last; equal ones keep the order of the run.
  function compare(a, b, way) {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return way === "up" ? a - b : b - a;
  }

  function sortBy(things, name, way, rowsOf) {
    if (!name) return things;
    const keyed = things.map((thing) => [keyOf(rowsOf(thing), name, way), thing]);
    return keyed.sort((a, b) => compare(a[0], b[0], way)).map((pair) => pair[1]);
  }

  async function apply() {
    const mine = ++round, terms = readTerms();
    list.setAttribute("aria-busy", "true");
    if (terms.length && !words) await readWords();
    if (mine !== round) return;
    const matches = matcher(terms), siblings = find("siblings").checked;
    const [name, way] = find("sort").value ? find("sort").value.split(":") : ["", ""];
    let hits = 0, prompts = 0, carded = 0;
    const found = [], others = [];
    for (let p = 0; p < table.prompts; p++) {
      const rows = [];
      for (let row = table.start[p]; row < table.start[p + 1]; row++) if (matches(p, row)) rows.push(row);
      if (!rows.length) continue;
      hits += rows.length;
      prompts++;
      if (table.card[p] < 0) {
        for (const row of rows) others.push(row);
        continue;
      }
      carded += rows.length;
      found.push({ p, hits: rows });
    }
    entries = sortBy(found, name, way, (entry) => entry.hits);
    for (const entry of entries) {
      const all = Array.from({ length: table.start[entry.p + 1] - table.start[entry.p] }, (_, k) => table.start[entry.p] + k);
      entry.rows = sortBy(siblings ? all : entry.hits, name, way === "up" ? "up" : "down", (row) => [row]);
    }
    visible = entries.flatMap((entry) => entry.rows);
    placeGroups();
    listOthers(others, name, way);
    find("nothing").hidden = hits > 0;
    const all = `${count(table.rows)} samples`, here = carded < hits ? `; ${count(carded)} have cards here` : "";
    find("count").textContent = hits === table.rows
      ? `${all} of ${count(table.prompts)} prompts${here}`
      : `${count(hits)} of ${all}, ${count(prompts)} of ${count(table.prompts)} prompts${here}`;
    if (!visible.includes(current)) current = visible.length ? visible[0] : -1;
    await fillFirst();
    if (mine !== round) return;
    setCurrent(current, false);
    list.setAttribute("aria-busy", "false");
  }

  // ---- groups: a node for each, filled when it comes near
  const nodes = new Map(); // by prompt
  const watcher = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting) fill(target);
      else empty(target);
    }
  }, { rootMargin: "1600px" });

  function nodeOf(entry) {
    let node = nodes.get(entry.p);
    if (!node) {
      node = make("div", "group waiting");
      node.setAttribute("role", "group");
      nodes.set(entry.p, node);
      watcher.observe(node);
    }
    node.entry = entry;
    return node;
  }

  function placeGroups() {
    const wanted = entries.map(nodeOf);
    const same = wanted.length === list.children.length && wanted.every((node, k) => node === list.children[k]);
    if (!same) list.replaceChildren(...wanted);
    for (const node of wanted) {
      if (node.classList.contains("waiting")) continue;
      if (groupOf(node.entry.p)) build(node);
      else empty(node);
    }
  }

  function build(node) {
    const { p, rows, hits } = node.entry, group = groupOf(p), cards = make("div", "cards");
    for (const row of rows) {
      const card = makeCard(group, group.cards[row - table.start[p]]);
      if (!hits.includes(row)) card.classList.add("sibling");
      if (row === current) card.tabIndex = 0;
      card.row = row;
      cards.append(card);
    }
    const focused = node.contains(document.activeElement) ? document.activeElement.dataset.id : "";
    node.classList.remove("waiting");
    node.style.minHeight = "";
    node.setAttribute("aria-label", group.text);
    node.replaceChildren(makePrompt(group), cards);
    if (focused) document.getElementById(`s-${focused}`)?.focus({ preventScroll: true });
  }

  async function fill(node) {
    if (!node.classList.contains("waiting")) return;
    await load(place[table.card[node.entry.p]][0]);
    if (node.isConnected && node.classList.contains("waiting")) build(node);
  }

  function empty(node) {
    if (visible.length <= BUILT_WHOLE && node.isConnected) return;
    if (node.contains(document.activeElement) || node.classList.contains("waiting")) return;
    const height = node.offsetHeight;
    if (height) node.style.minHeight = `${height}px`;
    node.classList.add("waiting");
    node.replaceChildren();
  }

  async function fillFirst() {
    const first = visible.length <= BUILT_WHOLE ? entries : entries.slice(0, 4);
    await Promise.all(first.map((entry) => fill(nodes.get(entry.p))));
  }

  // The first in order, without sorting a million: a column's codes are in the order of its values, 0 for none.
  function pickFirst(rows, codes, way) {
    if (!codes) return rows.slice(0, OTHERS);
    const held = new Map();
    for (const row of rows) {
      const code = codes[row], same = held.get(code);
      if (!same) held.set(code, [row]);
      else if (same.length < OTHERS) same.push(row);
    }
    const order = [...held.keys()].sort((a, b) => (a === 0) - (b === 0) || (way === "up" ? a - b : b - a));
    const picked = [];
    for (const code of order) if (picked.length < OTHERS) picked.push(...held.get(code));
    return picked.slice(0, OTHERS);
  }

  function listOthers(rows, name, way) {
    find("others").hidden = !rows.length;
    const shown = pickFirst(rows, table.codes[name], way);
    find("h-others").textContent = `${count(rows.length)} more ${rows.length === 1 ? "matches" : "match"}${rows.length > shown.length ? `; the first ${shown.length} of them` : ""}`;
    find("others").querySelector("tbody").replaceChildren(...shown.map((row) => {
      const p = table.prompt[row], candidate = String(table.codes.candidate[row]).padStart(2, "0");
      const cells = [`${table.id(p)}-${candidate}`, table.paths[table.codes.skill[p]], SAID[VERDICTS[table.codes.verdict[row]]]];
      const values = ["image_reward", "text_reward", "image_weight"].map((name) => show(table.value(name, row)));
      return make("tr", "", ...cells.map((cell) => make("td", "", cell)), ...values.map((value) => make("td", "num", value)));
    }));
  }

  // ---- moving about
  const nodeAt = (row) => [...(nodes.get(table.prompt[row])?.querySelectorAll(".card") || [])].find((card) => card.row === row);

  async function setCurrent(row, focus) {
    const before = current >= 0 && nodeAt(current);
    if (before) before.tabIndex = -1;
    current = row;
    if (row < 0) return;
    if (focus) await fill(nodes.get(table.prompt[row]));
    const card = nodeAt(row);
    if (!card) return;
    card.tabIndex = 0;
    if (focus) {
      card.focus({ preventScroll: true });
      card.scrollIntoView({ block: "nearest" });
    }
  }

  async function step(by) {
    if (!visible.length) return;
    const started = viewer.open || (nodeAt(current) && nodeAt(current) === document.activeElement);
    const at = Math.max(0, visible.indexOf(current)), next = started ? at + by : at;
    await setCurrent(visible[Math.min(visible.length - 1, Math.max(0, next))], !viewer.open);
    if (viewer.open) await open();
  }

  async function stepGroup(by) {
    const at = entries.findIndex((entry) => entry.p === table.prompt[current]), target = entries[at + by];
    if (target) await setCurrent(target.rows[Math.min(target.rows.length - 1, entries[at].rows.indexOf(current))], true);
  }

  // ---- a first look: of each weakness one that passed and one that failed
  async function fillLook() {
    const picked = new Map(), weaknesses = new Set(table.paths.map((path) => path.split("/")[0]));
    for (let p = 0; p < table.prompts && picked.size < 2 * weaknesses.size; p++) {
      if (table.card[p] < 0) continue;
      const weakness = table.paths[table.codes.skill[p]].split("/")[0];
      for (let row = table.start[p]; row < table.start[p + 1]; row++) {
        const verdict = VERDICTS[table.codes.verdict[row]], name = `${weakness} ${verdict}`;
        if (verdict !== "unjudged" && !picked.has(name)) picked.set(name, row);
      }
    }
    const order = [...picked.keys()].sort((a, b) => a.split(" ")[0].localeCompare(b.split(" ")[0])).slice(0, GLANCES);
    for (const name of order) {
      const row = picked.get(name), p = table.prompt[row], [weakness, verdict] = name.split(" ");
      await load(place[table.card[p]][0]);
      const picture = cardOf(row).pictures.at(-1), words = groupOf(p).text;
      if (!picture?.thumb) continue;
      const button = makeButton("", async () => { await setCurrent(row, false); await open(); });
      button.className = "glance";
      button.append(makePicture({ ...picture, caption: "" }, `Image for “${words}”`, "span"), make("span", `verdict ${verdict}`, `${verdict === "pass" ? "✓" : "✗"} ${weakness}`), make("span", "words", bdi(words, "auto")));
      find("look").querySelector(".strip").append(button);
    }
    find("look").hidden = !find("look").querySelector(".glance");
  }

  // ---- one sample, large
  function makeButton(text, act) {
    const button = make("button", "quiet", text);
    button.type = "button";
    button.addEventListener("click", () => act(button));
    return button;
  }

  function makeCommand(command) {
    const row = make("div"), code = make("code", "", command);
    const copy = makeButton("Copy", async (button) => {
      getSelection().selectAllChildren(code);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
    });
    row.append(code, copy);
    return row;
  }

  // The full picture takes the place of its thumbnail when it is there; the words below say where it is or would be.
  function addFull(node, picture, id) {
    if (picture.whole || !picture.thumb) return;
    const note = make("span", "caption full"), size = `${picture.width} × ${picture.height}`;
    node.append(note);
    if (!picture.file) {
      note.textContent = `a thumbnail; the full picture (${size}) was not copied beside this page: datagen sample ${document.body.dataset.run} ${id} --out picture.png`;
      return;
    }
    const folder = document.body.dataset.folder, file = `${folder}/${picture.file}`;
    const full = new Image(), link = make("a", "", file);
    link.href = `${encodeURIComponent(folder)}/${picture.file}`;
    link.target = "_blank";
    note.append(`a thumbnail; the full picture (${size}) is in `, link);
    full.addEventListener("load", () => {
      node.querySelector("img").src = full.src;
      note.replaceChildren(`the full picture, ${size}: `, link);
    });
    full.addEventListener("error", () => {
      note.textContent = `a thumbnail; the full picture (${size}) would be ${file}, which is not beside this page`;
    });
    full.src = link.href;
  }

  async function open() {
    if (current < 0) return;
    const row = current, p = table.prompt[row];
    await load(place[table.card[p]][0]);
    const group = groupOf(p), sample = cardOf(row), card = makeCard(group, sample), head = make("div", "viewer-head"), nav = make("nav");
    card.removeAttribute("id");
    card.removeAttribute("tabindex");
    card.classList.add("large");
    const shots = [...card.querySelectorAll(".pictures > *")];
    sample.pictures.forEach((picture, k) => {
      const button = shots[k];
      if (!button.matches("button")) return;
      const still = make("div", "picture", ...button.childNodes);
      button.replaceWith(still);
      addFull(still, picture, sample.id);
    });
    nav.append(makeButton("Previous", () => step(-1)), makeButton("Next", () => step(1)), makeButton("Close", shut));
    head.append(makePrompt(group), nav);
    const run = document.body.dataset.run;
    card.append(make("div", "commands", makeCommand(`datagen sample ${run} ${sample.id}`), makeCommand(`datagen regen ${run} ${sample.id}`)));
    viewer.replaceChildren(head, card);
    viewer.setAttribute("aria-label", `Sample ${sample.id}`);
    if (!viewer.open) viewer.showModal();
    viewer.scrollTop = 0;
    viewer.focus();
  }

  function shut() {
    viewer.close(); // gives focus back to where it came from; the card last shown is the better place
    setCurrent(current, true);
  }

  // ---- wiring
  const typing = (node) => node.matches("input:not([type=checkbox]), select, textarea");
  const keys = {
    j: () => step(1), k: () => step(-1),
    b: () => find("detected").click(), p: () => find("planned").click(),
    "/": () => { if (!viewer.open) find("q").select(); },
  };
  const arrows = { ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => stepGroup(1), ArrowUp: () => stepGroup(-1) };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === "Escape" && event.target.id === "q") {
        event.preventDefault();
        setCurrent(current, true);
      }
      return;
    }
    const onCard = current >= 0 && document.activeElement === nodeAt(current) && !viewer.open;
    const sideways = event.key === "ArrowRight" || event.key === "ArrowLeft";
    const act = (viewer.open && event.key === "Escape" && shut) || keys[event.key] || ((onCard || (viewer.open && sideways)) && arrows[event.key]) || (onCard && event.key === "Enter" && open);
    if (!act) return;
    event.preventDefault();
    act();
  });
  list.addEventListener("click", async (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    setCurrent(card.row, false);
    if (event.target.closest(".picture")) open();
    else if (getSelection().isCollapsed) card.focus({ preventScroll: true });
  });
  viewer.addEventListener("close", () => setCurrent(current, true));
  viewer.addEventListener("click", (event) => { if (event.target === viewer) shut(); });

  const overlays = () => {
    for (const name of ["detected", "planned"]) root.classList.toggle(`show-${name}`, find(name).checked);
  };
  const narrow = () => {
    const skill = find("skill"), weakness = find("weakness").value;
    if (weakness && !skill.value.startsWith(weakness + "/")) skill.value = "";
    for (const option of skill.options) option.hidden = Boolean(weakness && option.value && !option.value.startsWith(weakness + "/"));
  };

  // The filters stand in the address, so that a link shows what its sender saw.
  const fields = FIELDS.map(find).filter(Boolean), isBox = (field) => field.type === "checkbox";
  const usual = (field) => (isBox(field) ? String(field.defaultChecked) : field.options ? field.options[0].value : field.defaultValue);
  const valueOf = (field) => (isBox(field) ? String(field.checked) : field.value);
  function setFields(values) {
    for (const field of fields) {
      const given = values[field.id], value = given === undefined || (field.type === "number" && !isFinite(given)) ? usual(field) : given;
      if (isBox(field)) field.checked = value === "true";
      else field.value = value;
      if (field.options && field.selectedIndex < 0) field.selectedIndex = 0;
    }
    narrow();
    overlays();
  }
  function writeAddress() {
    const chosen = fields.filter((field) => valueOf(field) !== usual(field)).map((field) => [field.id, valueOf(field)]);
    const address = location.href.split("#")[0] + (chosen.length ? `#${new URLSearchParams(chosen)}` : "");
    if (address !== location.href) history.replaceState(null, "", address);
  }
  function readAddress() {
    const hash = location.hash.slice(1);
    setFields(hash.includes("=") ? Object.fromEntries(new URLSearchParams(hash)) : {});
  }
  const change = () => { narrow(); overlays(); writeAddress(); apply(); };

  form.addEventListener("input", change);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(change));
  addEventListener("hashchange", () => { if (location.hash.includes("=")) { readAddress(); apply(); } });

  for (const button of document.querySelectorAll("button.pick"))
    button.addEventListener("click", () => {
      setFields({ ...Object.fromEntries(fields.filter(isBox).map((field) => [field.id, valueOf(field)])), ...button.dataset });
      change();
      find("samples").scrollIntoView();
    });

  const themes = ["auto", "light", "dark"];
  const setTheme = (name) => {
    if (name === "auto") delete root.dataset.theme;
    else root.dataset.theme = name;
    find("theme").textContent = `Theme: ${name}`;
    try { localStorage.setItem("datagen-theme", name); } catch { /* a file opened without storage keeps no theme */ }
  };
  find("theme").addEventListener("click", () => setTheme(themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % 3]));
  let stored = null;
  try { stored = localStorage.getItem("datagen-theme"); } catch { /* as above */ }
  if (themes.includes(stored)) setTheme(stored);

  form.hidden = find("theme").hidden = false;
  readAddress(); // a browser may have kept earlier input
  if (find("disputes")) find("disputes").append(...(await readChunk("disputed")).map(makeDispute));
  await apply();
  await fillLook();
  performance.mark("samples-built");
})();
