// The gallery without a library: filter, sort, move by keyboard, open one sample large. Everything shown is already in the
// page; this file only hides, orders and clones it, and writes text with textContent, never as HTML.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const form = document.querySelector(".toolbar");
  const list = find("groups");
  const viewer = find("viewer");
  const root = document.documentElement;
  const digits = (value) => (value === "" ? NaN : Number(value));

  const groups = [...list.children].map((node, order) => {
    const holder = node.querySelector(".cards");
    const words = node.querySelector(".prompt").textContent;
    const cards = [...holder.children].map((card, place) => ({
      node: card, place, shown: true,
      verdict: card.dataset.verdict,
      values: JSON.parse(card.dataset.values),
      words: (words + " " + card.textContent).replace(/\s+/g, " ").toLowerCase(),
    }));
    return { node, holder, order, cards, weakness: node.dataset.weakness, skill: node.dataset.skill };
  });
  const total = groups.reduce((sum, group) => sum + group.cards.length, 0);
  let visible = [];
  let current = null;

  // ---- filter and sort
  function matcher() {
    const low = digits(find("low").value), high = digits(find("high").value);
    const ranged = low > 0 || high < 1;
    const [weakness, skill, verdict, score] = ["weakness", "skill", "verdict", "score"].map((id) => find(id).value);
    const terms = (find("q").value.toLowerCase().match(/"[^"]+"|\S+/g) || []).map((term) => term.replace(/^"(.+)"$/, "$1"));
    return (group, card) => {
      if (weakness && group.weakness !== weakness) return false;
      if (skill && group.skill !== skill) return false;
      if (verdict && card.verdict !== verdict) return false;
      if (ranged) {
        const value = card.values[score];
        if (value === undefined || value < low - 1e-9 || value > high + 1e-9) return false;
      }
      return terms.every((term) => card.words.includes(term));
    };
  }

  function sortKey(cards, name, way) {
    const values = cards.map((card) => card.values[name]).filter((value) => value !== undefined);
    if (!values.length) return null;
    if (way === "up") return Math.min(...values);
    return way === "spread" ? Math.max(...values) - Math.min(...values) : Math.max(...values);
  }

  function compare(a, b, way) {
    if (a === null || b === null) return (a === null) - (b === null);
    return way === "up" ? a - b : b - a;
  }

  function arrange(parent, entries, order, way, tie) {
    const sorted = [...entries].sort((a, b) => compare(order(a), order(b), way) || a[tie] - b[tie]);
    if (sorted.some((entry, place) => parent.children[place] !== entry.node)) parent.append(...sorted.map((entry) => entry.node));
    return sorted;
  }

  function apply() {
    const matches = matcher(), siblings = find("siblings").checked;
    const [name, way] = find("sort").value ? find("sort").value.split(":") : ["", ""];
    let count = 0;
    for (const group of groups) {
      for (const card of group.cards) card.matched = matches(group, card);
      group.hits = group.cards.filter((card) => card.matched);
      count += group.hits.length;
      group.node.hidden = !group.hits.length;
      for (const card of group.cards) {
        card.shown = card.matched || (siblings && group.hits.length > 0);
        card.node.hidden = !card.shown;
        card.node.classList.toggle("sibling", card.shown && !card.matched);
      }
      group.key = name ? sortKey(group.hits, name, way) : 0;
    }
    const sorted = arrange(list, groups, (group) => group.key, way, "order");
    visible = sorted.filter((group) => !group.node.hidden).flatMap((group) => {
      const one = (card) => (name ? sortKey([card], name, way === "up" ? "up" : "down") : 0);
      return arrange(group.holder, group.cards, one, way, "place").filter((card) => card.shown).map((card) => card.node);
    });
    find("nothing").hidden = count > 0;
    const prompts = groups.filter((group) => group.hits.length).length;
    find("count").textContent = count === total
      ? `${total} samples of ${groups.length} prompts`
      : `${count} of ${total} samples, ${prompts} of ${groups.length} prompts`;
    setCurrent(visible.includes(current) ? current : visible[0] || null, false);
  }

  // ---- moving about
  function setCurrent(card, focus) {
    if (current) current.tabIndex = -1;
    current = card;
    if (!card) return;
    card.tabIndex = 0;
    if (focus) {
      card.focus({ preventScroll: true });
      card.scrollIntoView({ block: "nearest" });
    }
  }

  function step(by) {
    if (!visible.length) return;
    const started = viewer.open || current === document.activeElement;
    const place = started ? visible.indexOf(current) + by : Math.max(0, visible.indexOf(current));
    setCurrent(visible[Math.min(visible.length - 1, Math.max(0, place))], !viewer.open);
    if (viewer.open) show();
  }

  function stepGroup(by) {
    const holder = current.closest(".group");
    const among = visible.filter((card) => card.closest(".group") === holder);
    const place = by > 0 ? visible.indexOf(among.at(-1)) + 1 : visible.indexOf(among[0]) - 1;
    const target = visible[place];
    if (!target) return;
    const row = visible.filter((card) => card.closest(".group") === target.closest(".group"));
    setCurrent(row[Math.min(row.length - 1, among.indexOf(current))], true);
  }

  // ---- one sample, large
  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text) node.textContent = text;
    return node;
  }

  function makeButton(text, act) {
    const button = make("button", "quiet", text);
    button.type = "button";
    button.addEventListener("click", () => act(button));
    return button;
  }

  function makeCommand(verb, id) {
    const row = make("div"), code = make("code", "", `datagen ${verb} ${document.body.dataset.run} ${id}`);
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

  function show() {
    const card = current.cloneNode(true), head = make("div", "viewer-head"), nav = make("nav");
    card.removeAttribute("id");
    card.removeAttribute("tabindex");
    card.classList.add("large");
    card.hidden = false;
    for (const picture of card.querySelectorAll("button.picture")) picture.removeAttribute("title");
    const title = make("div", "prompt");
    title.append(...[...current.closest(".group").querySelector(".prompt").children].map((node) => node.cloneNode(true)));
    nav.append(makeButton("Previous", () => step(-1)), makeButton("Next", () => step(1)), makeButton("Close", shut));
    head.append(title, nav);
    const commands = make("div", "commands");
    commands.append(makeCommand("sample", current.dataset.id), makeCommand("regen", current.dataset.id));
    card.append(commands);
    viewer.replaceChildren(head, card);
    viewer.setAttribute("aria-label", `Sample ${current.dataset.id}`);
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
    const onCard = document.activeElement === current && !viewer.open;
    const sideways = event.key === "ArrowRight" || event.key === "ArrowLeft";
    const act = (viewer.open && event.key === "Escape" && shut) || keys[event.key] || ((onCard || (viewer.open && sideways)) && arrows[event.key]) || (onCard && event.key === "Enter" && show);
    if (!act) return;
    event.preventDefault();
    act();
  });
  list.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    setCurrent(card, false);
    if (event.target.closest(".picture")) show();
    else if (getSelection().isCollapsed) card.focus({ preventScroll: true });
  });
  viewer.addEventListener("close", () => setCurrent(current, true));
  viewer.addEventListener("click", (event) => { if (event.target === viewer) shut(); });

  const overlays = () => {
    for (const name of ["detected", "planned"]) root.classList.toggle(`show-${name}`, find(name).checked);
  };
  form.addEventListener("input", () => { overlays(); apply(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { overlays(); apply(); }));
  find("weakness").addEventListener("change", () => {
    const skill = find("skill"), weakness = find("weakness").value;
    if (weakness && !skill.value.startsWith(weakness + "/")) skill.value = "";
    for (const option of skill.options) option.hidden = Boolean(weakness && option.value && !option.value.startsWith(weakness + "/"));
    apply();
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
  form.reset();
  overlays();
  apply();
})();
