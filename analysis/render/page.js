"use strict";
// Tables sort within their blocks by a click (or Enter) on a column's head, and keep the rows that
// hold every word typed.
for (const box of document.querySelectorAll("[data-table]")) {
  const bodies = [...box.querySelectorAll("tbody")];
  const heads = [...box.querySelectorAll("thead th")];
  const count = box.querySelector("output");
  const rowsOf = (body) => [...body.rows].filter((row) => !row.matches(".block"));

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
      for (const body of bodies) body.append(...rowsOf(body).sort(compare(column, up ? 1 : -1)));
    });
  });

  const labels = (row) => [...row.querySelectorAll("th")].map((th) => th.textContent).join(" ");
  box.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let [shown, all] = [0, 0];
    for (const body of bodies) {
      const block = body.querySelector(".block");
      let own = 0;
      for (const row of rowsOf(body)) {
        const text = `${block ? labels(block) : ""} ${labels(row)}`.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        own += !row.hidden;
        all += 1;
      }
      if (block) block.hidden = own === 0;
      shown += own;
    }
    count.textContent = words.length ? `${shown} of ${all} rows` : "";
  });
}

// The columns of a full table are switched on and off.
for (const chooser of document.querySelectorAll("fieldset.columns")) {
  const table = chooser.parentElement.querySelector("table");
  [...table.tHead.rows[0].cells].slice(1).forEach((head, place) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    label.append(box, ` ${head.textContent.trim()}`);
    box.addEventListener("change", () => {
      for (const row of table.querySelectorAll("tr:not(.block)")) {
        row.cells[place + 1].hidden = !box.checked;
      }
    });
    chooser.append(label);
  });
  chooser.hidden = false;
}

// A link into something folded unfolds it.
const unfold = () => {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (place === null) return;
  for (let box = place.closest("details"); box; box = box.parentElement.closest("details")) {
    box.open = true;
  }
  place.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
