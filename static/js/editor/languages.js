// The language of a file by its name or first line: its colours, and for the testbed's
// own YAML what its schema knows.

import {
  StreamLanguage,
  autocompletion,
  hoverTooltip,
  indentService,
  shell,
  yaml,
} from "../../vendor/codemirror.js";
import { completing } from "./completion.js";
import { explaining } from "./hover.js";
import { tokensOf } from "./path.js";
import { Schema } from "./schema.js";

export function languageOf(name, text, schemaUrl) {
  if (schemaUrl) return [yaml(), deeperAfterKey, schemaAt(schemaUrl)];
  if (/\.ya?ml$/.test(name)) return [yaml(), deeperAfterKey, autocompletion()];
  if (/\.(ba|z)?sh$/.test(name) || /^#!.*sh\b/.test(text))
    return StreamLanguage.define(shell);
  return [];
}

function schemaAt(url) {
  const schema = fetch(url)
    .then((response) => response.json())
    .then((root) => new Schema(root));
  schema.catch((error) => console.warn("The schema of the YAML did not come.", error));
  const whenThere = (use) => async (...place) => {
    try {
      return use(await schema, ...place);
    } catch {
      return null;
    }
  };
  return [
    autocompletion({ override: [whenThere(completing)], icons: false }),
    hoverTooltip(whenThere(explaining), { hideOnChange: true }),
  ];
}

// What follows `key:` on the next line belongs to it.
const deeperAfterKey = indentService.of((context, position) => {
  const line = context.lineAt(position, -1).text;
  if (position === 0 || !/:\s*$/.test(line)) return undefined;
  const token = tokensOf(line).at(-1);
  return token ? token.column + context.unit : undefined;
});
