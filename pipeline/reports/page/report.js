"use strict";
// Texts from the tables become text nodes only: no id can become markup.
(function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const rows = read("rows");
  const pictures = read("pictures");
  const fields = read("fields");
  const at = Object.fromEntries(fields.map((field, i) => [field.name, i]));
  const ROW_PX = 66;
  const SPARE_ROWS = 6;
  const get = (id) => document.getElementById(id);
  const [scroller, body, search, status, reason, told, dialog] =
    ["scroller", "body", "search", "status", "reason", "told", "details"].map(get);
  const texts = rows.map((row) =>
    [row[at.video_id], row[at.uri], row[at.reason], row[at.message]].join("\n").toLowerCase());
  let shown = rows.map((_, i) => i);
  let sort = { name: null, down: false };

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    return made;
  };
  const digits = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  const format = (value) =>
    value === null || value === undefined ? "" : typeof value === "number" ? digits.format(value) : String(value);

  function addOptions(select, name) {
    const counts = new Map();
    for (const row of rows) {
      const value = row[at[name]] || "";
      if (value) counts.set(value, (counts.get(value) || 0) + 1);
    }
    for (const value of [...counts.keys()].sort()) {
      const option = element("option", "", `${value} (${counts.get(value)})`);
      option.value = value;
      select.append(option);
    }
  }

  function choose() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = [];
    for (let i = 0; i < rows.length; i++) {
      if (status.value && rows[i][at.status] !== status.value) continue;
      if (reason.value && rows[i][at.reason] !== reason.value) continue;
      if (words.every((word) => texts[i].includes(word))) shown.push(i);
    }
    if (sort.name !== null) {
      const column = at[sort.name];
      const sign = sort.down ? -1 : 1;
      shown.sort((a, b) => {
        const [x, y] = [rows[a][column], rows[b][column]];
        if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1; // nothing comes last
        if (x === y) return a - b;
        return (x < y ? -1 : 1) * sign;
      });
    }
    told.textContent = `${shown.length} of ${rows.length}`;
    scroller.scrollTop = 0;
    draw();
  }

  function draw() {
    const space = element("div");
    space.style.height = `${shown.length * ROW_PX}px`;
    body.replaceChildren(space);  // the scroller is as high as its rows, and that is measured now
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(shown.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_PX) + SPARE_ROWS);
    const made = [space];
    for (let place = first; place < last; place++) made.push(drawRow(shown[place], place));
    if (!shown.length) made.push(element("div", "none muted", "No input matches."));
    body.replaceChildren(...made);
  }

  function drawRow(index, place) {
    const row = rows[index];
    const line = element("div", "row");
    line.style.top = `${place * ROW_PX}px`;
    line.setAttribute("role", "row");
    line.setAttribute("aria-rowindex", place + 2);
    line.tabIndex = 0;
    const first = element("div");
    if (pictures[index]) first.append(picture(index));
    line.append(first);
    for (const field of fields.filter((f) => f.column)) {
      const cell = element("div", field.column, format(row[at[field.name]]));
      cell.setAttribute("role", "cell");
      if (field.name === "status") cell.className += ` ${/^[a-z]+$/.test(row[at.status]) ? row[at.status] : ""}`;
      if (field.name === "video_id" || field.name === "reason") cell.title = format(row[at[field.name]]);
      line.append(cell);
    }
    const open = () => showDetails(index);
    line.addEventListener("click", open);
    line.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
    return line;
  }

  function picture(index) {
    const image = element("img");
    image.src = pictures[index];
    image.alt = "";
    return image;
  }

  function showDetails(index) {
    const list = element("dl");
    for (const field of fields) {
      const value = rows[index][at[field.name]];
      if (value === null || value === "") continue;
      list.append(element("dt", "", field.title), element("dd", "", format(value)));
    }
    const close = element("button", "", "Close");
    close.addEventListener("click", () => dialog.close());
    const parts = [element("h3", "", rows[index][at.video_id])];
    if (pictures[index]) parts.push(picture(index));
    dialog.replaceChildren(...parts, list, element("p"), close);
    dialog.showModal();
  }

  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.sort;
      const numbers = button.parentElement.classList.contains("n");
      sort = { name, down: sort.name === name ? !sort.down : numbers };
      for (const other of document.querySelectorAll("[data-sort]")) other.removeAttribute("aria-sort");
      button.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      choose();
    });
  }
  for (const button of document.querySelectorAll("[data-reason]")) {
    button.addEventListener("click", () => {
      reason.value = button.dataset.reason;
      status.value = search.value = "";
      choose();
      get("videos").scrollIntoView();
    });
  }
  addOptions(status, "status");
  addOptions(reason, "reason");
  search.addEventListener("input", choose);
  status.addEventListener("change", choose);
  reason.addEventListener("change", choose);
  scroller.addEventListener("scroll", draw);
  window.addEventListener("resize", draw);
  choose();
})();
