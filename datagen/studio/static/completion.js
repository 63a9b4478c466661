// Completion from JSON Schema: where in the YAML the cursor is, and which keys and values the schema allows there.
// Covered: block style, and flow style on the line of the cursor. Not covered: anchors, keys over several lines.

// The path at the end of some YAML text, as keys and "[]" for an item of a list; whether a key or a value is begun; the
// letters of it so far.
export function findPlace(text) {
  const lines = text.split("\n");
  const last = lines.pop();
  const stack = [];
  for (const line of lines) if (line.trim() && !line.trimStart().startsWith("#")) enter(stack, line);
  const { rest, indent } = enterItems(stack, last);
  close(stack, indent);
  const path = stack.map((step) => step.key);
  const found = /^(?:"([^"]*)"|'([^']*)'|([^\s:#,[\]{}"'][^:#]*?))\s*:(?:\s+|$)/.exec(rest);
  if (!found) return /^[\w.-]*$/.test(rest) ? { path, kind: "key", word: rest } : inFlow(path, rest);
  return inFlow([...path, found[1] ?? found[2] ?? found[3]], rest.slice(found[0].length));
}

function enter(stack, line) {
  const { rest, indent } = enterItems(stack, line);
  const found = /^(?:"([^"]*)"|'([^']*)'|([^\s:#,[\]{}"'][^:#]*?))\s*:(?:\s|$)/.exec(rest);
  if (!found) return;
  close(stack, indent);
  stack.push({ indent, key: found[1] ?? found[2] ?? found[3] });
}

// Enter the items that the dashes at the beginning of a line begin; return what follows and its column.
function enterItems(stack, line) {
  let indent = line.length - line.trimStart().length;
  let rest = line.trimStart();
  for (let dash; (dash = /^-(?:\s+|$)/.exec(rest)); ) {
    while (stack.length && (stack.at(-1).indent > indent || (stack.at(-1).indent === indent && stack.at(-1).key === "[]"))) stack.pop();
    stack.push({ indent, key: "[]" });
    indent += dash[0].length;
    rest = rest.slice(dash[0].length);
  }
  return { rest, indent };
}

function close(stack, indent) {
  while (stack.length && stack.at(-1).indent >= indent) stack.pop();
}

function inFlow(path, text) {
  const open = []; // of each open bracket its sign, and in a mapping the key that has its value
  let word = "";
  for (const sign of text) {
    if (sign === "{" || sign === "[") { open.push({ sign, key: null }); word = ""; }
    else if (sign === "}" || sign === "]") { open.pop(); word = ""; }
    else if (sign === ",") { if (open.length) open.at(-1).key = null; word = ""; }
    else if (sign === ":" && open.at(-1)?.sign === "{" && open.at(-1).key === null) { open.at(-1).key = word.trim(); word = ""; }
    else word = word || sign.trim() ? word + sign : "";
  }
  const inner = open.map(({ sign, key }) => (sign === "[" ? "[]" : key));
  const top = open.at(-1);
  if (top?.sign === "{" && top.key === null) return { path: [...path, ...inner.slice(0, -1)], kind: "key", word };
  return { path: [...path, ...inner], kind: "value", word };
}

// The schemas that may hold at a path, without references and alternatives.
function schemasAt(root, path) {
  let here = flatten(root, root);
  for (const step of path) {
    here = here.flatMap((schema) => {
      if (step === "[]") return [schema.items, ...(schema.prefixItems ?? [])];
      if (schema.properties && Object.hasOwn(schema.properties, step)) return [schema.properties[step]];
      return [schema.additionalProperties, ...Object.values(schema.patternProperties ?? {})];
    }).filter((schema) => schema && typeof schema === "object").flatMap((schema) => flatten(root, schema));
  }
  return here;
}

function flatten(root, schema, depth = 0) {
  if (depth > 20) return [];
  if (schema.$ref) {
    const target = schema.$ref.slice(2).split("/").reduce((value, step) => value?.[step], root);
    return target ? flatten(root, target, depth + 1) : [];
  }
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return [schema, ...parts.flatMap((part) => flatten(root, part, depth + 1))];
}

// What may stand at the end of some YAML text: completions of CodeMirror, and the letters that they replace.
export function complete(root, text) {
  const place = findPlace(text);
  const schemas = schemasAt(root, place.path);
  const options = new Map();
  const add = (label, more) => { if (!options.has(label)) options.set(label, { label, ...more }); };
  if (place.kind === "key") {
    for (const schema of schemas) {
      for (const [label, value] of Object.entries(schema.properties ?? {})) {
        add(label, { type: "property", apply: `${label}: `, info: describe(root, value) || undefined, boost: schema.required?.includes(label) ? 1 : 0 });
      }
    }
  }
  if (place.kind === "value" || place.path.at(-1) === "[]") {
    for (const schema of schemas) {
      const words = [...(schema.enum ?? []), ...("const" in schema ? [schema.const] : []), ...(schema.type === "boolean" ? [true, false] : [])];
      for (const word of words) if (word !== null && typeof word !== "object") add(String(word), { type: "constant" });
    }
  }
  return { word: place.word, options: [...options.values()] };
}

function describe(root, schema) {
  return flatten(root, schema).map((each) => each.description).find(Boolean) ?? "";
}
