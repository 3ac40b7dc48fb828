"use strict";
// One page, no network: the data is unpacked query by query; everything from a collection is shown as text alone.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SIZES = { int8: 1, uint8: 1, uint16: 2, float32: 4 };
  const TYPES = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
  const ROW = 20;
  const KEPT = 8;
  // By a number, lowest first (way 1) or highest first (way −1); queries that have none come last either way.
  const sorted = (key, way) => (a, b) => {
    const [one, other] = [key(a), key(b)];
    return Number.isNaN(one) || Number.isNaN(other) ? Number.isNaN(one) - Number.isNaN(other) : way * (one - other);
  };
  const SORTS = {
    "study’s order": () => 0,
    "most changed": sorted((q) => changed(q), -1),
    "least stable": sorted((q) => stability(q), 1),
    worst: sorted((q) => gain(q), 1),
    best: sorted((q) => gain(q), -1),
    id: (a, b) => head.queries[a].qid.localeCompare(head.queries[b].qid, "en", { numeric: true }),
  };
  const SIGNALS = {
    calibrated: { label: "calibrated", name: "query − N/A", of: "", share: "the score" },
    raw: { label: "raw", name: "query alone", of: " of the query's attention", share: "it" },
    na: { label: "N/A", name: "N/A alone", of: " of the attention of N/A", share: "it" },
  };

  let head, block;
  const state = { q: 0, s: 0, e: 0, p: 0, v: 0, b: "", sort: "study’s order", shade: "token", kind: "calibrated" };
  const cache = new Map();
  const ui = {};

  // ---- building ------------------------------------------------------------------------------------------------
  const put = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) element.append(child);
    return element;
  };
  const h = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
  const s = (tag, attributes, ...children) => put(document.createElementNS(SVG, tag), attributes, children);
  const number = (value, digits = 3) =>
    value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits).replace(/^(-?)0\./, "$1.").replace("-", "−");
  const signed = (value) => (Math.abs(value) < 0.0005 ? "±.000" : (value > 0 ? "+" : "") + number(value));

  // ---- data ----------------------------------------------------------------------------------------------------
  async function unpack(id) {
    const raw = atob(document.getElementById(id).textContent);
    const packed = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) packed[i] = raw.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const data = new Uint8Array(await new Response(stream).arrayBuffer());
    const length = new DataView(data.buffer).getUint32(0, true);
    const found = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
    let at = 4 + length;
    for (const [name, type, shape] of found.arrays) {
      const count = shape.reduce((a, b) => a * b, 1);
      const size = SIZES[type];
      const bytes = new Uint8Array(count * size);
      for (let plane = 0; plane < size; plane++)
        for (let i = 0; i < count; i++) bytes[i * size + plane] = data[at + plane * count + i];
      at += count * size;
      found[name] = new TYPES[type](bytes.buffer);
    }
    return found;
  }
  const column = (start, end) => start * head.layers - (start * (start - 1)) / 2 + end - start;
  const here = () => column(state.s, state.e);
  const windows = () => (head.layers * (head.layers + 1)) / 2;
  // The measure of this query in the chosen order of the candidates; undefined where it is not judged.
  const under = (c) => block["values" + state.v]?.[c];
  const at = (array, q) => array[q * windows() + here()];
  const value = (q) => at(head.values, q);
  const gain = (q) => value(q) - head.queries[q].first; // NaN where the query is not judged
  const changed = (q) => at(head.changed, q);
  const stability = (q) => at(head.stability, q);
  const size = () => block.passages.length;
  const ordered = (view, c) => block["orders" + view].subarray(c * shown(view), (c + 1) * shown(view));
  const shown = (view) => block["orders" + view].length / windows();
  const score = (passage, view = state.v) => block["scores" + view][here() * size() + passage];
  const ranks = (order) => {
    const found = new Array(size()).fill(null);
    order.forEach((passage, place) => (found[passage] = place));
    return found;
  };
  const windowName = (start = state.s, end = state.e) =>
    start === 0 && end === head.layers - 1 ? "all layers" : start === end ? `layer ${start}` : `layers ${start}–${end}`;

  function summed(held, passage) {
    const [begin, past] = block.bounds[passage];
    const total = block.bounds[size() - 1][1];
    const c = new Float64Array(past - begin);
    for (let layer = state.s; layer <= state.e; layer++) {
      const scale = held.token_scale[layer * size() + passage];
      for (let t = begin; t < past; t++) c[t - begin] += held.tokens[layer * total + t] * scale;
    }
    return c;
  }
  // The signal of tokens and heads: the one asked for, where the page holds it for this query.
  const signal = () => (block.beside ? state.kind : "calibrated");
  function tokenScores(passage) {
    const all = { calibrated: summed(block, passage) };
    if (block.beside) {
      all.na = summed(block.beside, passage);
      all.raw = all.calibrated.map((one, t) => Math.max(0, one + all.na[t])); // below 0 by rounding alone
    }
    const c = all[signal()];
    if (signal() !== "calibrated") return { c, all, kept: new Array(c.length).fill(true) };
    const mean = c.reduce((a, b) => a + b, 0) / c.length;
    const spread = Math.sqrt(c.reduce((a, b) => a + (b - mean) ** 2, 0) / (c.length - 1));
    const kept = Array.from(c, (one) => c.length < 2 || one > mean - 2 * spread);
    return { c, all, kept };
  }
  // Of heads, arrays [L, H, N] and [L, N]: 8-bit values and their scale; the most of a layer and the head that gives it.
  function headsOf() {
    const kind = signal();
    const own = (name) => (kind === "calibrated" ? block[name] : block.beside[`${kind}_${name}`]);
    return { heads: own("heads"), scale: own("head_scale"), best: own("best"), bestHead: own("best_head") };
  }

  // ---- words ---------------------------------------------------------------------------------------------------
  const quoted = (piece) => piece.trim() || (piece.includes("\n") ? "↵" : "␣");
  function sentence(passage) {
    const n = size();
    const rank = ranks(ordered(0, here()));
    const before = passage + 1;
    const after = rank[passage] + 1;
    const moved = before === after ? `Stayed at ${after}` : `${after < before ? "Rose" : "Fell"} from ${before} to ${after}`;
    const parts = [];
    const { best, bestHead } = headsOf();
    let most = state.s;
    for (let layer = state.s; layer <= state.e; layer++) if (best[layer * n + passage] > best[most * n + passage]) most = layer;
    parts.push(`layer ${most}, head ${bestHead[most * n + passage]} gives the most${SIGNALS[signal()].of}`);
    const { c, kept } = tokenScores(passage);
    let total = 0;
    c.forEach((one, t) => (total += kept[t] ? one : 0));
    if (total > 0) {
      const order = [...c.keys()].filter((t) => kept[t]).sort((a, b) => c[b] - c[a] || a - b);
      const top = order.slice(0, 3);
      const words = top.map((t) => `'${quoted(block.passages[passage].pieces[t])}'`).join(", ");
      const share = (100 * top.reduce((sum, t) => sum + c[t], 0)) / total;
      parts.push(`${words} ${top.length > 1 ? "give" : "gives"} ${share.toFixed(0)}% of ${SIGNALS[signal()].share}`);
    }
    const place = block.views[0].places[passage];
    parts.push(
      `stood ${place === n ? "last (next to the query)" : place === 1 ? "first" : `at place ${place} of ${n}`} in the prompt`,
    );
    const others = block.views.map((view, v) => [view, v]).slice(1).filter(([view]) => view.places[passage]);
    const found = others.map(([, v]) => ranks(ordered(v, here()))[passage] + 1);
    const names = others.map(([view]) => view.name).join(", ");
    if (others.length === 1) parts.push(`rank ${found[0]} when ${names}`);
    else if (others.length) parts.push(`ranks ${found.join(", ")} in other orders (${names})`);
    return `${moved}: ${parts.join("; ")}.`;
  }

  // ---- the frame -----------------------------------------------------------------------------------------------
  function frame() {
    const app = document.getElementById("app");
    app.replaceChildren();
    ui.mean = h("span", { class: "mean" });
    ui.live = h("div", { class: "hidden", "aria-live": "polite" });
    const theme = h("button", { type: "button", onclick: darker, "aria-label": "Switch between light and dark" }, "◐");
    put(app, {}, [
      h(
        "header",
        {},
        h("h1", {}, head.title),
        h("p", {}, head.subtitle, " ", ui.mean),
        h("nav", { "aria-label": "Pages beside this one" }, links()),
        theme,
      ),
      panel("queries", "Queries", listHead(), (ui.list = h("ul", { class: "scroll" }))),
      panel("window", "Window", presets(), (ui.strip = h("div", {})), "profile"),
      panel("ranking", "Ranking", rankingHead(), (ui.slope = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Ranking, scrollable" })), "ranking"),
      panel("windows", "All windows of this query", (ui.triangleHead = h("span", { class: "note" })), (ui.triangle = h("div", {})), "windows"),
      panel("passage", "Passage", passageHead(), (ui.passage = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Passage, scrollable" })), "passage"),
      ui.live,
    ]);
  }

  // A zipped report keeps each page in a folder of its own; a report that is one file holds pages without an address.
  function links() {
    if (!/^(file|https?):$/.test(location.protocol)) return [];
    const reported = location.pathname.includes("/data/raw/");
    return head.links.map(([label, here, there]) => h("a", { href: reported ? there : here, target: "_blank" }, label));
  }

  function panel(name, title, controls, body, download) {
    const button = download
      ? h("button", { type: "button", class: "save", onclick: () => save(name, download), "aria-label": `Download ${title} as SVG` }, "SVG")
      : null;
    return h(
      "section",
      { id: name, "aria-labelledby": name + "-title" },
      h("div", { class: "bar" }, h("h2", { id: name + "-title" }, title), controls, button),
      body,
    );
  }

  function listHead() {
    ui.search = h("input", { type: "search", placeholder: "search", "aria-label": "Search queries", oninput: list });
    ui.sort = h(
      "select",
      { "aria-label": "Sort queries", onchange: () => { state.sort = ui.sort.value; list(); } },
      Object.keys(SORTS)
        .filter((name) => name !== "least stable" || head.stable)
        .map((name) => h("option", { value: name }, name)),
    );
    return [ui.search, ui.sort];
  }

  function presets() {
    ui.presets = head.presets.map((preset, index) =>
      h(
        "button",
        { type: "button", class: "preset", onclick: () => usePreset(index), title: preset.upper ? "chosen on the test queries: an upper bound" : null },
        preset.label,
        preset.upper ? h("span", { class: "badge" }, "chosen on the test queries") : null,
      ),
    );
    ui.named = h("output", { class: "named" });
    return [h("div", { class: "presets" }, ui.presets), ui.named];
  }

  function rankingHead() {
    ui.compare = h("select", { "aria-label": "Compare with", onchange: () => { state.b = ui.compare.value; draw(); } });
    ui.order = h("select", { "aria-label": "Order of the candidates in the prompt", onchange: () => { state.v = Number(ui.order.value); draw(); } });
    ui.figures = h("span", { class: "figures" });
    return [ui.compare, ui.order, ui.figures];
  }

  function passageHead() {
    ui.shade = h(
      "select",
      { "aria-label": "Shade the text", onchange: () => { state.shade = ui.shade.value; passage(); address(); } },
      ["token", "sentence"].map((name) => h("option", { value: name }, `by ${name}`)),
    );
    ui.kinds = Object.entries(SIGNALS).map(([kind, { label, name }]) =>
      h(
        "label",
        { title: `${name} (key s: the next signal)` },
        h("input", { type: "radio", name: "signal", value: kind, "aria-label": `${label}: ${name}`, onchange: () => setSignal(kind) }),
        h("span", {}, label),
      ),
    );
    return [ui.shade, h("div", { class: "choice", role: "radiogroup", "aria-label": "Signal of tokens, layers and heads" }, ui.kinds)];
  }
  async function setSignal(kind) {
    ui.asked = kind;
    const found = block;
    await beside(found, state.q, kind);
    if (ui.asked !== kind || block !== found) return;
    state.kind = kind;
    passage();
    address();
    ui.live.textContent = `Tokens, layers and heads: ${SIGNALS[kind].name}`;
  }

  // ---- queries -------------------------------------------------------------------------------------------------
  function list() {
    const wanted = ui.search.value.toLowerCase();
    const found = head.queries
      .map((_, q) => q)
      .filter((q) => (head.queries[q].qid + " " + head.queries[q].text).toLowerCase().includes(wanted))
      .sort((a, b) => SORTS[state.sort](a, b) || a - b);
    ui.items = new Map();
    ui.list.replaceChildren(
      ...found.map((q) => {
        const note = h("span", { class: "note" });
        const item = h(
          "button",
          { type: "button", onclick: () => open(q), "data-qid": head.queries[q].qid },
          h("span", { class: "asked", title: head.queries[q].text }, h("b", {}, head.queries[q].qid), " ", h("bdi", {}, head.queries[q].text)),
          note,
        );
        ui.items.set(q, [item, note]);
        return h("li", {}, item);
      }),
    );
    listNotes();
  }

  function listNotes() {
    for (const [q, [item, note]] of ui.items) {
      item.setAttribute("aria-current", q === state.q ? "true" : "false");
      const first = head.queries[q].first;
      const from = at(head.mover, q);
      const mover = head.queries[q].passages ? `; furthest: ${from + 1} → ${at(head.moved, q) + 1}` : "";
      const stable = !Number.isNaN(stability(q)) ? `; τ ${number(stability(q), 2)}` : "";
      note.textContent =
        (first === null ? "not judged" : `${number(value(q))} (${signed(value(q) - first)} on the first stage)`) + mover + stable;
    }
    const judged = head.queries.map((_, q) => value(q)).filter((one) => !Number.isNaN(one));
    const firsts = head.queries.map((query) => query.first).filter((one) => one !== null);
    const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
    ui.mean.textContent = judged.length
      ? `Mean ${head.measure} of these ${judged.length} queries under ${windowName()}: ${number(mean(judged))}; first stage ${number(mean(firsts))}.`
      : "";
  }

  // ---- window --------------------------------------------------------------------------------------------------
  function strip() {
    const width = Math.max(400, ui.strip.clientWidth), height = 150, left = 34, right = 10, top = 8, bottom = 24;
    const L = head.layers;
    const x = (layer) => left + ((layer + 0.5) * (width - left - right)) / L;
    const step = (width - left - right) / L;
    const own = Array.from({ length: L }, (_, l) => (block["values" + state.v] ? block["values" + state.v][column(l, l)] : NaN));
    const profile = head.profile.map((one) => (one === null ? NaN : one));
    const largest = Math.max(0.01, ...[...own, ...profile].filter((one) => !Number.isNaN(one)));
    const y = (one) => height - bottom - (one / largest) * (height - top - bottom);
    const line = (numbers, cls) => {
      const d = numbers.map((one, l) => (Number.isNaN(one) ? "" : `${x(l)},${y(one)}`)).filter(Boolean);
      return d.length ? s("polyline", { class: cls, points: d.join(" ") }) : null;
    };
    const bars = head.passage.map((share, l) => [
      s("rect", { class: "place", x: x(l) - step / 2, width: step, y: top, height: (height - top - bottom) * head.place[l] }),
      s("rect", { class: "share", x: x(l) - step / 2, width: step, y: height - bottom - (height - top - bottom) * share, height: (height - top - bottom) * share }),
    ]);
    ui.range = s("rect", { class: "range", y: top, height: height - top - bottom, tabindex: 0, role: "slider", "aria-label": "Window of layers: arrows move it, shift widens it", "aria-valuemin": 0, "aria-valuemax": L - 1 });
    ui.handles = ["first", "last"].map((which) =>
      s("rect", { class: "handle", y: top - 4, width: 8, height: height - top - bottom + 8, rx: 3, tabindex: 0, role: "slider", "aria-label": `${which} layer of the window`, "aria-valuemin": 0, "aria-valuemax": L - 1 }),
    );
    const every = [1, 2, 5, 10, 20].find((one) => one * step >= 16) ?? 50; // a label takes 16
    const ticks = Array.from({ length: L }, (_, l) => l).filter((l) => l % every === 0);
    const svg = s(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${head.measure} by layer, with the chosen window` },
      bars,
      [0, largest / 2, largest].map((one) => s("text", { class: "tick", x: left - 4, y: y(one) + 4, "text-anchor": "end" }, number(one, 2))),
      ticks.map((l) => s("text", { class: "tick", x: x(l), y: height - 8, "text-anchor": "middle" }, String(l))),
      line(profile, "profile"),
      line(own, "own"),
      ui.range,
      ui.handles,
    );
    const layerAt = (event) => {
      const box = svg.getBoundingClientRect();
      const inside = ((event.clientX - box.left) / box.width) * width;
      return Math.max(0, Math.min(L - 1, Math.floor((inside - left) / step)));
    };
    let drag = null;
    const begin = (what) => (event) => {
      drag = { what, layer: layerAt(event), s: state.s, e: state.e };
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
      event.target.focus({ preventScroll: true });
    };
    ui.range.addEventListener("pointerdown", begin("both"));
    ui.handles[0].addEventListener("pointerdown", begin("first"));
    ui.handles[1].addEventListener("pointerdown", begin("last"));
    svg.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const layer = layerAt(event);
      if (drag.what === "first") setWindow(Math.min(layer, state.e), state.e);
      else if (drag.what === "last") setWindow(state.s, Math.max(layer, state.s));
      else {
        const by = Math.max(-drag.s, Math.min(L - 1 - drag.e, layer - drag.layer));
        setWindow(drag.s + by, drag.e + by);
      }
    });
    svg.addEventListener("pointerup", () => (drag = null));
    svg.addEventListener("pointercancel", () => (drag = null));
    ui.range.addEventListener("keydown", (event) => keys(event, "both"));
    ui.handles[0].addEventListener("keydown", (event) => keys(event, "first"));
    ui.handles[1].addEventListener("keydown", (event) => keys(event, "last"));
    ui.place = () => {
      const begins = x(state.s) - step / 2, ends = x(state.e) + step / 2;
      put(ui.range, { x: begins, width: ends - begins, "aria-valuenow": state.s, "aria-valuetext": windowName() }, []);
      put(ui.handles[0], { x: begins - 4, "aria-valuenow": state.s, "aria-valuetext": `layer ${state.s}` }, []);
      put(ui.handles[1], { x: ends - 4, "aria-valuenow": state.e, "aria-valuetext": `layer ${state.e}` }, []);
    };
    const legend = h(
      "p",
      { class: "legend" },
      h("span", { class: "key profile" }, `${head.measure} by layer, mean of the study`),
      h("span", { class: "key own" }, "this query"),
      head.passage.length ? h("span", { class: "key share" }, "share of the passage (from below)") : null,
      head.passage.length ? h("span", { class: "key place" }, "share of the place (from above)") : null,
    );
    ui.strip.replaceChildren(svg, legend);
    ui.place();
  }

  function keys(event, what) {
    const L = head.layers;
    const ends = { Home: -L, End: L }; // a handle goes as far as it can
    const by = { ArrowLeft: -1, ArrowRight: 1, ...(what === "both" ? {} : { ArrowDown: -1, ArrowUp: 1, ...ends }) }[event.key];
    if (event.key === "Home" && what === "both") setWindow(0, L - 1);
    else if (!by) return;
    else if (what === "first") setWindow(Math.max(0, Math.min(state.e, state.s + by)), state.e);
    else if (what === "last") setWindow(state.s, Math.max(state.s, Math.min(L - 1, state.e + by)));
    else if (event.shiftKey) setWindow(by < 0 ? Math.max(0, state.s - 1) : state.s, by > 0 ? Math.min(L - 1, state.e + 1) : state.e);
    else if (state.s + by >= 0 && state.e + by < L) setWindow(state.s + by, state.e + by);
    event.preventDefault();
  }

  function usePreset(index) {
    const [start, end] = head.presets[index].windows[state.q];
    setWindow(start, end);
  }

  let pending = false;
  function setWindow(start, end) {
    if (start === state.s && end === state.e) return;
    state.s = start;
    state.e = end;
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      moved();
    });
  }

  function moved() {
    ui.named.textContent = windowName();
    ui.presets.forEach((button, index) => {
      const [start, end] = head.presets[index].windows[state.q];
      button.setAttribute("aria-pressed", start === state.s && end === state.e ? "true" : "false");
    });
    ui.place();
    slopeUpdate();
    passage();
    marker();
    listNotes();
    address();
    ui.live.textContent = `${windowName()}: ${head.measure} ${number(under(here()))}`;
  }

  // ---- ranking -------------------------------------------------------------------------------------------------
  const grade = (index) => block.passages[index].grade;
  const gradeClass = (index) => {
    const own = grade(index);
    if (own === null) return "unjudged";
    return own <= 0 ? "g0" : `g${Math.max(1, Math.ceil((3 * own) / head.largest))}`;
  };
  const words = (index, length) => {
    const own = block.passages[index];
    const whole = own.pieces.join("").replace(/^\[\d+\] /, "");
    const text = own.title && whole.startsWith(own.title + "\n") ? own.title + " · " + whole.slice(own.title.length + 1) : whole;
    return text.length > length ? text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "") + "…" : text; // no half of a pair
  };

  function columns() {
    const found = [{ name: "first stage", order: Array.from({ length: size() }, (_, i) => i), value: head.queries[state.q].first }];
    if (state.b.startsWith("run ")) {
      const name = state.b.slice(4);
      if (Object.hasOwn(block.runs, name)) found.push({ name, order: block.runs[name].order, value: block.runs[name].value });
    } else if (state.b.startsWith("window ")) {
      const [start, end] = windowIn(state.b.slice(7));
      const c = column(start, end);
      found.push({ name: windowName(start, end), order: [...ordered(state.v, c)], value: under(c) });
    }
    found.push({ name: windowName(), order: [...ordered(state.v, here())], value: under(here()), live: true });
    return found;
  }

  function slope() {
    const n = size();
    const cols = columns();
    const width = Math.max(400, ui.slope.clientWidth - 14), top = 26, text = Math.min(420, Math.max(170, width * 0.42));
    const xs = cols.map((_, i) => 62 + (i * (width - text - 62 - 40)) / (cols.length - 1));
    ui.cols = { xs, top };
    ui.lines = Array.from({ length: n }, (_, i) =>
      s("path", { class: `line ${gradeClass(i)}`, onclick: () => choose(i) }),
    );
    ui.labels = Array.from({ length: n }, (_, i) => {
      const group = s(
        "g",
        { class: `item ${gradeClass(i)}`, role: "button", tabindex: -1, "data-pid": block.passages[i].pid, onclick: () => choose(i) },
        s("rect", { class: "hit", x: xs[xs.length - 1] - 8, y: -ROW / 2, width: width - xs[xs.length - 1] + 8, height: ROW }),
        s("circle", { cx: xs[xs.length - 1], r: 4 }),
        s("text", { x: xs[xs.length - 1] + 12, y: 4, class: "rank" }),
        s("text", { x: xs[xs.length - 1] + 44, y: 4 }, words(i, Math.floor((text - 50) / 6))),
      );
      return group;
    });
    const dots = cols.slice(0, -1).map((col, c) =>
      col.order.map((passage_, place) =>
        s(
          "g",
          { class: `dot ${gradeClass(passage_)}`, onclick: () => choose(passage_) },
          s("circle", { cx: xs[c], cy: top + ROW * (place + 0.5), r: 3.5 }),
          c === 0 ? s("text", { x: xs[c] - 9, y: top + ROW * (place + 0.5) + 4, "text-anchor": "end" }, String(place + 1)) : null,
        ),
      ),
    );
    const room = cols.length > 2 ? Math.floor((xs[1] - xs[0]) / 7.5) : 99;
    const short = (name) => (name.length > room ? name.slice(0, room - 1) + "…" : name);
    ui.heads = cols.map((col, c) =>
      s("text", { class: "head", x: c === 0 ? 8 : c === cols.length - 1 ? xs[c] - 8 : xs[c], y: 14, "text-anchor": c === 0 || c === cols.length - 1 ? "start" : "middle" }, col.live ? col.name : short(col.name), s("title", {}, col.name)),
    );
    const svg = s(
      "svg",
      { viewBox: `0 0 ${width} ${top + ROW * n + 6}`, role: "group", "aria-label": "Ranks from the first stage to the window" },
      ui.heads,
      ui.lines,
      dots,
      ui.labels,
    );
    ui.slope.replaceChildren(svg, key());
    slopeUpdate();
  }

  function key() {
    const grades = [...new Set(block.passages.map((one) => one.grade))].filter((one) => one !== null).sort((a, b) => b - a);
    return h(
      "p",
      { class: "legend" },
      grades.map((one) => h("span", { class: `key ${one <= 0 ? "g0" : `g${Math.max(1, Math.ceil((3 * one) / head.largest))}`}` }, `grade ${one}`.replace("-", "−"))),
      block.passages.some((one) => one.grade === null) ? h("span", { class: "key unjudged" }, "not judged") : null,
      " = the same score as its neighbour",
    );
  }

  function slopeUpdate() {
    const cols = columns();
    if (cols.length !== ui.cols.xs.length) return slope();
    const { xs, top } = ui.cols;
    const places = cols.map((col) => ranks(col.order));
    const last = cols.length - 1;
    const y = (place) => top + ROW * (place + 0.5);
    const order = cols[last].order, ties = block["ties" + state.v]; // of places p and p + 1
    for (let i = 0; i < size(); i++) {
      const known = places.map((rank) => rank[i]);
      let d = "", drawing = false;
      known.forEach((place, c) => {
        if (place === null) { drawing = false; return; }
        d += drawing ? `C${(xs[c - 1] + xs[c]) / 2},${y(known[c - 1])} ${(xs[c - 1] + xs[c]) / 2},${y(place)} ${xs[c]},${y(place)}` : `M${xs[c]},${y(place)}`;
        drawing = true;
      });
      ui.lines[i].setAttribute("d", d);
      const place = known[last];
      const label = ui.labels[i];
      label.setAttribute("visibility", place === null ? "hidden" : "visible");
      if (place === null) continue;
      label.setAttribute("transform", `translate(0,${y(place)})`);
      const tied = [place - 1, place].some((upper) => upper >= 0 && upper < order.length - 1 && ties[here() * (order.length - 1) + upper]);
      label.children[2].textContent = (tied ? "=" : "") + (place + 1);
      label.setAttribute("aria-label", `rank ${place + 1}, first stage ${i + 1}, ${grade(i) === null ? "not judged" : "grade " + grade(i)}, score ${number(score(i))}: ${words(i, 80)}`);
      const chosen = i === state.p;
      label.classList.toggle("chosen", chosen);
      ui.lines[i].classList.toggle("chosen", chosen);
    }
    ui.heads[last].firstChild.data = cols[last].name;
    ui.figures.replaceChildren(
      `${head.measure}: `,
      h("b", { class: "value" }, number(cols[last].value)),
      ` · ${cols.slice(0, -1).map((col) => `${col.name} ${number(col.value)}`).join(" · ")} · ceiling ${number(head.queries[state.q].ceiling)}`,
    );
  }

  function choose(index) {
    state.p = index;
    slopeUpdate();
    passage();
    address();
  }

  function fillCompare() {
    const options = [h("option", { value: "" }, "against the first stage alone")];
    head.presets.forEach((preset) => {
      const [start, end] = preset.windows[state.q];
      options.push(h("option", { value: `window ${start}-${end}` }, `and ${preset.label}, ${windowName(start, end)}`));
    });
    Object.keys(block.runs).forEach((name) => options.push(h("option", { value: "run " + name }, "and " + name)));
    if (state.b && !options.some((option) => option.value === state.b)) options.push(h("option", { value: state.b }, state.b));
    ui.compare.replaceChildren(...options);
    ui.compare.value = state.b;
    ui.order.replaceChildren(...block.views.map((view, i) => h("option", { value: i }, view.name)));
    ui.order.value = state.v;
    ui.order.hidden = block.views.length < 2;
  }

  // ---- passage -------------------------------------------------------------------------------------------------
  function passage() {
    const own = block.passages[state.p];
    if (!own) return ui.passage.replaceChildren(h("p", {}, "This query has no candidates."));
    ui.shade.value = state.shade;
    for (const label of ui.kinds) label.firstChild.checked = label.firstChild.value === state.kind;
    const { c, all, kept } = tokenScores(state.p);
    const groups = state.shade === "sentence" ? sentences(own.pieces) : own.pieces.map((_, t) => [t]);
    const sums = groups.map((tokens) => tokens.reduce((sum, t) => sum + (kept[t] ? c[t] : 0), 0));
    const largest = Math.max(1e-12, ...sums.map(Math.abs), ...(state.shade === "token" ? Array.from(c, Math.abs) : []));
    const spans = groups.map((tokens, g) => {
      const dropped = state.shade === "token" && !kept[tokens[0]];
      const strength = state.shade === "token" ? c[tokens[0]] / largest : sums[g] / largest;
      const alpha = (Math.abs(strength) ** 0.7 * 0.8).toFixed(3);
      return h(
        "span",
        {
          class: dropped ? "token dropped" : "token",
          style: `background:rgba(var(${strength < 0 ? "--shade-minus" : "--shade-plus"}),${alpha})`,
          title: (dropped ? "dropped by the mask; " : "") + worth(tokens, kept, all),
        },
        tokens.map((t) => own.pieces[t]).join(""),
      );
    });
    ui.text = h("p", { class: "text", dir: "auto" }, spans);
    ui.passage.replaceChildren(
      h("p", { class: "pid" }, h("b", {}, h("bdi", {}, own.pid)), ` · ${own.grade === null ? "not judged" : "grade " + own.grade} · first stage ${state.p + 1} (${own.score.toFixed(2)}) · score ${number(score(state.p))}`),
      h("p", { class: "sentence" }, sentence(state.p)),
      ui.text,
      legend(),
      layers(),
      heads(),
    );
  }

  // What a token or a sentence gets under each signal; the mask takes tokens out of query − N/A alone.
  function worth(tokens, kept, all) {
    const sum = (kind) => tokens.reduce((total, t) => total + (kind !== "calibrated" || state.shade === "token" || kept[t] ? all[kind][t] : 0), 0);
    const order = [signal(), ...Object.keys(SIGNALS).filter((kind) => kind !== signal())];
    return order.filter((kind) => all[kind]).map((kind) => `${SIGNALS[kind].name} ${sum(kind).toExponential(2)}`).join("; ");
  }
  function legend() {
    const of = h("span", { class: "of" }, `Text by ${SIGNALS[signal()].name}:`);
    const calibrated = signal() === "calibrated";
    return h(
      "p",
      { class: "legend" },
      of,
      h("span", { class: "key plus" }, calibrated ? "adds" : "attention"),
      calibrated ? [h("span", { class: "key minus" }, "takes away"), h("s", {}, "dropped by the mask")] : "every token counts, the mask is of query − N/A",
      h("span", {}, "Shading is of 8-bit values; scores and ranks are exact."),
      signal() === state.kind ? null : h("span", {}, "Layers alone follow the choice: this study keeps tokens of query − N/A only."),
    );
  }

  function sentences(pieces) {
    const groups = [[]];
    pieces.forEach((piece, t) => {
      groups[groups.length - 1].push(t);
      if (/[.!?]["'”’)]*\s*$/.test(piece) && t + 1 < pieces.length && /^\s/.test(pieces[t + 1])) groups.push([]);
    });
    return groups.filter((group) => group.length);
  }

  const colour = (strength) => `rgba(var(${strength < 0 ? "--minus" : "--plus"}),${(Math.abs(strength) ** 0.7).toFixed(3)})`;

  function layers() {
    const n = size(), L = head.layers, width = 340, height = 90, left = 24, bottom = 18;
    const numbers = Array.from({ length: L }, (_, l) => {
      const q = block.query[l * n + state.p], na = block.na[l * n + state.p];
      return state.kind === "raw" ? q : state.kind === "na" ? na : q - na;
    });
    const largest = Math.max(1e-12, ...numbers.map(Math.abs));
    const lowest = Math.min(0, ...numbers);
    const scale = (height - bottom - 6) / (largest - lowest || 1);
    const step = (width - left) / L;
    const zero = 4 + largest * scale;
    return h(
      "figure",
      {},
      s(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `What each layer gives this passage, ${SIGNALS[state.kind].name}` },
        s("rect", { class: "inside", x: left + state.s * step, width: (state.e - state.s + 1) * step, y: 0, height: height - bottom }),
        numbers.map((one, l) => s("rect", { class: one < 0 ? "minus" : "plus", x: left + l * step + 0.5, width: Math.max(1, step - 1), y: one < 0 ? zero : zero - one * scale, height: Math.abs(one) * scale })),
        s("line", { class: "axis", x1: left, x2: width, y1: zero, y2: zero }),
        [0, Math.floor(L / 2), L - 1].map((l) => s("text", { class: "tick", x: left + (l + 0.5) * step, y: height - 5, "text-anchor": "middle" }, String(l))),
      ),
      h("figcaption", {}, `By layer, ${SIGNALS[state.kind].name}${state.kind === "calibrated" ? ", before the mask" : ""}`),
    );
  }

  function heads() {
    const n = size(), L = head.layers, H = head.heads, width = 340, left = 24, bottom = 16;
    const step = (width - left) / L, tall = Math.max(4, Math.min(12, 140 / H));
    const { heads: values, scale: scales } = headsOf();
    const scale = scales[state.p];
    let largest = 1;
    for (let i = 0; i < L * H; i++) largest = Math.max(largest, Math.abs(values[i * n + state.p]));
    const cells = [];
    for (let l = 0; l < L; l++)
      for (let one = 0; one < H; one++) {
        const got = values[(l * H + one) * n + state.p];
        cells.push(
          s("rect", { x: left + l * step, y: one * tall, width: step, height: tall, style: `fill:${colour(got / largest)}` }, s("title", {}, `layer ${l}, head ${one}: ${(got * scale).toExponential(2)}`)),
        );
      }
    return h(
      "figure",
      {},
      s(
        "svg",
        { viewBox: `0 0 ${width} ${H * tall + bottom}`, role: "img", "aria-label": `What each head of each layer gives this passage, ${SIGNALS[signal()].name}` },
        cells,
        s("rect", { class: "frame", x: left + state.s * step, width: (state.e - state.s + 1) * step, y: 0, height: H * tall }),
        [0, Math.floor(H / 2), H - 1].map((one) => s("text", { class: "tick", x: left - 4, y: one * tall + tall, "text-anchor": "end" }, String(one))),
        [0, Math.floor(L / 2), L - 1].map((l) => s("text", { class: "tick", x: left + (l + 0.5) * step, y: H * tall + 12, "text-anchor": "middle" }, String(l))),
      ),
      h("figcaption", {}, `By layer (across) and head (down), ${SIGNALS[signal()].name}${signal() === "calibrated" ? ", before the mask" : ""}`),
    );
  }

  // ---- all windows ---------------------------------------------------------------------------------------------
  const grid = () => {
    const L = head.layers, left = 34, width = Math.max(300, ui.triangle.clientWidth - left - 8), height = 180;
    return { L, left, width, height, wide: width / L, tall: height / L };
  };
  function triangle() {
    const { L, wide, tall, left, width, height } = grid();
    const bottom = 30;
    const values = block["values" + state.v];
    const low = values ? Math.min(...values) : 0, high = values ? Math.max(...values) : 1;
    const cells = [];
    for (let start = 0; start < L; start++)
      for (let end = start; end < L; end++) {
        const one = values ? values[column(start, end)] : NaN;
        const part = Number.isNaN(one) ? 0 : high > low ? (one - low) / (high - low) : 0.5;
        cells.push(s("rect", { "data-s": start, "data-e": end, x: left + end * wide, y: start * tall, width: wide + 0.3, height: tall + 0.3, style: `fill:${ramp(part)}` }));
      }
    ui.mark = s("rect", { class: "mark", width: wide, height: tall });
    const name = (event) => {
      const { s: start, e: end } = event.target.dataset;
      if (start === undefined) return;
      ui.triangleHead.textContent = `${windowName(Number(start), Number(end))}: ${number(values ? values[column(Number(start), Number(end))] : NaN)}`;
    };
    const svg = s(
      "svg",
      {
        viewBox: `0 0 ${left + width + 4} ${height + bottom}`,
        role: "img",
        "aria-label": `${head.measure} of this query under every window, from ${number(low)} to ${number(high)}`,
        onpointermove: name,
        onpointerleave: note,
        onclick: (event) => {
          const { s: start, e: end } = event.target.dataset;
          if (start !== undefined) setWindow(Number(start), Number(end));
        },
      },
      cells,
      ui.mark,
      [0, Math.floor(L / 2), L - 1].map((l) => [
        s("text", { class: "tick", x: left + (l + 0.5) * wide, y: height + 12, "text-anchor": "middle" }, String(l)),
        s("text", { class: "tick", x: left - 4, y: (l + 0.5) * tall + 4, "text-anchor": "end" }, String(l)),
      ]),
      s("text", { class: "tick", x: left + width / 2, y: height + 25, "text-anchor": "middle" }, "last layer"),
      s("text", { class: "tick", x: 10, y: height / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${height / 2})` }, "first layer"),
    );
    ui.triangle.replaceChildren(svg);
    marker();
  }
  const note = () => {
    const values = block["values" + state.v];
    ui.triangleHead.textContent = values ? `${number(Math.min(...values))} to ${number(Math.max(...values))}; dark is higher; a click sets the window` : "this query is not judged";
  };
  const ramp = (part) => {
    // One hue that grows darker: readable in grey and by colour-blind eyes.
    const from = [247, 251, 255], to = [8, 48, 107];
    return `rgb(${from.map((one, i) => Math.round(one + (to[i] - one) * part)).join(",")})`;
  };
  function marker() {
    const { wide, tall, left } = grid();
    put(ui.mark, { x: left + state.e * wide, y: state.s * tall }, []);
    note();
  }

  // ---- address, theme, files -----------------------------------------------------------------------------------
  function addressed() {
    const query = head.queries[state.q];
    const own = block.passages[state.p];
    const parts = new URLSearchParams({ q: query ? query.qid : "", w: `${state.s}-${state.e}` });
    if (own) parts.set("p", own.pid);
    if (state.b) parts.set("b", state.b);
    if (state.v) parts.set("o", block.views[state.v].name);
    if (state.kind !== "calibrated") parts.set("k", state.kind);
    if (state.shade !== "token") parts.set("t", state.shade);
    return "#" + parts;
  }
  function address() {
    const hash = addressed();
    if (location.hash !== hash) {
      try { history.replaceState(null, "", hash); } catch { location.replace(hash); }
    }
  }
  // [first, last] of text such as 10-13; null where that is no window of the model.
  function windowIn(text) {
    const [start, end] = (/^(\d+)-(\d+)$/.exec(text ?? "") ?? []).slice(1).map(Number);
    return end >= start && end < head.layers ? [start, end] : null;
  }
  function fromAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const q = head.queries.findIndex((query) => query.qid === parts.get("q"));
    const b = parts.get("b") || "";
    return { q: q < 0 ? 0 : q, window: windowIn(parts.get("w")), p: parts.get("p"), b: b.startsWith("run ") || windowIn(b.replace(/^window /, "")) ? b : "", o: parts.get("o"), k: Object.hasOwn(SIGNALS, parts.get("k")) ? parts.get("k") : "calibrated", t: parts.get("t") === "sentence" ? "sentence" : "token" };
  }
  function darker() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }
  const STYLED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "text-anchor", "visibility"];
  function drawing(name) {
    if (name === "passage") return withText();
    return standalone(document.querySelector(`#${name} svg`));
  }
  function standalone(svg) {
    const copy = svg.cloneNode(true);
    const from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((element, i) => {
      const style = getComputedStyle(element);
      STYLED.forEach((one) => to[i].style.setProperty(one, style.getPropertyValue(one)));
    });
    const [, , width, height] = svg.getAttribute("viewBox").split(" ");
    put(copy, { xmlns: SVG, width, height }, []);
    return copy;
  }
  function withText() {
    const box = ui.passage.getBoundingClientRect();
    const copy = ui.passage.cloneNode(true);
    const from = [ui.passage, ...ui.passage.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((element, i) => {
      const style = getComputedStyle(element);
      ["color", "background-color", "text-decoration", "margin", ...STYLED].forEach((one) => to[i].style.setProperty(one, style.getPropertyValue(one)));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/1999/xhtml");
    const height = ui.passage.scrollHeight;
    return s("svg", { xmlns: SVG, width: box.width, height, viewBox: `0 0 ${box.width} ${height}` }, s("foreignObject", { width: box.width, height }, copy));
  }
  function save(name, file) {
    // A collection's texts may hold control characters, which XML has no way to write.
    const text = new XMLSerializer().serializeToString(drawing(name)).replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD");
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })), download: `${file}-${head.queries[state.q].qid.replace(/[^A-Za-z0-9._-]/g, "_")}-L${state.s}-${state.e}.svg` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- opening -------------------------------------------------------------------------------------------------
  async function load(q) {
    if (!cache.has(q)) {
      const found = await unpack(`query-${q}`);
      let begin = 0;
      found.bounds = found.passages.map((one) => [begin, (begin += one.pieces.length)]);
      cache.set(q, found);
      if (cache.size > KEPT) cache.delete(cache.keys().next().value);
    }
    return cache.get(q);
  }
  // What N/A alone pays, unpacked when it is first asked for; null where the study does not keep it.
  async function beside(found, q, kind) {
    if (kind === "calibrated" || found.beside !== undefined) return;
    found.beside = document.getElementById(`na-${q}`) ? await unpack(`na-${q}`) : null;
  }
  async function open(q, wanted = {}) {
    const asked = (ui.opening = {});
    const found = await load(q);
    const kind = wanted.k ?? ui.asked;
    await beside(found, q, kind);
    if (ui.opening !== asked) return; // another query was asked for meanwhile
    ui.asked = kind;
    const view = "o" in wanted ? wanted.o : block.views[state.v].name; // the order of the candidates stays from query to query
    block = found;
    state.kind = kind;
    state.shade = wanted.t ?? state.shade;
    const follows = state.q === q ? -1 : head.presets.findIndex((one) => one.windows[state.q] && one.windows[state.q][0] === state.s && one.windows[state.q][1] === state.e);
    if (wanted.window) [state.s, state.e] = wanted.window;
    else if (follows >= 0) [state.s, state.e] = head.presets[follows].windows[q];
    state.q = q;
    state.v = Math.max(0, block.views.findIndex((one) => one.name === view));
    state.b = wanted.b ?? (state.b.startsWith("window ") ? "" : state.b);
    const p = block.passages.findIndex((one) => one.pid === wanted.p);
    state.p = p >= 0 ? p : size() ? ordered(state.v, here())[0] : 0;
    fillCompare();
    draw();
    document.documentElement.dataset.ready = head.queries[q].qid;
  }
  function draw() {
    strip();
    slope();
    triangle();
    moved();
  }

  async function start() {
    head = await unpack("header");
    head.stable = head.stability.some((one) => !Number.isNaN(one));
    head.largest = head.grade;
    frame();
    if (!head.queries.length) return void document.getElementById("app").append(h("p", {}, "No query was chosen."));
    const wanted = fromAddress();
    const [first, last] = head.presets.length ? head.presets[0].windows[wanted.q] : [0, head.layers - 1];
    [state.s, state.e] = wanted.window || [first, last];
    list();
    await open(wanted.q, { ...wanted, window: [state.s, state.e] });
    window.addEventListener("hashchange", () => {
      if ("#" + new URLSearchParams(location.hash.slice(1)) === addressed()) return;
      const next = fromAddress();
      open(next.q, next);
    });
    let width = document.documentElement.clientWidth;
    window.addEventListener("resize", () => {
      if (width === (width = document.documentElement.clientWidth)) return;
      draw();
    });
    document.addEventListener("keydown", (event) => {
      if (event.target.closest("input, select, [role=slider]") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") { ui.search.focus(); event.preventDefault(); }
      else if (event.key === "s") setSignal(after(Object.keys(SIGNALS), ui.asked));
      else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
      else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (event.target.closest("#queries, #passage")) return; // these scroll
        const order = ordered(state.v, here());
        const next = order[ranks(order)[state.p] + (event.key === "ArrowDown" ? 1 : -1)];
        if (next !== undefined) { choose(next); event.preventDefault(); }
      } else keys(event, "both");
    });
  }
  const after = (names, name) => names[(names.indexOf(name) + 1) % names.length];
  function step(by) {
    const shownItems = [...ui.items.keys()];
    const next = shownItems[shownItems.indexOf(state.q) + by];
    if (next !== undefined) open(next);
  }

  start();
})();
