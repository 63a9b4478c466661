// The page of runs. The server filters and sorts; the page asks for the samples that it shows and draws them with `cards.js`,
// as the gallery does. What is chosen stands in the address behind #. All words enter the page as text, never as HTML.
const POLL_MS = 1500; // while a run is read or made
const CALM_MS = 8000; // else
const TYPING_MS = 400; // after the last key, a search in what the model wrote begins
const ROWS = 24;
const FIELDS = ["q", "said", "path", "level", "verdict", "cause", "mark", "value", "low", "high", "weight", "least", "most", "sort", "detected", "planned"];

const by = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en-US");
const noted = { run: null, about: null, page: 1, asked: 0, groups: [], total: 0, current: 0, isHalted: false };

const tellTrouble = ({ where, what, hint }) => [[where, what].filter(Boolean).join(": "), hint].filter(Boolean).join("\n");

async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  const body = await answer.json();
  if (answer.ok) return body;
  throw Object.assign(new Error(tellTrouble(body.error ?? {})), { status: answer.status, body });
}

const query = (values) => new URLSearchParams(values).toString();
const showError = (error) => {
  by("trouble").hidden = !error;
  by("trouble").textContent = !error ? "" : error.status ? error.message : error instanceof TypeError ? "The server does not answer." : String(error.message);
};

