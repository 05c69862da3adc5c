"use strict";
// Theme: what the reader chose, else what the system says.
const root = document.documentElement;
const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
document.querySelectorAll("[data-theme-switch]").forEach((button) => {
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  name();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
    root.dispatchEvent(new Event("themechange"));
  });
});
// Tables: a click on a head sorts; data-v holds the value behind the pretty text.
document.querySelectorAll("table[data-sortable]").forEach((table) => {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const body = table.tBodies[0];
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const [m, n] = [parseFloat(x), parseFloat(y)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return (isNaN(m) || isNaN(n) ? x.localeCompare(y, "en", { numeric: true }) : m - n) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
});
// Search fields hide the rows of their table that lack a word.
document.querySelectorAll("input[data-filters]").forEach((field) => {
  const rows = [...document.getElementById(field.dataset.filters).tBodies[0].rows];
  const said = document.getElementById(field.getAttribute("aria-describedby"));
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let left = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      left += row.hidden ? 0 : 1;
    }
    if (said) said.textContent = `${left} of ${rows.length} rows`;
  });
});
