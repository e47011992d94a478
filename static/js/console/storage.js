// Choices of this browser for all consoles.

export const stored = (key, otherwise) => {
  try {
    return JSON.parse(localStorage.getItem(`console:${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
};

export const store = (key, value) => {
  try {
    localStorage.setItem(`console:${key}`, JSON.stringify(value));
  } catch {
    // Without storage the choice lasts for this page.
  }
};