function makeButton(text, act, name = "quiet") {
  const button = make("button", name, text);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

// ---- What is chosen, and the address

const isBox = (field) => field.type === "checkbox";
const usual = (field) => (isBox(field) ? String(field.defaultChecked) : field.options ? field.options[0]?.value ?? "" : field.defaultValue);
const valueOf = (field) => (isBox(field) ? String(field.checked) : field.value);

function setField(field, value) {
  const given = value ?? usual(field);
  if (isBox(field)) field.checked = given === "true";
  else field.value = given;
  if (field.options && field.selectedIndex < 0) field.selectedIndex = 0;
}

function writeAddress() {
  if (noted.beside) {
    const given = [["run", noted.run], ["beside", noted.beside], ["change", by("change").value], ["path", by("pair-path").value], ["page", noted.page > 1 ? noted.page : ""]];
    history.replaceState(null, "", `#${query(given.filter(([, value]) => value !== ""))}`);
    return;
  }
  const chosen = FIELDS.map(by).filter((field) => valueOf(field) !== usual(field)).map((field) => [field.id, valueOf(field)]);
  if (noted.page > 1) chosen.push(["page", noted.page]);
  const address = `#${query([["run", noted.run], ...chosen])}`;
  if (address !== location.hash) history.replaceState(null, "", address);
}

function readQuery() {
  const value = (id) => by(id).value;
  const asked = [["run", noted.run], ...["q", "said", "path", "level", "verdict", "cause", "mark", "sort"].map((id) => [id, value(id)])];
  if (value("low") || value("high")) asked.push(["range", `${value("value")}:${value("low")}:${value("high")}`]);
  if (value("least") || value("most")) asked.push(["range", `${value("weight")}:${value("least")}:${value("most")}`]);
  return asked.filter(([, given]) => given !== "");
}

// ---- What the filters offer

const nameOf = (column) => ({ plan_over_image: "plan over image", gap: "own judgement, gap" })[column] ?? column.replace(/^score:/, "").replace("_", " ");

function offer(id, options) {
  const field = by(id), before = field.value;
  const made = options.map(([value, text]) => Object.assign(make("option", "", text), { value }));
  if (made.length === field.options.length && made.every((option, k) => option.value === field.options[k].value && option.text === field.options[k].text)) return;
  field.replaceChildren(...made);
  setField(field, before || undefined);
}

function offerAll(about) {
  const paths = about.paths.flatMap((path, k) => {
    const weakness = path.split("/")[0], isFirst = k === 0 || about.paths[k - 1].split("/")[0] !== weakness;
    return [...(isFirst ? [[weakness, weakness]] : []), [path, `\u2003${path.split("/")[1]}`]];
  });
  const all = (values) => [["", "all"], ...values.map((value) => [value, value])];
  const isWeight = (column) => column.endsWith("_weight");
  offer("path", [["", "all"], ...paths]);
  offer("level", all(about.levels));
  offer("verdict", all(about.verdicts));
  offer("cause", all(about.causes));
  offer("mark", [["", "all"], ["canary", `canaries (${about.canaries})`], ...Object.entries(about.review).map(([mark, number]) => [mark, `${mark} (${number})`])]);
  offer("value", about.columns.filter((column) => !isWeight(column)).map((column) => [column, nameOf(column)]));
  offer("weight", about.columns.filter(isWeight).map((column) => [column, nameOf(column)]));
  offer("sort", [["", "as in the run"], ...about.columns.flatMap((column) => [[`${column}:down`, `${nameOf(column)}, high first`], [`${column}:up`, `${nameOf(column)}, low first`]])]);
}

function showProgress(about) {
  const { progress } = about, scored = progress.shards.scores, planned = progress.planned_shards;
  const isMade = planned > 0 && scored >= planned;
  const bar = by("progress").querySelector("progress");
  by("progress").hidden = isMade && about.is_read;
  bar.max = Math.max(planned, 1);
  bar.value = isMade ? about.read_shards : scored;
  const parts = progress.kept ? `, ${count(progress.kept)} answers of open shards` : "";
  const words = planned ? `${count(progress.shards.samples)} of ${count(planned)} shards generated, ${count(scored)} scored${parts}` : `${count(progress.shards.prompts)} shards of prompts so far`;
  const rest = about.is_read ? "" : `${isMade ? "" : " · "}read: ${count(about.read_shards)} of ${count(scored)}; filters, sorts and counts cover these`;
  by("progress").querySelector("span").textContent = (isMade ? "" : words) + rest;
  by("about").textContent = `${count(about.samples)} samples${planned ? ` of ${count(progress.planned_samples)} planned` : ""} · model ${about.model} · weights ${about.policy}`;
}

// ---- Samples

function makeItem(group) {
  const card = makeCard(group, group.cards[0]);
  card.tabIndex = 0;
  card.querySelector(".head .number").title = "candidate";
  if (group.is_canary) card.querySelector(".head").append(" ", Object.assign(make("span", "tag canary", "canary"), { title: "marked by a person: scorers are tried on it" }));
  card.prepend(makePrompt(group));
  card.append(makeReview(group, card));
  return card;
}

// What a person says. It is sent with the version of what was said before: another tab's words are shown, never replaced.
function makeReview(group, card) {
  const box = make("div", "review"), said = group.review, id = group.cards[0].id;
  card.dataset.mark = said.mark;
  if (!noted.mayMark) {
    if (said.mark) box.append(make("span", "tag", said.mark));
    if (said.comment) box.append(make("p", "comment", said.comment));
    return box;
  }
  const note = Object.assign(make("span", "note"), { role: "status" }), field = Object.assign(make("textarea"), { rows: 1, placeholder: "comment", maxLength: 4000 });
  const tell = async (mark, comment) => {
    note.textContent = "…";
    let review, words = "";
    try {
      review = await ask("review", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ run: noted.run, id, mark, comment, base: group.review.version }) });
    } catch (error) {
      if (error.status !== 409) { note.textContent = error.status ? error.message : "not noted: the server does not answer"; return; }
      review = error.body;
      words = `another tab said this meanwhile${comment && comment !== review.comment ? `; you wrote: ${comment}` : ""}`;
    }
    // The same sample may stand in the list and in the viewer.
    for (const each of [card, ...document.querySelectorAll("#cards .card, #viewer .card")]) if (each.dataset.id === id) each.querySelector(".review").show(review, words);
  };
  const buttons = [["accepted", "Accept"], ["rejected", "Reject"]].map(([mark, word]) => Object.assign(makeButton(word, () => tell(group.review.mark === mark ? "" : mark, field.value)), { value: mark }));
  box.show = (review, words = "") => {
    group.review = review;
    card.dataset.mark = review.mark;
    for (const button of buttons) button.setAttribute("aria-pressed", review.mark === button.value);
    if (words || field !== document.activeElement) field.value = review.comment; // else it may hold newer words
    note.textContent = words;
  };
  field.setAttribute("aria-label", "Comment");
  field.addEventListener("change", () => tell(group.review.mark, field.value));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); field.blur(); } });
  box.append(...buttons, field, note);
  box.show(said);
  return box;
}

