// What the schema says of the key under the pointer.

import { syntaxTree } from "../../vendor/codemirror.js";
import { blockPath, pathOfNode } from "./path.js";

export function explaining(schema, view, position, side) {
  const pair = pairAt(syntaxTree(view.state).resolveInner(position, side));
  if (!pair) return null;
  const schemas = schema.at(pathOfPair(view.state.doc, pair));
  if (!schemas.length) return null;
  const key = pair.firstChild;
  const create = () => ({ dom: explanation(schema.explain(schemas)) });
  return { pos: key.from, end: pair.to, above: true, create };
}

// The pair whose key, or whose plain value, is here.
function pairAt(node) {
  const isText = /^(Key|Literal|QuotedLiteral)$/.test(node.name);
  let outer = node;
  while (isText && (outer.name === "Key" || outer === node)) outer = outer.parent;
  return outer?.name === "Pair" ? outer : null;
}

function pathOfPair(doc, pair) {
  if (pair.parent.name.startsWith("Flow")) return pathOfNode(doc, pair);
  const key = pair.firstChild;
  const line = doc.lineAt(key.from);
  // One column on: the key itself is the last part.
  return blockPath(doc, line.number, key.from - line.from + 1);
}

export function explanation({ text, facts }) {
  const box = document.createElement("div");
  box.className = "editor__explanation";
  for (const part of [text, facts].filter(Boolean)) {
    const paragraph = document.createElement("p");
    part.split("`").forEach((piece, index) => {
      const isCode = index % 2 === 1;
      const node = document.createElement(isCode ? "code" : "span");
      node.textContent = piece;
      paragraph.append(node);
    });
    box.append(paragraph);
  }
  return box;
}
