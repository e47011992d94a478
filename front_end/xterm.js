// What the consoles use of xterm.js: static/vendor/xterm.js, with xterm.css beside it.

import "@xterm/xterm/css/xterm.css";

export { Terminal } from "@xterm/xterm";
export { FitAddon } from "@xterm/addon-fit";