function showPager(ids = ["pager", "pager-below"], renew = refresh) {
  const pages = Math.max(1, Math.ceil(noted.total / ROWS));
  const turn = (page) => { noted.page = Math.min(Math.max(1, page), pages); renew(true); };
  for (const id of ids) {
    const field = Object.assign(make("input"), { type: "number", min: 1, max: pages, value: noted.page });
    field.setAttribute("aria-label", "Page");
    field.addEventListener("change", (event) => { event.stopPropagation(); turn(Number(field.value) || 1); });
    field.addEventListener("input", (event) => event.stopPropagation());
    const held = [...by(id).children].indexOf(document.activeElement);
    const before = makeButton("Previous", () => turn(noted.page - 1)), after = makeButton("Next", () => turn(noted.page + 1));
    before.disabled = noted.page <= 1;
    after.disabled = noted.page >= pages;
    by(id).replaceChildren(before, make("span", "", "page "), field, make("span", "", `of ${count(pages)}`), after);
    by(id).hidden = id === "pager-below" && pages === 1;
    by(id).children[held]?.focus({ preventScroll: true });
  }
}

async function refresh(toTop = false, isMore = false) {
  const mine = ++noted.asked;
  writeAddress();
  if (!isMore) by("cards").setAttribute("aria-busy", "true");
  try {
    const found = await ask(`rows?${query([...readQuery(), ["start", (noted.page - 1) * ROWS], ["count", ROWS]])}`);
    if (mine !== noted.asked) return;
    Object.assign(noted, { groups: found.groups, total: found.total });
    const isWhole = found.looked >= found.samples;
    if (!found.groups.length && found.total && isWhole && noted.page > 1) { noted.page = 1; return await refresh(toTop); }
    showCards(found.groups, isMore);
    showCount(found, isWhole);
    showPager();
    if (toTop) by("filters").scrollIntoView({ block: "start" });
    const trouble = found.trouble ?? noted.about?.trouble;
    showError(trouble ? new Error(tellTrouble(trouble)) : null);
    if (!isWhole) setTimeout(goOn, 0, mine);
  } catch (error) {
    if (mine === noted.asked) showError(error);
  }
  if (mine === noted.asked) by("cards").setAttribute("aria-busy", "false");
}

// A search in what the model wrote answers before its end, and goes on as long as it is asked.
function goOn(mine) {
  if (mine !== noted.asked || noted.isHalted) return;
  const isTyping = document.activeElement.matches("#cards textarea, .pager input"); // nothing is taken from under the hand
  if (isTyping) setTimeout(goOn, TYPING_MS, mine);
  else refresh(false, true);
}

// While a search goes on, the cards that are there stay.
function showCards(groups, isMore) {
  const ids = [...by("cards").children].map((card) => card.dataset.id);
  const isSame = isMore && ids.every((id, k) => id === groups[k]?.cards[0].id);
  const left = document.activeElement.closest("#cards .card")?.dataset.id;
  if (isSame) by("cards").append(...groups.slice(ids.length).map(makeItem));
  else by("cards").replaceChildren(...groups.map(makeItem));
  if (left && !isSame) [...by("cards").children].find((card) => card.dataset.id === left)?.focus({ preventScroll: true });
}

