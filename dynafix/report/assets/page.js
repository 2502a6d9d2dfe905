const chartOptions = { displayModeBar: false, responsive: false, doubleClick: "reset" };
const data = JSON.parse(document.getElementById("data").textContent);
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const THEMES = ["auto", "light", "dark"];
let theme = "auto";
let timeline = null;

function complain(text) {
  const notice = document.getElementById("notice");
  notice.textContent = `The charts could not be drawn (${text}). The tables hold the same numbers.`;
  notice.hidden = false;
  root.dataset.charts = "failed";
  for (const fold of document.querySelectorAll("details")) fold.open = true;
}

function applyTheme() {
  root.dataset.theme = theme === "auto" ? (systemDark.matches ? "dark" : "light") : theme;
  document.querySelector("#theme span").textContent = theme;
}

function startTheme() {
  try { theme = localStorage.getItem("dynafix-theme") ?? "auto"; } catch { /* storage is off */ }
  if (!THEMES.includes(theme)) theme = "auto";
  applyTheme();
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try { localStorage.setItem("dynafix-theme", theme); } catch { /* storage is off */ }
    applyTheme();
    drawAll();
  });
  systemDark.addEventListener("change", () => { applyTheme(); drawAll(); });
}

const DRAWINGS = { snr: drawSnr, ribbon: drawRibbon, roofline: drawRoofline, dram: drawDram };

async function drawAll() {
  if (typeof Plotly === "undefined") return;
  const drawn = timeline ? [timeline.draw()] : [];
  for (const [id, draw] of Object.entries(DRAWINGS)) {
    const element = document.getElementById(id);
    if (!element) continue;
    drawn.push(Plotly.react(element, ...draw(element, data[id], data.layers), chartOptions));
  }
  await Promise.all(drawn);
  root.dataset.charts = String(drawn.length);
}

async function loadLibrary() {
  const holder = document.getElementById("library");
  const packed = Uint8Array.from(atob(holder.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  script.remove();
  holder.remove();
}

function sortTable(table, column, button) {
  const header = button.closest("th");
  const down = header.getAttribute("aria-sort") !== "descending";
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[column].dataset.value;
  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a !== undefined && b !== undefined) return a - b;
    if (a === undefined && b === undefined) {
      return one.cells[column].textContent.localeCompare(other.cells[column].textContent, "en", { numeric: true });
    }
    return a === undefined ? -1 : 1;
  };
  const rows = [...table.tBodies[0].rows].sort((one, other) => (down ? -1 : 1) * compare(one, other));
  table.tBodies[0].append(...rows);
}

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortTable(table, column, button));
      header.append(button);
    });
  }
}

/* Charts are drawn anew when their width changes: names and labels have other places then. */
function startResizing() {
  let width = document.querySelector("main").clientWidth;
  const observer = new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 1) return;
    width = entry.contentRect.width;
    requestAnimationFrame(drawAll);
  });
  observer.observe(document.querySelector("main"));
}

/* On paper everything is open, light, and as wide as A4 paper without its margins; the body still
   has its padding on the screen when charts are measured. */
const PAPER_WIDTH = 680 + 56;

function startPrinting() {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const fold of folded) fold.open = true;
    root.dataset.theme = "light";
    document.body.style.width = `${PAPER_WIDTH}px`;
    drawAll();
  });
  addEventListener("afterprint", () => {
    for (const fold of folded) fold.open = false;
    applyTheme();
    document.body.style.width = "";
    drawAll();
  });
}

async function start() {
  addEventListener("error", (event) => complain(event.message));
  addEventListener("unhandledrejection", (event) => complain(event.reason));
  startTheme();
  startTables();
  startPrinting();
  await loadLibrary();
  const element = document.getElementById("timeline");
  if (element) {
    const shown = document.getElementById("timeline-shown");
    timeline = new Timeline(element, data.timeline, data.layers, (text) => { shown.textContent = text; });
    await timeline.start();
    timelineControls(timeline);
  }
  await drawAll();
  startResizing();
}

start().catch((error) => complain(error.message));
