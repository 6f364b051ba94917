// Headings of tables become buttons: the first click sorts, the second turns the order round, the third restores it.
"use strict";

function cellValue(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text.replaceAll(",", ""));
  return text === "" || text === "–" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
}

function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null); // what is missing stays at the end
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return direction * (typeof a === "number" ? a - b : a.localeCompare(b));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const places = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const rows = places.flatMap(([, own]) => own);

  function restore() {
    for (const [body, own] of places) body.append(...own);
    table.classList.remove("sorted");
  }

  function sort(column, direction) {
    const keyed = rows.map((row) => [cellValue(row, column), row]);
    keyed.sort(([a], [b]) => compare(a, b, direction));
    places[0][0].append(...keyed.map(([, row]) => row));
    table.classList.add("sorted");
  }

  heads.forEach((head, column) => {
    const numeric = rows.some((row) => typeof cellValue(row, column) === "number");
    const [first, second] = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (before === second) return restore();
      const order = before === first ? second : first;
      head.setAttribute("aria-sort", order);
      sort(column, order === "ascending" ? 1 : -1);
    });
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tHead && table.tBodies.length) makeSortable(table);
}
