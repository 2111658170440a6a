"use strict";
// Tables sort by a click (or Enter) on a column's head and keep the rows that hold every word typed.
for (const box of document.querySelectorAll("[data-table]")) {
  const body = box.querySelector("tbody");
  const rows = [...body.rows];
  const heads = [...box.querySelectorAll("thead th")];
  const count = box.querySelector("output");

  const compare = (column, sign) => (one, two) => {
    const [a, b] = [one.cells[column], two.cells[column]];
    if (a.dataset.order === undefined) {
      return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    }
    const missing = (a.dataset.order === "") - (b.dataset.order === "");
    return missing || sign * (Number(a.dataset.order) - Number(b.dataset.order));
  };

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...rows.sort(compare(column, up ? 1 : -1)));
    });
  });

  box.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    const labels = (row) => [...row.querySelectorAll("th")].map((th) => th.textContent);
    let shown = 0;
    for (const row of rows) {
      const text = labels(row).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
