"""The page's script: sorting by a click on a column head, filtering by name, task and kind; no requests."""

from __future__ import annotations

SCRIPT = """
"use strict";
const value = cell => {
  const v = cell.dataset.v;
  if (v === undefined) return cell.textContent.trim().toLowerCase();
  return v === "" ? null : Number(v);
};
function sortBy(header) {
  const table = header.closest("table"), body = table.tBodies[0];
  const column = [...header.parentNode.children].indexOf(header);
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].map((row, i) => [value(row.cells[column]), i, row]);
  rows.sort(([a, i], [b, j]) => {
    if (a === null || b === null) return (a === null) - (b === null) || i - j;
    const order = a < b ? -1 : a > b ? 1 : 0;
    return (down ? -order : order) || i - j;
  });
  for (const [, , row] of rows) body.append(row);
}
function filter() {
  const words = document.getElementById("q").value.trim().toLowerCase().split(/\\s+/).filter(Boolean);
  const task = document.getElementById("task").value;
  const floors = document.getElementById("floors").checked;
  const shown = new Set(), all = new Set();
  for (const row of document.querySelectorAll("tr[data-model]")) {
    const name = row.dataset.model.toLowerCase();
    const fits = words.every(word => name.includes(word)) && (floors || row.dataset.floor !== "1");
    row.hidden = !fits;
    all.add(name);
    if (fits) shown.add(name);
  }
  for (const part of document.querySelectorAll("[data-task]"))
    part.hidden = task !== "" && part.dataset.task !== task;
  const noun = all.size === 1 ? "model" : "models";
  document.getElementById("count").textContent = `${shown.size} of ${all.size} ${noun}`;
}
for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sortBy(button.closest("th")));
for (const id of ["q", "task", "floors"]) document.getElementById(id).addEventListener("input", filter);
filter();
"""
