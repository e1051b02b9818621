// Keeps the page fresh from /api/v1/events, and filters it. All text goes in as text, never as markup.
"use strict";

const link = document.getElementById("link");
const rows = new Map();
for (const row of document.querySelectorAll("tr[data-entity]")) rows.set(row.dataset.entity, row);
let last = null;

function shown(entity) {
  if (entity.value === null) return entity.quality === "invalid" ? "no value" : "–";
  // A counter that began anew is shown with what it had counted before.
  const value = entity.total ?? entity.value;
  let text;
  if (entity.label !== null && entity.label.includes(String(entity.value))) text = entity.label;
  else if (entity.label !== null) text = `${entity.label} (${entity.value})`;
  else if (entity.value === "") text = "(empty)";
  else if (typeof value === "number") text = String(Math.round(value * 1e4) / 1e4);
  else text = value;
  return entity.unit === null ? text : `${text} ${entity.unit}`;
}

function take(update) {
  const card = document.getElementById(update.device);
  if (!card) return;
  card.dataset.availability = update.availability;
  card.querySelector(".state").textContent = update.availability;
  card.querySelector(".reason").textContent = update.reason ?? "";
  for (const entity of update.entities) {
    const row = rows.get(entity.id);
    if (!row) continue;
    row.dataset.quality = entity.quality;
    const cell = row.lastElementChild;
    const text = shown(entity);
    if (cell.textContent === text) continue;
    cell.textContent = text;
    cell.classList.remove("changed");
    void cell.offsetWidth;
    cell.classList.add("changed");
  }
}

function tell() {
  if (last === null) return;
  const seconds = Math.max(0, Math.round((Date.now() - last) / 1000));
  link.textContent = seconds < 2 ? "live" : `live, newest value ${seconds} s old`;
}

const events = new EventSource("/api/v1/events");
events.addEventListener("readings", (event) => {
  last = Date.now();
  link.dataset.live = "yes";
  take(JSON.parse(event.data));
  tell();
});
events.onopen = () => {
  link.dataset.live = "yes";
  link.textContent = "live";
};
events.onerror = () => {
  last = null;
  link.dataset.live = "no";
  link.textContent = "Busbar does not answer; trying again";
};
setInterval(tell, 1000);

document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of document.querySelectorAll("section.device")) {
    const head = `${card.id} ${card.querySelector("h2").textContent} ${card.querySelector(".about").textContent}`.toLowerCase();
    let any = false;
    for (const row of card.querySelectorAll("tr[data-entity]")) {
      const text = `${head} ${row.dataset.entity} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      any ||= !row.hidden;
    }
    card.hidden = !any && words.length > 0;
    if (words.length > 0) for (const fold of card.querySelectorAll("details")) fold.open = true;
  }
});