function showCount({ total, samples, looked }, isWhole) {
  const words = total === samples ? `${count(total)} samples` : `${count(total)} of ${count(samples)} samples`;
  by("count").ariaLive = isWhole ? "polite" : "off";
  by("count").textContent = isWhole ? words : `${words}, ${count(looked)} looked through`;
  by("halt").hidden = isWhole;
  by("halt").textContent = noted.isHalted ? "Go on" : "Stop";
  by("nothing").hidden = total > 0 || !isWhole;
}

// ---- Two runs side by side

function makePair({ change, passes, tries, groups }) {
  const rates = [0, 1].map((k) => `${passes[k]} of ${tries[k]}`).join(" → ");
  const head = make("p", "note", make("span", `change ${change}`, change), `passed: ${rates}`);
  const cards = groups.map((group) => makeCard(group, group.cards[0]));
  return make("article", "pair", makePrompt(groups[0]), head, make("div", "cards", ...cards));
}

async function refreshPairs(toTop = false) {
  const mine = ++noted.asked;
  writeAddress();
  by("pair-list").setAttribute("aria-busy", "true");
  try {
    const given = { run: noted.run, beside: noted.beside, change: by("change").value, path: by("pair-path").value };
    const found = await ask(`pairs?${query({ ...given, start: (noted.page - 1) * ROWS, count: ROWS })}`);
    if (mine !== noted.asked) return;
    noted.total = found.total;
    noted.isRead = found.is_read;
    const [first, second, common] = found.prompts;
    offer("change", [["", `all (${count(common)})`], ...Object.entries(found.counts).map(([name, number]) => [name, `${name} (${count(number)})`])]);
    offer("pair-path", [["", "all"], ...found.paths.map((path) => [path, path])]);
    by("pair-count").textContent = `${count(found.total)} of ${count(common)} prompts`;
    const how = found.by_words ? ", paired by their words, since no id is the same" : "";
    const both = common ? `${count(common)} prompts are in both runs (${count(first)} and ${count(second)})${how}.` : `No prompt is in both runs (${count(first)} and ${count(second)}), by its id or by its words.`;
    by("pair-note").textContent = [both, found.is_read ? "" : "The runs are still being read.", common ? "Fixed: a greater share of the judged samples passes in the second run." : ""].filter(Boolean).join(" ");
    document.querySelector(".diff").hidden = !common;
    by("pair-list").replaceChildren(...found.pairs.map(makePair));
    showPager(["pair-pager"], refreshPairs);
    if (toTop) by("changes").scrollIntoView({ block: "start" });
    showError(null);
  } catch (error) {
    if (mine === noted.asked) showError(error);
  }
  if (mine === noted.asked) by("pair-list").setAttribute("aria-busy", "false");
}

async function showFigures() {
  const names = `${noted.run} ${noted.beside}`;
  if (!document.querySelector(".diff").open || noted.figures === names) return;
  noted.figures = names;
  by("figures").replaceChildren(make("tr", "", make("td", "", "…")));
  try {
    const found = await ask(`diff?${query({ run: noted.run, beside: noted.beside })}`);
    if (noted.figures !== names) return;
    const rows = [...found.passes.map((row) => ({ ...row, name: `passed, ${row.name}` })), ...found.means];
    by("figures").replaceChildren(...rows.map((row) => make("tr", "", make("td", "", row.name), ...[String(row.prompts), row.first.toFixed(3), row.second.toFixed(3), row.difference.toFixed(3), `${row.low.toFixed(3)} – ${row.high.toFixed(3)}`].map((text) => make("td", "num", text)))));
  } catch (error) {
    noted.figures = "";
    by("figures").replaceChildren();
    showError(error);
  }
}

