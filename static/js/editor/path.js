// Where in the YAML a position is: the keys and items that lead there. Blocks are read by
// their indentation, because a line that is being typed is not YAML yet; inside braces
// and brackets the syntax tree leads.

import { syntaxTree } from "../../vendor/codemirror.js";

export const ITEM = Symbol("item of a list");

const KEY = /(?:"([^"]*)"|'([^']*)'|([\w.-]+))\s*:(?=\s|$)/y;
const BEFORE = /^((?:\s|-\s)*)(?:("[^"]*"|'[^']*'|[\w.-]+)\s*:\s+)?([^\s"'#{}[\],:]*)$/;

// The dashes and the key that a line begins with, each with its column.
export function tokensOf(text) {
  const tokens = [];
  let column = text.search(/\S|$/);
  while (/^-(\s|$)/.test(text.slice(column))) {
    tokens.push({ column });
    column += 1 + text.slice(column + 1).search(/\S|$/);
  }
  KEY.lastIndex = column;
  const found = KEY.exec(text);
  if (found) tokens.push({ column, key: found[1] ?? found[2] ?? found[3] });
  return tokens;
}

// What a column of a line belongs to. A list may stand as far left as its key.
export function blockPath(doc, number, column) {
  const path = [];
  for (let n = number; n > 0; n--) {
    for (const token of tokensOf(doc.line(n).text).reverse()) {
      const isListsKey = path[0] === ITEM && token.key && token.column === column;
      if (token.column >= column && !isListsKey) continue;
      path.unshift(token.key ?? ITEM);
      column = token.column;
    }
  }
  return path;
}

const isFlow = (node) => node?.name === "FlowMapping" || node?.name === "FlowSequence";
const textOf = (doc, node) => doc.sliceString(node.from, node.to);
const unquoted = (text) => text.replace(/^(["'])(.*)\1$/s, "$2");
const keyOf = (doc, pair) => unquoted(textOf(doc, pair.firstChild));

// The path of a value that stands inside braces or brackets, or begins there.
export function pathOfNode(doc, node) {
  const path = [];
  let top = node;
  for (let inner = node; inner; inner = inner.parent) {
    const { parent } = inner;
    if (isFlow(inner)) top = inner;
    // An unfinished map looks like the key of a map around it.
    const isKey = inner !== node && inner.name === "Pair" && node.from < inner.firstChild.to;
    if (inner.name === "Pair" && isFlow(parent) && !isKey) path.unshift(keyOf(doc, inner));
    if (inner !== node && inner.name === "FlowSequence") path.unshift(ITEM);
  }
  const line = doc.lineAt(top.from);
  return [...blockPath(doc, line.number, top.from - line.from), ...path];
}

// { path, word, from, kind, siblings }: kind says what may stand here: `key` or `value`,
// or both in a block (`line`). Null inside comments and other text.
export function placeAt(state, position) {
  const node = syntaxTree(state).resolveInner(position, -1);
  if (/Comment|QuotedLiteral|BlockLiteral/.test(node.name)) return null;
  const flow = flowAround(node, position);
  return flow ? inFlow(state.doc, flow, position) : inBlock(state.doc, position);
}

function flowAround(node, position) {
  for (let outer = node; outer; outer = outer.parent) {
    if (!isFlow(outer) || outer.from >= position) continue;
    const isClosed = /^[}\]]$/.test(outer.lastChild.name);
    if (!isClosed || position < outer.to) return outer;
  }
  return null;
}

function inFlow(doc, flow, position) {
  const marks = flow.getChildren(",").filter((mark) => mark.to <= position);
  const start = marks.at(-1)?.to ?? flow.from + 1;
  const found = BEFORE.exec(doc.sliceString(start, position).trimStart());
  if (!found) return null;
  const [, , key, word] = found;
  const path = pathOfNode(doc, flow);
  if (flow.name === "FlowSequence") path.push(ITEM);
  if (key) path.push(unquoted(key));
  const isOther = (pair) => pair.to < position || pair.from > position;
  const pairs = flow.getChildren("Pair").filter(isOther);
  return {
    path,
    word,
    from: position - word.length,
    kind: key || flow.name === "FlowSequence" ? "value" : "key",
    siblings: new Set(pairs.map((pair) => keyOf(doc, pair))),
  };
}

function inBlock(doc, position) {
  const line = doc.lineAt(position);
  const found = BEFORE.exec(line.text.slice(0, position - line.from));
  if (!found) return null;
  const [, , key, word] = found;
  const from = position - word.length;
  const column = from - line.from;
  return {
    path: blockPath(doc, line.number, column),
    word,
    from,
    kind: key ? "value" : "line",
    siblings: blockSiblings(doc, line.number, column),
  };
}

function blockSiblings(doc, number, column) {
  const keys = new Set();
  const isDone = (tokens) => {
    const sibling = tokens.find((token) => token.column === column && token.key);
    if (sibling) keys.add(sibling.key);
    return tokens.some((token) => token.column < column);
  };
  const own = tokensOf(doc.line(number).text);
  const hasDash = own.some((token) => token.column < column);
  for (let n = number - 1; n > 0 && !hasDash; n--)
    if (isDone(tokensOf(doc.line(n).text))) break;
  for (let n = number + 1; n <= doc.lines; n++)
    if (isDone(tokensOf(doc.line(n).text))) break;
  return keys;
}
