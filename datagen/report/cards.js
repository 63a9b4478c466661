// How a sample looks: its pictures with boxes, verdict, rewards, reasons and passages, as nodes of a page. The gallery and the
// studio show samples with these functions. All words are written as text, never as HTML.
"use strict";
const SAID = { pass: "✓ pass", fail: "✗ fail", unjudged: "? unjudged" };

function make(tag, name, ...content) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...content);
  return node;
}

function makeSvg(tag, attributes, ...content) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...content);
  return node;
}

const show = (value) => (value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(2));
const bdi = (text, way) => {
  const node = make("bdi", "", text);
  if (way) node.dir = way;
  return node;
};

// Boxes in thousandths of the picture. At the right edge a label grows leftwards: else it would run out of the picture.
function makeBoxes(boxes, kind) {
  const overlay = makeSvg("svg", { class: `overlay ${kind}`, "aria-hidden": "true" });
  for (const [x1, y1, x2, y2, label] of boxes) {
    const where = { x: `${x1 / 10}%`, y: `${y1 / 10}%`, width: `${(x2 - x1) / 10}%`, height: `${(y2 - y1) / 10}%` };
    const [x, dx, anchor] = x2 > 900 ? [x2, -4, "end"] : [x1, 4, "start"];
    const text = { x: `${x / 10}%`, y: where.y, dx, dy: 11, "text-anchor": anchor };
    overlay.append(makeSvg("rect", { class: "under", ...where }), makeSvg("rect", where), makeSvg("text", text, label));
  }
  return overlay;
}

function makePicture(picture, alt, tag) {
  if (!picture.thumb) return make("p", "missing", "These bytes are no image.");
  const node = make(tag, "picture"), frame = make("span", "frame"), image = make("img", picture.pixelated ? "pixelated" : "");
  image.decoding = "async";
  [image.width, image.height] = [picture.width, picture.height];
  image.alt = alt;
  image.src = picture.thumb;
  frame.append(image);
  if (picture.detected.length) frame.append(makeBoxes(picture.detected, "detected"));
  if (picture.planned.length && tag === "button") frame.append(makeBoxes(picture.planned, "planned"));
  node.append(frame);
  if (picture.caption) node.append(make("span", "caption", picture.caption));
  if (tag === "button") Object.assign(node, { type: "button", tabIndex: -1, title: "Open" });
  return node;
}

function makeReward(name, value, weight, why) {
  const bar = makeSvg("svg", { class: "bar", "aria-hidden": "true" }, makeSvg("rect", { width: `${100 * (value || 0)}%`, height: "100%" }));
  const shown = make("dd", "", bar, make("span", "", value === null ? "not scored" : show(value)), make("span", "weight", `weight ${show(weight)}`));
  shown.title = `reward of the ${name}, and what training multiplies its loss by${why ? `: ${why}` : ""}`;
  return make("div", name, make("dt", "", name), shown);
}

function makeScore(state, value, name, reason) {
  const words = name ? make("span", "", make("b", "", name), " ", make("span", "why", reason)) : make("span", "", reason);
  return make("li", state, make("span", "value", show(value)), words);
}

function makePassage([role, steps]) {
  const passage = make("div", "passage", make("h4", "", role));
  for (const step of steps) {
    if (typeof step === "string") {
      passage.append(make("p", "", bdi(step, "auto")));
      continue;
    }
    const [text, box] = step;
    const corners = box ? make("code", "", `${box[0]},${box[1]} – ${box[2]},${box[3]}`) : make("em", "", "no valid box");
    passage.append(make("div", "step", bdi(text), " ", corners));
  }
  return passage;
}

function makeCard(group, card) {
  const node = make("article", `card ${card.verdict}`);
  node.id = `s-${card.id}`;
  node.tabIndex = -1;
  Object.assign(node.dataset, { id: card.id, verdict: card.verdict });
  node.setAttribute("aria-label", `Candidate ${card.candidate}, ${card.verdict}`);
  const head = make("div", "head", make("span", "number", `#${card.candidate}`), " ", make("span", `verdict ${card.verdict}`, SAID[card.verdict]));
  if (group.winner === card.id) head.append(" ", make("span", "tag", "heaviest"));
  if (!card.kept) head.append(" ", Object.assign(make("span", "tag", "left out"), { title: card.why }));
  const pictures = make("div", "pictures");
  for (const picture of card.pictures) {
    const found = picture.detected.map((box) => box[4]).join(", ") || "no boxes";
    pictures.append(makePicture(picture, `Image by candidate ${card.candidate} for “${group.text}”. Detected: ${found}.`, "button"));
  }
  if (!card.pictures.length) pictures.append(make("p", "missing", "No image was generated."));
  const scores = make("ul", "scores"), open = card.scores.filter((score) => score[1] === null);
  for (const [name, value, reason] of card.scores)
    if (value !== null) scores.append(makeScore(value >= 1 ? "full" : "short", value, name, reason));
  if (open.length) scores.append(makeScore("none brief", null, "", `not judged: ${open.map((score) => score[0]).join(", ")}`));
  for (const [name, , reason] of open) scores.append(makeScore("none", null, name, reason));
  const rewards = make("dl", "rewards", ...["image", "text"].map((name) => makeReward(name, card[`${name}_reward`], card[`${name}_weight`], card.why)));
  const origin = make("p", "origin", make("code", "", card.id), " seed ", make("code", "", card.seed));
  if (card.finish !== "stop") origin.append(" ", make("span", "tag", `ended by ${card.finish}`));
  if (card.switch === "forced") origin.append(" ", make("span", "tag", "forced switch"));
  node.append(head, pictures, make("div", "facts-of-sample", rewards, scores), make("div", "thoughts", ...card.passages.map(makePassage)), origin);
  return node;
}

function makePrompt(group) {
  const meta = make("p", "meta", make("span", "", group.path), " ", make("span", "", group.level), " ");
  for (const claim of group.claims) meta.append(make("code", "", claim), " ");
  return make("div", "prompt", make("h3", "", bdi(group.text, "auto")), meta);
}
