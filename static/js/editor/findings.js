// The server's findings of a YAML, as the list below the editor shows them.

export const findingsIn = (list) =>
  [...list.querySelectorAll(".finding")].map((item) => {
    const { line, column } = item.querySelector("[data-line]").dataset;
    return {
      line: Number(line),
      column: Number(column),
      severity: item.dataset.severity,
      text: item.querySelector(".finding__text"),
    };
  });

// The marked place: from the finding's column to the end of what is written there.
export function spanOf({ line, column }, lines) {
  const index = Math.min(Math.max(line, 1), lines.length) - 1;
  const written = lines[index].trimEnd();
  const from = Math.min(Math.max(column - 1, 0), written.length);
  return { index, from, to: written.length };
}
