// CodeMirror over the form's text area. The text area gets each change and tells it on
// as its own `input`: what is checked, compared and sent is always its value.

import {
  EditorState,
  EditorView,
  acceptCompletion,
  bracketMatching,
  closeBrackets,
  closeBracketsKeymap,
  codeFolding,
  completionKeymap,
  defaultKeymap,
  drawSelection,
  foldGutter,
  foldKeymap,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSelectionMatches,
  history,
  historyKeymap,
  indentOnInput,
  indentUnit,
  indentWithTab,
  keymap,
  lineNumbers,
  lintGutter,
  lintKeymap,
  search,
  searchKeymap,
  setDiagnostics,
} from "../../vendor/codemirror.js";
import { spanOf } from "./findings.js";
import { languageOf } from "./languages.js";
import { look } from "./look.js";

// How long Tab leaves the text after Escape; any other key ends it at once.
const LEAVE_WITHIN_MS = 60_000;

const keys = keymap.of([
  ...closeBracketsKeymap,
  ...searchKeymap,
  ...historyKeymap,
  ...foldKeymap,
  ...completionKeymap,
  ...lintKeymap,
  ...defaultKeymap,
  { key: "Tab", run: acceptCompletion },
  indentWithTab,
  { key: "Escape", run: (view) => (view.setTabFocusMode(LEAVE_WITHIN_MS), true) },
]);

const comforts = [
  lineNumbers(),
  foldGutter({ openText: "▾", closedText: "▸" }),
  codeFolding(),
  history(),
  drawSelection(),
  indentUnit.of("  "),
  indentOnInput(),
  bracketMatching(),
  closeBrackets(),
  highlightActiveLine(),
  highlightActiveLineGutter(),
  highlightSelectionMatches(),
  search({ top: true }),
  EditorView.domEventHandlers({ blur: (_, view) => view.setTabFocusMode(false) }),
  keys,
  look,
];

export function open(form) {
  const area = form.querySelector("#editor-text");
  const scroll = form.querySelector(".editor__scroll");
  const tell = EditorView.updateListener.of((update) => {
    if (!update.docChanged) return;
    area.value = update.state.doc.toString();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const isYaml = "schema" in form.dataset;
  const view = new EditorView({
    state: EditorState.create({
      doc: area.value,
      selection: { anchor: area.selectionStart, head: area.selectionEnd },
      extensions: [
        comforts,
        languageOf(area.getAttribute("aria-label"), area.value, form.dataset.schema),
        isYaml ? lintGutter() : [],
        tell,
        EditorView.cspNonce.of(form.dataset.nonce),
        EditorView.editorAttributes.of({ class: "editor__code" }),
        EditorView.contentAttributes.of({
          "aria-label": area.getAttribute("aria-label"),
          "aria-describedby": area.getAttribute("aria-describedby"),
        }),
      ],
    }),
  });
  const hadFocus = document.activeElement === area;
  scroll.after(view.dom);
  scroll.hidden = true;
  form.querySelector("[data-code-keys]").hidden = false;
  if (hadFocus) view.focus();
  return surfaceOn(view);
}

const surfaceOn = (view) => ({
  mark(findings) {
    const diagnostics = findings.map((finding) => diagnosticOf(view, finding));
    view.dispatch(setDiagnostics(view.state, diagnostics));
    // The list below may have grown over the line that is being typed.
    const cursor = EditorView.scrollIntoView(view.state.selection.main);
    if (view.hasFocus) view.dispatch({ effects: cursor });
  },
  select(line, column) {
    const { from, to } = rangeOf(view, { line, column });
    const effects = EditorView.scrollIntoView(from, { y: "center" });
    view.dispatch({ selection: { anchor: from, head: to }, effects });
    view.focus();
  },
  place: () => ({ ...view.state.selection.main.toJSON(), top: view.scrollDOM.scrollTop }),
  goTo({ anchor, head = anchor, top }) {
    const end = view.state.doc.length;
    const selection = { anchor: Math.min(anchor, end), head: Math.min(head, end) };
    view.dispatch({ selection });
    view.focus();
    view.requestMeasure({ read() {}, write: () => (view.scrollDOM.scrollTop = top) });
  },
});

function diagnosticOf(view, finding) {
  return {
    ...rangeOf(view, finding),
    severity: finding.severity,
    message: finding.text.textContent.replace(/\s+/g, " ").trim(),
    renderMessage: () => finding.text.cloneNode(true),
  };
}

function rangeOf(view, { line, column }) {
  const found = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
  const { from, to } = spanOf({ line: 1, column }, [found.text]);
  return { from: found.from + from, to: found.from + to };
}
