// What may stand at the cursor: keys and values of the schema, and the testbed's own
// bridges where one is named.

import { startCompletion, syntaxTree } from "../../vendor/codemirror.js";
import { explanation } from "./hover.js";
import { ITEM, placeAt } from "./path.js";

const NAMES_A_BRIDGE = new Set(["bridge", "external_bridge"]);

export function completing(schema, context) {
  const place = placeAt(context.state, context.pos);
  if (!place || (!place.word && !context.explicit && place.kind === "line")) return null;
  const options = [...values(schema, context.state, place), ...keys(schema, context, place)];
  const isWhole = options.some(({ label }) => label === place.word);
  if (!options.length || (isWhole && place.kind === "value")) return null;
  return { from: place.from, options, validFor: /^[\w.-]*$/ };
}

function values(schema, state, { path, kind }) {
  if (kind === "key") return [];
  const found = schema.values(schema.at(path));
  const names = NAMES_A_BRIDGE.has(path.at(-1)) ? bridgesIn(state) : [];
  return [...new Set([...names, ...found])].map((label) => ({ label, type: "constant" }));
}

function keys(schema, { state, pos }, { path, kind, siblings }) {
  if (kind === "value") return [];
  const here = schema.at(path);
  const isList = kind === "line" && schema.shape(here) === "list";
  const owner = isList ? schema.at([...path, ITEM]) : here;
  const rest = state.doc.lineAt(pos);
  const hasColon = /^[\w.-]*\s*:/.test(rest.text.slice(pos - rest.from));
  return schema
    .keys(owner, isList ? new Set() : siblings)
    .map(({ name, schema: own, isRequired }) => ({
      label: name,
      type: "property",
      detail: isRequired ? "required" : undefined,
      boost: isRequired ? 1 : 0,
      info: () => explanation(schema.explain([own])),
      apply: inserting(isList ? `- ${name}` : name, hasColon ? "" : schema.shape([own]), kind),
    }));
}

// A key comes with its colon and, in a block, with the line that its value begins on.
function inserting(text, shape, kind) {
  return (view, _, from, to) => {
    const line = view.state.doc.lineAt(from);
    const indent = " ".repeat(from - line.from + (text.startsWith("- ") ? 4 : 2));
    const block = { list: `:\n${indent}- `, map: `:\n${indent}`, scalar: ": ", "": "" };
    const flow = { list: ": []", map: ": {}", scalar: ": ", "": "" };
    const insert = text + (kind === "key" ? flow : block)[shape];
    const isPair = kind === "key" && (shape === "list" || shape === "map");
    const anchor = from + insert.length - (isPair ? 1 : 0);
    const changes = { from, to, insert };
    view.dispatch({ changes, selection: { anchor }, userEvent: "input.complete" });
    startCompletion(view);
  };
}

// The names under `bridges:`, however they are written.
function bridgesIn(state) {
  const names = [];
  const text = (node) => state.doc.sliceString(node.from, node.to);
  syntaxTree(state).iterate({
    enter({ node }) {
      if (node.name !== "Pair" || text(node.firstChild) !== "name") return;
      const pair = outerPair(node);
      if (pair && text(pair.firstChild) === "bridges") names.push(text(node.lastChild));
    },
  });
  return names;
}

function outerPair(node) {
  let outer = node.parent;
  while (outer && outer.name !== "Pair") outer = outer.parent;
  return outer;
}
