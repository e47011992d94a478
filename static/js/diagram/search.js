// Finds parts of the diagram by their words: they stand out, and the chosen one is
// brought into view. [data-find] holds a part's words; a folded host's are its guests.

import { reveal } from "./view.js";

const search = { words: "", chosen: 0 };

const field = () => document.getElementById("net-search");
const matching = ({ dataset }) =>
  dataset.find.split(" ").filter((word) => word.includes(search.words)).length;

const found = () => {
  if (!search.words) return [];
  const parts = [...document.querySelectorAll("#net [data-find]")];
  return parts.filter((part) => part.dataset.find.includes(search.words));
};

const sentence = (parts, chosen) => {
  if (!search.words) return "";
  if (!chosen) return "none found";
  const count = parts
    .map((part) => ("folded" in part.dataset ? matching(part) : 1))
    .reduce((sum, each) => sum + each, 0);
  const { folded } = chosen.dataset;
  return `${count} found${folded ? `, here in folded ${folded}` : ""}`;
};

const show = () => {
  const parts = found();
  const chosen = parts[search.chosen % parts.length];
  document.getElementById("net").classList.toggle("net--searched", parts.length > 0);
  for (const part of document.querySelectorAll("#net .net__found"))
    part.classList.remove("net__found", "net__found--chosen");
  for (const part of parts) part.classList.add("net__found");
  chosen?.classList.add("net__found--chosen");
  document.getElementById("net-found").textContent = sentence(parts, chosen);
  return chosen;
};

const choose = (number) => {
  const count = found().length;
  search.chosen = count ? (number + count) % count : 0;
  const chosen = show();
  if (chosen) reveal(chosen);
};

document.addEventListener("input", ({ target }) => {
  if (target !== field()) return;
  search.words = target.value.trim().toLowerCase();
  choose(0);
});
document.addEventListener("keydown", (event) => {
  if (event.target !== field() || event.key !== "Enter") return;
  event.preventDefault();
  choose(search.chosen + (event.shiftKey ? -1 : 1));
});

// Shows again, in a picture that the server sent, what was searched in the one before.
export const searchAgain = () => {
  if (!field() || !search.words) return;
  if (!field().value) field().value = search.words;
  show();
};
