// The theme is set before anything is drawn, so that the page does not flash. It is a
// classic script for that reason: modules run later.
"use strict";
(() => {
  const themes = ["auto", "light", "dark"];
  const key = "gdtls-theme";
  const root = document.documentElement;

  function stored() {
    try {
      const theme = localStorage.getItem(key);
      return themes.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  }

  function apply(theme) {
    if (theme === "auto") {
      delete root.dataset.theme;
    } else {
      root.dataset.theme = theme;
    }
  }

  let theme = stored();
  apply(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) {
      return;
    }
    const show = () => { button.textContent = `Theme: ${theme}`; };
    show();
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      apply(theme);
      show();
      try {
        localStorage.setItem(key, theme);
      } catch {
        // It is forgotten with the page.
      }
    });
  });
})();
