"use strict";
(() => {
  const PAGE = 50; // rows at first; thousands at once take a phone seconds to lay out
  const STEP = 200;
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const form = at("controls");

  // Columns: words are [the words, the place of each row's], figures are text; both an entry a row.
  const cellOf = data.counts.flatMap((count, cell) => Array(count).fill(cell));
  const columns = {};
  for (const [name, [words, places]] of Object.entries(data.cells).filter(([name]) => name !== "command")) {
    columns[name] = { words, places: cellOf.map((cell) => places[cell]) };
  }
  for (const [name, column] of Object.entries(data.calls)) {
    columns[name] = Array.isArray(column) ? { words: column[0], places: column[1] } : { texts: column.split("|") };
  }
  const closest = new Set(data.closest);
  const value = (name, row) => {
    const { words, places, texts } = columns[name];
    return words ? words[places[row]] : texts[row];
  };
  const varies = (name) => columns[name].words.length > 1;
  const oneCall = (row) => value("size", row) === "1";
  const peerAhead = (row) => value("verdict", row) === "faster" && !oneCall(row); // a call's cost is no speed

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, text] of Object.entries(attributes)) made.setAttribute(name, text);
    made.append(...children);
    return made;
  }

  // What the table shows of a row: a heading, a unit, and how its field is filled.
  const word = (name) => (field, row) => field.append(value(name, row));
  const figure = (name) => (field, row) => field.append(value(name, row) || "–");
  const interval = (low, high) => (field, row) => {
    if (value(low, row)) field.append(`${value(low, row)}–${value(high, row)}`);
  };
  const verdict = (row) => {
    const text = value("verdict", row);
    return text ? element("span", { class: `verdict ${text === "not timed" ? "untimed" : text}` }, text) : "";
  };
  const sub = (...content) => element("span", { class: "sub" }, ...content);
  const about = (row) => ["pass", "dtype", "size", "threads", "cache"].filter((name) => varies(name) && !state[name])
    .map((name) => value(name, row) + (name === "threads" ? " t" : "")).join(" · ");
  const remarks = (row) => [value("call", row) === "kernel alone" ? value("flags", row) : "", value("note", row)];
  const shown = [
    { name: "function", sort: true, fill: open },
    { name: "kind", sort: true, wide: true, fill: word("kind") },
    { name: "pass", sort: true, wide: true, fill: word("pass") },
    { name: "dtype", sort: true, wide: true, fill: word("dtype") },
    { name: "size", sort: true, wide: true, figure: true, fill: word("size") },
    { name: "threads", sort: true, wide: true, figure: true, fill: word("threads") },
    { name: "cache", sort: true, wide: true, fill: word("cache") },
    { name: "provider", sort: true, fill: (field, row) => {
      field.append(value("provider", row), " ", element("small", {}, value("call", row)));
    } },
    { name: "time", unit: "ns/element", sort: true, figure: true, fill: (field, row) => {
      field.append(value("time", row) || "–");
      if (oneCall(row) && value("time", row)) field.append(element("small", {}, " a call"));
    } },
    { name: "time95", title: "95 %", wide: true, figure: true, fill: interval("low", "high"), class: "interval" },
    { name: "speed", unit: "GB/s", sort: true, wide: true, figure: true, fill: figure("speed") },
    { name: "share", title: "of ceiling", unit: "%", sort: true, wide: true, figure: true, fill: figure("share") },
    { name: "ratio", unit: "time / ours", sort: true, figure: true, fill: (field, row) => {
      field.append(value("ratio", row) || "–");
      if (value("verdict", row)) field.append(sub(verdict(row)));
    } },
    { name: "ratio95", title: "95 %", wide: true, figure: true, fill: interval("ratio_low", "ratio_high"), class: "interval" },
    { name: "verdict", title: "than ours", sort: true, wide: true, fill: (field, row) => field.append(verdict(row)) },
    { name: "error", sort: true, wide: true, figure: true, fill: figure("error") },
    { name: "note", title: "notes", wide: true, class: "note", fill: (field, row) => {
      field.append(remarks(row).filter(Boolean).join("; "));
      if (field.textContent) field.title = field.textContent;
    } },
  ].filter(({ name }) => !["threads", "cache", "kind"].includes(name) || varies(name));

  // The state of the view, which the address keeps.
  const FILTERS = ["kind", "pass", "dtype", "size", "threads", "cache", "provider"].filter(varies);
  const KEYS = ["q", ...FILTERS, "faster", "sort", "down", "rows"];
  let state = {};
  let rows = [];

  function read() {
    const hash = location.hash.slice(1);
    if (hash === "every") return {};
    if (!hash.includes("=")) return { ...data.view }; // none, or a section of the page
    const given = new URLSearchParams(hash);
    return Object.fromEntries(KEYS.filter((key) => given.get(key)).map((key) => [key, given.get(key)]));
  }

  function keep() {
    const entries = KEYS.filter((key) => state[key]).map((key) => [key, state[key]]);
    history.replaceState(null, "", `#${new URLSearchParams(entries).toString() || "every"}`);
  }

  function change(changes) {
    state = { ...state, rows: "", ...changes };
    keep();
    show();
  }

  function chosen() {
    const tests = FILTERS.filter((name) => name !== "provider" && state[name]).map((name) => {
      const { words, places } = columns[name];
      const place = words.indexOf(state[name]);
      return (row) => places[row] === place;
    });
    const { words, places } = columns.provider;
    const provider = words.indexOf(state.provider);
    if (state.provider === "hardest") tests.push((row) => closest.has(row));
    else if (state.provider) tests.push((row) => places[row] === provider);
    if (state.faster) tests.push(peerAhead);
    if (state.q) {
      const part = state.q.trim().toLowerCase();
      const fits = columns.function.words.map((name) => name.toLowerCase().includes(part));
      tests.push((row) => fits[columns.function.places[row]]);
    }
    return cellOf.map((_, row) => row).filter((row) => tests.every((test) => test(row)));
  }

  function ordered(found) {
    const column = columns[state.sort];
    if (!column) return found;
    const way = state.down ? -1 : 1;
    const key = column.places || column.texts.map((text) => (text ? Number(text) : NaN));
    const empty = (row) => (column.words ? column.words[key[row]] === "" : Number.isNaN(key[row]));
    const known = found.filter((row) => !empty(row)).sort((a, b) => way * (key[a] - key[b]));
    return [...known, ...found.filter(empty)]; // what is unknown comes last either way
  }

  // Drawing.
  const body = at("table").tBodies[0];

  function open(field, row) {
    const button = element("button", { type: "button", class: "open", "aria-expanded": "false" }, value("function", row));
    button.addEventListener("click", () => unfold(button, row));
    field.append(button, sub(about(row)));
  }

  // A filter makes every row the same in its column, which then says nothing.
  const needless = (name) => name !== "provider" && FILTERS.includes(name) && Boolean(state[name]);

  function line(row) {
    const made = element("tr");
    for (const column of shown.filter(({ name }) => !needless(name))) {
      const head = column.name === "function";
      const classes = [column.wide && "wide", column.figure && "figure", column.class].filter(Boolean).join(" ");
      const field = element(head ? "th" : "td", head ? { scope: "row" } : classes ? { class: classes } : {});
      column.fill(field, row);
      made.append(field);
    }
    return made;
  }

  function unfold(button, row) {
    const here = button.closest("tr");
    const opened = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!opened));
    if (opened) here.nextElementSibling.remove();
    else here.after(element("tr", { class: "details" }, element("td", { colspan: String(shown.length) }, facts(row))));
  }

  function facts(row) {
    const made = element("dl");
    const fact = (name, ...content) => {
      if (content.every(Boolean)) made.append(element("dt", {}, name), element("dd", {}, ...content));
    };
    const each = oneCall(row) ? "ns a call" : "ns an element";
    const has = (name) => value(name, row);
    const ends = (low, high) => `${has(low)} to ${has(high)}`;
    fact("cell", ["kind", "pass", "dtype"].map(has).filter(Boolean).join(", ") +
      `, ${has("size")} elements, ${has("threads")} thread${has("threads") === "1" ? "" : "s"}, ${has("cache")} cache`);
    fact("call", `${has("provider")}, ${has("call")}`);
    if (has("time")) {
      fact("time", `${has("duration")} a call; ${has("time")} ${each}, 95 % interval ${ends("low", "high")}`);
      fact("samples", `${has("rounds")} rounds of ${has("loops")} calls`);
      if (has("speed")) fact("throughput", `${has("speed")} GB/s of the ${has("bytes")} that a call reads and writes`);
    }
    if (has("share")) fact("of ceiling", `${has("share")} % of ${has("ceiling")}`);
    if (has("ratio")) fact("ratio", `${has("ratio")}, 95 % interval ${ends("ratio_low", "ratio_high")}: `, verdict(row));
    else fact("ratio", verdict(row));
    fact("error", has("error") && `${has("error")} of the largest of actbench's values`);
    fact("note", has("note"));
    fact("kernel bound by", has("bound"));
    fact("operations", has("flops") && `${has("flops")} an element`);
    for (const flag of has("flags").split(" ")) fact(`kernel ${flag}`, data.advice[flag]);
    fact("compiled in", Number(has("compile")) > 0 && `${has("compile")} s`);
    const command = element("code", {}, data.cells.command[cellOf[row]]);
    const button = element("button", { type: "button" }, "Copy");
    button.addEventListener("click", () => copy(command, button));
    fact("measure it again", command, button);
    return made;
  }

  async function copy(source, button) {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch { // no clipboard for this page: the text is selected, and the old way is tried
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return;
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  function show() {
    rows = ordered(chosen());
    body.replaceChildren();
    for (const head of at("table").tHead.rows[0].cells) {
      const sorted = state.sort && head.dataset.name === state.sort;
      if (sorted) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.hidden = needless(head.dataset.name);
    }
    for (const field of form.elements) {
      if (field.type === "checkbox") field.checked = Boolean(state[field.name]);
      else if (field.name && field.tagName !== "BUTTON") field.value = state[field.name] || "";
    }
    more(Math.max(PAGE, Number(state.rows) || 0));
  }

  function more(count) {
    const drawn = body.querySelectorAll("tr:not(.details)").length;
    body.append(...rows.slice(drawn, drawn + count).map(line));
    const now = Math.min(rows.length, drawn + count);
    const number = (n) => n.toLocaleString("en");
    const found = now < rows.length ? `the first ${number(now)} of ${number(rows.length)} calls` : `${number(now)} calls`;
    const all = rows.length < cellOf.length ? `, of ${number(cellOf.length)} in all` : "";
    at("count").textContent = `Showing ${found}${all}${fixed}`;
    at("more").hidden = now === rows.length;
    at("more").textContent = `Show ${number(Math.min(STEP, rows.length - now))} more`;
  }

  // What is the same in every row has no column.
  const constant = [["threads", (n) => `${n} thread${n === "1" ? "" : "s"}`], ["cache", (c) => `${c} cache`], ["kind", (k) => k]]
    .filter(([name]) => cellOf.length && !varies(name) && columns[name].words[0])
    .map(([name, say]) => say(columns[name].words[0]));
  const fixed = constant.length ? ` (every one: ${constant.join(", ")})` : "";

  for (const { name, title, unit, sort, wide, figure: right } of shown) {
    const head = element("th", { scope: "col", "data-name": name, class: [wide && "wide", right && "figure"].filter(Boolean).join(" ") });
    if (sort) {
      const button = element("button", { type: "button" }, title || name);
      button.addEventListener("click", () => change({ sort: name, down: state.sort === name && !state.down ? "1" : "" }));
      head.append(button);
    } else head.append(title || name);
    if (unit) head.append(element("small", {}, unit));
    at("table").tHead.rows[0].append(head);
  }
  for (const name of [...FILTERS].reverse()) {
    const options = columns[name].words.filter(Boolean).map((text) => element("option", { value: text }, text));
    options.unshift(element("option", { value: "" }, "any"));
    if (name === "provider" && closest.size) options.splice(1, 0, element("option", { value: "hardest" }, "hardest peer of each cell"));
    form.firstElementChild.after(element("label", {}, `${name} `, element("select", { name }, ...options)));
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    change({ [target.name]: target.type === "checkbox" ? (target.checked ? "1" : "") : target.value });
  });
  form.elements.short.addEventListener("click", () => { state = { ...data.view }; keep(); show(); });
  form.elements.every.addEventListener("click", () => { state = {}; keep(); show(); });
  if (!cellOf.some((_, row) => peerAhead(row))) form.elements.faster.closest("label").hidden = true;
  at("more").addEventListener("click", () => {
    const drawn = body.querySelectorAll("tr:not(.details)").length;
    more(STEP);
    state.rows = String(Math.min(rows.length, drawn + STEP));
    keep();
  });
  addEventListener("hashchange", () => {
    if (location.hash.includes("=") || location.hash === "#every") { state = read(); show(); }
  });

  // Light or dark: as the system says, until a reader says otherwise.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.ground || (system.matches ? "dark" : "light")) === "dark";
  const offer = () => { at("ground").textContent = dark() ? "Light colours" : "Dark colours"; };
  try { root.dataset.ground = localStorage.getItem("actbench-ground") || ""; } catch { /* a page without storage */ }
  at("ground").addEventListener("click", () => {
    root.dataset.ground = dark() ? "light" : "dark";
    try { localStorage.setItem("actbench-ground", root.dataset.ground); } catch { /* it holds for this visit */ }
    offer();
  });
  system.addEventListener("change", offer);

  at("unscripted").hidden = true;
  for (const part of [form, at("count").parentElement, at("window")]) part.hidden = false;
  at("ground").hidden = !CSS.supports("color", "light-dark(#000, #fff)"); // else the page has but one ground
  offer();
  state = read();
  show();
})();
