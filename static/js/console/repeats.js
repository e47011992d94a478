// Bounds what one sequence of a guest may repeat. xterm.js takes as many steps as it says, up to
// 2^31, and the page stands still meanwhile. A program repeats within its line or its screen.

// By the last letter: repeated character, tabs forward and back.
const IN_LINE = ["b", "I", "Z"];
// Lines that are inserted and deleted; the screen scrolled up and down.
const IN_SCREEN = ["L", "M", "S", "T"];

// Longer repeats are dropped: xterm.js goes on with a sequence only where this says false.
export const boundRepeats = (terminal) => {
  const bound = (final, most) => terminal.parser.registerCsiHandler({ final }, ([count]) => count > most());
  IN_LINE.forEach((final) => bound(final, () => terminal.cols));
  IN_SCREEN.forEach((final) => bound(final, () => terminal.rows));
};
