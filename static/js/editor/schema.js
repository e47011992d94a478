// Reads the JSON schema that the server makes of its own models: references, choices,
// maps, lists and closed sets of values, no more.

import { ITEM } from "./path.js";

export class Schema {
  constructor(root) {
    this.root = root;
  }

  // The schemas that a path may have: several where the language has a choice.
  at(path) {
    return path.reduce(
      (schemas, segment) =>
        this.variants(schemas).flatMap((schema) => childOf(schema, segment) ?? []),
      [this.root],
    );
  }

  // The schemas behind references and choices; the first is the outermost.
  variants(schemas) {
    return schemas.flatMap((schema) => {
      const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
      if (schema.$ref) inner.push(this.root.$defs[schema.$ref.split("/").pop()]);
      return schema.type === "null" ? [] : [schema, ...this.variants(inner)];
    });
  }

  // { name, schema, isRequired } of each key that has an effect and may be added to the
  // taken ones: of a choice of keys one is enough.
  keys(schemas, taken) {
    return this.variants(schemas).flatMap((owner) => {
      const { properties = {}, required = [] } = owner;
      const choice = (owner.oneOf ?? []).flatMap((way) => way.required ?? []);
      const chosen = choice.some((name) => taken.has(name)) ? choice : [];
      const isFree = (name) => !taken.has(name) && !chosen.includes(name);
      return Object.entries(properties)
        .filter(([name, { deprecated }]) => !deprecated && isFree(name))
        .map(([name, schema]) => ({ name, schema, isRequired: required.includes(name) }));
    });
  }

  values(schemas) {
    const found = this.variants(schemas).flatMap((schema) => [
      ...(schema.enum ?? []),
      ...("const" in schema ? [schema.const] : []),
      ...(schema.type === "boolean" ? [true, false] : []),
      ...(isPlain(schema.default) ? [schema.default] : []),
    ]);
    return [...new Set(found.map(String))];
  }

  // `scalar`, `list` or `map`: how a value begins.
  shape(schemas) {
    const variants = this.variants(schemas);
    const scalars = ["string", "integer", "number", "boolean"];
    if (variants.some((schema) => scalars.includes(schema.type))) return "scalar";
    return variants.some((schema) => schema.items) ? "list" : "map";
  }

  // { text, facts } for a human.
  explain(schemas) {
    const variants = this.variants(schemas);
    const text = variants.find((schema) => schema.description)?.description ?? "";
    const values = variants.flatMap((schema) => schema.enum ?? []);
    const types = new Set(variants.map((schema) => WORDS[schema.type]).filter(Boolean));
    const { default: usual } = variants.find((schema) => isPlain(schema.default)) ?? {};
    const quoted = values.map((value) => `\`${value}\``).join(", ");
    const facts = [
      quoted || [...types].join(" or "),
      usual === undefined || usual === "" ? "" : `default \`${usual}\``,
    ];
    return { text, facts: facts.filter(Boolean).join("; ") };
  }
}

const WORDS = {
  array: "list",
  boolean: "`true` or `false`",
  integer: "whole number",
  number: "number",
  object: "map",
  string: "text",
};

const isPlain = (value) => value !== undefined && typeof value !== "object";

function childOf(schema, segment) {
  if (segment === ITEM) return schema.items;
  const { properties = {}, additionalProperties: others } = schema;
  if (Object.hasOwn(properties, segment)) return properties[segment];
  return typeof others === "object" ? others : undefined;
}
