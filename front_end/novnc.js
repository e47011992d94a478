// What the consoles use of noVNC: static/vendor/novnc.js.

export { default as RFB } from "@novnc/novnc";
