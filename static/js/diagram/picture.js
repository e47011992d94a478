// Saves the diagram as a picture that needs nothing else: an SVG file whose parts carry
// their own colours, those of the light theme, and a PNG file drawn from it.

const PROPERTIES = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-linecap",
  "stroke-linejoin",
  "opacity",
  "paint-order",
  "font-size",
  "font-weight",
  "text-anchor",
];
const COLOURS = new Set(["fill", "stroke"]);
const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif";
const MARGIN = 16;
const SCALE = 2;
// Phones draw nothing on a larger canvas.
const MOST_PIXELS = 16_000_000;
const NAMESPACE = "http://www.w3.org/2000/svg";

// Other programs know neither color-mix() nor colours with an alpha: a pixel says which
// colour and which opacity it is.
const pixel = document.createElement("canvas");
pixel.width = pixel.height = 1;
const brush = pixel.getContext("2d", { willReadFrequently: true });
const paint = (part, name, colour) => {
  if (colour === "none") return part.setAttribute(name, colour);
  brush.clearRect(0, 0, 1, 1);
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = brush.getImageData(0, 0, 1, 1).data;
  part.setAttribute(name, `rgb(${red}, ${green}, ${blue})`);
  if (alpha < 255) part.setAttribute(`${name}-opacity`, (alpha / 255).toFixed(2));
};

// Replaces each <use> by the icon itself.
const inlineIcons = (copy) => {
  for (const use of copy.querySelectorAll("use")) {
    const symbol = document.querySelector(use.getAttribute("href"));
    const icon = document.createElementNS(NAMESPACE, "svg");
    icon.setAttribute("viewBox", symbol.getAttribute("viewBox"));
    for (const name of ["x", "y", "width", "height"])
      icon.setAttribute(name, use.getAttribute(name));
    const parts = document.createElementNS(NAMESPACE, "g");
    parts.setAttribute("class", "net__icon");
    parts.append(...symbol.cloneNode(true).children);
    icon.append(parts);
    use.replaceWith(icon);
  }
};

const inlineStyles = (copy) => {
  const drawn = "rect, path, circle, text, tspan";
  const styles = [...copy.querySelectorAll(drawn)].map((part) => {
    const style = getComputedStyle(part);
    const values = PROPERTIES.map((name) => [name, style.getPropertyValue(name)]);
    return [part, values];
  });
  for (const [part, values] of styles) {
    for (const [name, value] of values) {
      if (COLOURS.has(name)) paint(part, name, value);
      else part.setAttribute(name, value);
    }
  }
};

const strip = (copy) => {
  for (const link of copy.querySelectorAll("a")) {
    const group = document.createElementNS(NAMESPACE, "g");
    group.append(...link.childNodes);
    link.replaceWith(group);
  }
  for (const part of copy.querySelectorAll("*"))
    for (const { name } of [...part.attributes])
      if (/^(class|id|role|tabindex|href|data-.*|aria-.*)$/.test(name))
        part.removeAttribute(name);
};

// Returns the text of the whole diagram, as it is folded, at its own size.
export const svgText = () => {
  const copy = document.getElementById("net").cloneNode(true);
  copy.removeAttribute("style");
  copy.classList.remove("net--searched");
  copy.classList.add("net--saved");
  for (const part of copy.querySelectorAll(".net__found"))
    part.classList.remove("net__found", "net__found--chosen");
  for (const part of copy.querySelectorAll(".net__fold, .net__reach")) part.remove();
  inlineIcons(copy);
  document.body.append(copy); // styles are computed in the document only
  inlineStyles(copy);
  const background = getComputedStyle(copy).backgroundColor;
  copy.remove();
  strip(copy);
  const { width, height } = copy.viewBox.baseVal;
  const box = [-MARGIN, -MARGIN, width + 2 * MARGIN, height + 2 * MARGIN];
  const paper = document.createElementNS(NAMESPACE, "rect");
  ["x", "y", "width", "height"].forEach((name, n) => paper.setAttribute(name, box[n]));
  copy.setAttribute("viewBox", box.join(" "));
  copy.setAttribute("width", box[2]);
  copy.setAttribute("height", box[3]);
  paint(paper, "fill", background);
  copy.querySelector("desc").after(paper);
  for (const name of ["class", "id", "aria-labelledby"]) copy.removeAttribute(name);
  copy.setAttribute("role", "img");
  copy.setAttribute("font-family", FONT);
  return new XMLSerializer().serializeToString(copy);
};

const pngOf = async (text) => {
  const image = new Image();
  // Not a blob: the content security policy lets pictures come from here or from data.
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const pixels = image.width * image.height;
  const scale = Math.min(SCALE, Math.sqrt(MOST_PIXELS / pixels));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.width * scale);
  canvas.height = Math.round(image.height * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
};

const save = (blob, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-net-save]");
  if (!button) return;
  const { netSave: kind, name } = button.dataset;
  const text = svgText();
  const svg = new Blob([text], { type: "image/svg+xml" });
  save(kind === "png" ? await pngOf(text) : svg, `${name}.${kind}`);
});
