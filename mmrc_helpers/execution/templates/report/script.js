// Tables are sorted and saved as CSV, figures enlarged and saved; without this script the page reads the same.
"use strict";
const make = (name, given) => Object.assign(document.createElement(name), given);
const save = (href, name) => make("a", {href, download: name}).click();
const textOf = cell => cell.textContent.trim().replace(/\s+/g, " ");

const wide = matchMedia("(min-width: 80rem)");
const contents = document.querySelector("nav details");
const unfold = () => { if (contents) contents.open = wide.matches; };
wide.addEventListener("change", unfold);
unfold();

function order(table, head, column) {
  const down = head.getAttribute("aria-sort") === "ascending";
  const number = text => parseFloat(text.replace(/,(?=\d{3})/g, "").replace("−", "-"));
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map(row => textOf(row.cells[column])).filter(text => text);
  const numbers = texts.length > 0 && texts.every(text => !isNaN(number(text)));
  const sign = down ? -1 : 1;
  rows.sort((one, other) => {
    const [a, b] = [textOf(one.cells[column]), textOf(other.cells[column])];
    if (!a || !b) return Boolean(b) - Boolean(a);  // what is empty comes last
    return sign * (numbers ? number(a) - number(b) : a.localeCompare(b));
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.classList.add("sorted");
  table.tBodies[0].append(...rows);
}

function csv(table) {
  const quoted = text => /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  return [...table.rows].map(row => [...row.cells].map(cell => quoted(textOf(cell))).join(",") + "\r\n").join("");
}

for (const table of document.querySelectorAll(".table > table")) {
  const region = table.parentElement, name = region.getAttribute("aria-label");
  const button = make("button", {type: "button", className: "save", textContent: "CSV"});
  button.setAttribute("aria-label", `Save as CSV: ${name}`);
  button.onclick = () => {
    const address = URL.createObjectURL(new Blob([csv(table)], {type: "text/csv"}));
    save(address, `${table.dataset.name}.csv`);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };
  region.after(button);
  if (table.tHead && table.tBodies[0].rows.length > 1) [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.tagName !== "TH") return;
    const sorter = make("button", {type: "button", textContent: head.textContent});
    sorter.onclick = () => order(table, head, column);
    head.replaceChildren(sorter);
  });
}

const dialog = make("dialog", {});
document.body.append(dialog);
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
for (const figure of document.querySelectorAll("figure.plot")) {
  const image = figure.querySelector("img");
  const enlarge = () => {
    const close = make("button", {type: "button", textContent: "Close"});
    close.onclick = () => dialog.close();
    dialog.setAttribute("aria-label", "Enlarged figure");
    const shown = make("div", {className: "enlarged", tabIndex: 0});
    shown.append(image.cloneNode());
    dialog.replaceChildren(close, shown);
    dialog.showModal();
  };
  const files = figure.querySelector(".files");
  const open = make("button", {type: "button", textContent: "Enlarge"});
  const keep = make("button", {type: "button", textContent: "PNG"});
  open.onclick = image.onclick = enlarge;
  keep.onclick = () => save(image.src, `${figure.dataset.name || "figure"}.png`);
  files.prepend(open, keep);
}
