"use strict";
const rows = [...document.querySelectorAll("[data-mark-row]")];
const state = document.getElementById("state");
let unsaved = false;

function markOf(row) {
  const pressed = row.querySelector("button[aria-pressed=true]");
  return pressed ? pressed.value : null;
}

function count() {
  const marked = rows.filter((row) => markOf(row) !== null).length;
  state.textContent = marked + " of " + rows.length + " rows marked" + (unsaved ? ", not saved" : "");
}

for (const row of rows) {
  for (const button of row.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const was = button.getAttribute("aria-pressed") === "true";
      for (const other of row.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!was));
      unsaved = true;
      count();
    });
  }
  row.querySelector("input").addEventListener("input", () => {
    unsaved = true;
    count();
  });
}

document.getElementById("save").addEventListener("click", () => {
  const page = document.body.dataset;
  const saved = {
    schema: page.schema,
    report_of: Number(page.cycle),
    rows: rows
      .filter((row) => markOf(row) !== null)
      .map((row) => ({
        audio_filepath: row.dataset.audio,
        text: row.dataset.text,
        audio_sha256: row.dataset.sha256 || null,
        mark: markOf(row),
        note: row.querySelector("input").value,
      })),
  };
  const file = new Blob([JSON.stringify(saved, null, 2) + "\n"], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = page.file;
  link.click();
  URL.revokeObjectURL(link.href);
  unsaved = false;
  count();
});

window.addEventListener("beforeunload", (leaving) => {
  if (unsaved) leaving.preventDefault();
});
count();