function open(number) {
  const group = noted.groups[number];
  if (!group) return;
  noted.current = number;
  const card = makeItem(group), viewer = by("viewer"), nav = make("nav");
  const pressed = [...viewer.querySelectorAll("nav button")].indexOf(document.activeElement);
  const head = make("div", "viewer-head", card.querySelector(".prompt"), nav);
  card.removeAttribute("id");
  card.removeAttribute("tabindex");
  card.classList.add("large");
  [...card.querySelectorAll(".pictures > button")].forEach((button, k) => {
    const still = make("div", "picture", ...button.childNodes), picture = group.cards[0].pictures[k];
    button.replaceWith(still);
    if (picture.whole) return;
    const full = new Image();
    full.addEventListener("load", () => { still.querySelector("img").src = full.src; });
    full.src = `picture?${query({ run: noted.run, id: group.cards[0].id, number: k })}`;
  });
  nav.append(makeButton("Previous", () => open(number - 1)), makeButton("Next", () => open(number + 1)), makeButton("Close", () => viewer.close()));
  viewer.replaceChildren(head, card);
  if (!viewer.open) viewer.showModal();
  viewer.scrollTop = 0;
  (nav.children[pressed] ?? viewer).focus(); // so that the keys lead on
}

// ---- Runs

async function poll() {
  if (!noted.run) {
    const { runs } = await ask("outputs");
    if (JSON.stringify(runs) !== noted.runs) await openRun();
    return CALM_MS;
  }
  if (noted.beside) {
    if (!noted.isRead) await refreshPairs();
    return noted.isRead ? CALM_MS : POLL_MS;
  }
  const run = noted.run;
  const about = await ask(`run?${query({ run })}`);
  if (run !== noted.run) return POLL_MS;
  const before = noted.about;
  noted.about = about;
  offerAll(about);
  showProgress(about);
  const isNew = !before || before.samples !== about.samples || before.is_read !== about.is_read || before.canaries !== about.canaries || before.trouble?.what !== about.trouble?.what;
  const isFirst = noted.groups.length < Math.min(ROWS, about.samples);
  if (!before) readAddress();
  noted.isStale ||= isNew && (isFirst || about.is_read || !before);
  if (noted.isStale && !document.activeElement.matches("#cards textarea")) { // a comment is not taken from under the hand
    noted.isStale = false;
    await refresh();
  }
  const isMade = about.progress.planned_shards > 0 && about.progress.shards.scores >= about.progress.planned_shards;
  return about.is_read && isMade ? CALM_MS : POLL_MS;
}

function readAddress() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const id of FIELDS) setField(by(id), given[id]);
  noted.page = Math.max(1, Number(given.page) || 1);
  overlays();
}

async function openRun() {
  const given = new URLSearchParams(location.hash.slice(1)), name = given.get("run");
  const { runs, may_mark } = await ask("outputs");
  const isOnly = runs.length === 1 && !may_mark;
  noted.asked++; // what is on its way is of the page that was left
  showError(null);
  by("progress").hidden = true;
  by("editor").hidden = !may_mark;
  by("all").hidden = isOnly || !name;
  noted.mayMark = may_mark;
  noted.runs = JSON.stringify(runs);
  noted.run = isOnly ? runs[0].name : name;
  noted.beside = noted.run && runs.some((run) => run.name === given.get("beside")) ? given.get("beside") : "";
  noted.isRead = false;
  noted.about = null;
  noted.groups = [];
  by("beside").replaceChildren(...[["", "no other run"], ...runs.filter((run) => run.name !== noted.run).map((run) => [run.name, run.name])].map(([value, text]) => Object.assign(make("option", "", text), { value })));
  by("beside").value = noted.beside;
  by("pairs").hidden = !noted.beside;
  if (noted.beside) {
    noted.page = Math.max(1, Number(given.get("page")) || 1);
    by("about").textContent = "";
    overlays();
    offer("change", [["", "all"], ...["fixed", "broken", "same", "unjudged"].map((name) => [name, name])]);
    setField(by("change"), given.get("change") ?? "");
    const path = given.get("path") ?? "";
    by("pair-path").replaceChildren(Object.assign(make("option", "", path || "all"), { value: path }));
    document.querySelector(".diff").open = false;
  }
  by("choice").hidden = isOnly || !noted.run;
  by("overview").hidden = Boolean(noted.run);
  by("samples").hidden = !noted.run || Boolean(noted.beside);
  by("title").textContent = [noted.run ?? "Runs", noted.beside].filter(Boolean).join(" | ");
  document.title = `${by("title").textContent} – datagen`;
  by("run").replaceChildren(...runs.map((run) => Object.assign(make("option", "", run.name), { value: run.name })));
  by("run").value = noted.run ?? "";
  if (!noted.run) {
    by("about").textContent = runs.length ? "" : "There is no run under outputs/ yet: datagen build makes one.";
    by("runs").replaceChildren(...runs.map((run) => {
      const link = make("a", "", run.name);
      link.href = `#${query({ run: run.name })}`;
      return make("li", "", link, make("span", "note", new Date(1000 * run.changed).toLocaleString()));
    }));
  }
}

let beat = 0;
async function keepPolling() {
  clearTimeout(beat);
  let rest = POLL_MS;
  try {
    rest = await poll();
    if (noted.isLost && noted.run) await (noted.beside ? refreshPairs() : refresh());
    noted.isLost = false;
  } catch (error) {
    noted.isLost = true;
    showError(error);
  }
  clearTimeout(beat);
  beat = setTimeout(keepPolling, rest);
}

function overlays() {
  for (const name of ["detected", "planned"]) document.documentElement.classList.toggle(`show-${name}`, by(name).checked);
}

let typed = 0;
const change = () => { clearTimeout(typed); noted.page = 1; noted.isHalted = false; overlays(); refresh(); };
by("filters").addEventListener("input", (event) => {
  if (event.target !== by("said")) { change(); return; }
  noted.asked++;
  by("cards").setAttribute("aria-busy", "true");
  clearTimeout(typed);
  typed = setTimeout(change, TYPING_MS);
});
by("halt").addEventListener("click", () => {
  noted.isHalted = !noted.isHalted;
  by("halt").textContent = noted.isHalted ? "Go on" : "Stop";
  if (!noted.isHalted) refresh(false, true);
});
by("filters").addEventListener("submit", (event) => event.preventDefault());
by("filters").addEventListener("reset", () => setTimeout(change));
const goTo = () => { location.hash = query({ run: by("run").value, ...(by("beside").value && by("beside").value !== by("run").value ? { beside: by("beside").value } : {}) }); };
by("run").addEventListener("change", goTo);
by("beside").addEventListener("change", goTo);
by("changes").addEventListener("input", () => { noted.page = 1; refreshPairs(); });
by("changes").addEventListener("submit", (event) => event.preventDefault());
document.querySelector(".diff").addEventListener("toggle", showFigures);
const numberOf = (node) => [...by("cards").children].indexOf(node.closest(".card"));
by("cards").addEventListener("click", (event) => { if (event.target.closest(".picture")) open(numberOf(event.target)); });
by("cards").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.matches(".card")) open(numberOf(event.target)); });
by("viewer").addEventListener("close", () => by("cards").children[noted.current]?.focus());
by("viewer").addEventListener("click", (event) => { if (event.target === by("viewer")) by("viewer").close(); });
by("viewer").addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea")) return;
  if (event.key === "ArrowRight") open(noted.current + 1);
  if (event.key === "ArrowLeft") open(noted.current - 1);
});
addEventListener("hashchange", async () => {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("run") === noted.run && !given.get("beside") && !noted.beside) { readAddress(); refresh(); return; }
  await openRun();
  keepPolling();
});

await openRun();
keepPolling();
