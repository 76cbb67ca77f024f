// Shows answers one after the other: the same script in a notebook (anywidget calls `render`) and on a page
// (page.py calls `start`). Everything is filtered here; only pictures are asked for when they are shown.

const LETTERS = "ABCDEFGH";
const ROWS = 13; // of the list, with the shown answer in the middle
const DIGITS = 10000; // log-probabilities are given as whole numbers, in ten-thousandths
const INVALID = "invalid";
const SCORES = ["any", "right", "wrong", "not parsed", "not scored"];
const ORDERS = {
  asked: "as asked",
  doubt: "right answer least probable first",
  together: "question by question",
};
const KEYS = [
  ["→ or j, ← or k", "next, previous answer"],
  ["Page Down, Page Up", "ten on, ten back"],
  ["Home, End", "first, last"],
  ["w", "wrong answers only, and back"],
  ["o", "next order of the options"],
  ["b", "next variant or phase beside it"],
  ["/", "look for a group or question"],
];

// --- entry points ----------------------------------------------------------------------------------------

// A notebook. The kernel is asked for the contents once and for each picture once.
export default {
  async render({ model, el }) {
    const waiting = new Map();
    const ask = (message, key) => {
      if (!waiting.has(key)) {
        const wanted = {};
        wanted.promise = new Promise((resolve, reject) => Object.assign(wanted, { resolve, reject }));
        waiting.set(key, wanted);
        model.send(message);
      }
      return waiting.get(key).promise;
    };
    const hear = (message, buffers) => {
      const wanted = waiting.get(message.key);
      if (message.error) wanted.reject(new Error(message.error));
      else wanted.resolve(buffers[0]);
    };
    model.on("msg:custom", hear);
    const urls = new Map();
    const picture = async (number) => {
      if (!urls.has(number)) {
        const bytes = await ask({ key: `picture ${number}`, picture: number }, `picture ${number}`);
        urls.set(number, URL.createObjectURL(new Blob([bytes])));
      }
      return urls.get(number);
    };
    const root = h("div", { class: "answers-browser", tabindex: 0, "data-lm-suppress-shortcuts": "true" });
    const light = document.body.dataset.jpThemeLight; // of JupyterLab; elsewhere the system decides
    root.style.colorScheme = light ? (light === "true" ? "light" : "dark") : "light dark";
    el.append(root);
    const contents = async () => unpacked(await ask({ key: "contents" }, "contents"));
    await browse(root, { contents, picture, keys: root });
    return () => {
      model.off("msg:custom", hear);
      urls.forEach((url) => URL.revokeObjectURL(url));
    };
  },
};

// A page: contents and pictures stand in it as base64.
export async function start(root) {
  const text = document.getElementById("contents").textContent.trim();
  const data = await unpacked(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const drawn = document.getElementById("pictures").textContent;
  const picture = (number) => {
    const [start, end] = data.places[number];
    return `data:image/webp;base64,${drawn.slice(start, end)}`;
  };
  await browse(root, { contents: () => data, picture, keys: document, address: location });
}

async function unpacked(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

async function browse(root, source) {
  const said = h("p", { role: "status" }, "Reading the answers …");
  root.replaceChildren(said);
  try {
    const data = await source.contents();
    root.replaceChildren();
    return show(root, indexed(data), source);
  } catch (error) {
    said.textContent = `The answers cannot be shown: ${error.message}`;
  }
}

// --- what can be filtered --------------------------------------------------------------------------------

// Adds to the contents: `filters`, name → {values, of: the value's place of every answer}; `alike`: all answers
// to a question of one name; `doubt`: the log-probability of the right answer.
function indexed(data) {
  const { question, asking } = data.answers;
  const count = question.length;
  const filters = new Map();
  const add = (name, valueOf) => {
    const places = new Map();
    const of = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const value = String(valueOf(i));
      if (!places.has(value)) places.set(value, places.size);
      of[i] = places.get(value);
    }
    if (places.size > 1) filters.set(name, { values: [...places.keys()], of });
  };
  for (const name of ["variant", "seed", "phase", "world"]) add(name, (i) => data.askings[asking[i]][name]);
  data.facets.forEach((name, k) => add(name, (i) => data.questions[question[i]].facets[k]));
  const alike = new Map();
  const doubt = new Float32Array(count).fill(-Infinity);
  for (let i = 0; i < count; i++) {
    const of = data.questions[question[i]];
    if (!alike.has(of.same)) alike.set(of.same, []);
    alike.get(of.same).push(i);
    const logprobs = data.answers.logprobs[i];
    if (of.gold >= 0 && logprobs.length) doubt[i] = logprobs[of.gold];
  }
  return { ...data, filters, alike, doubt };
}

function scoreOf(data, i) {
  if (data.texts[data.answers.parsed[i]] === INVALID) return "not parsed";
  const right = data.answers.right[i];
  return right === null ? "not scored" : right ? "right" : "wrong";
}

// The places of the answers that a state lets through, in its order.
function chosen(data, state) {
  const { question, right } = data.answers;
  const tests = [...data.filters].filter(([name]) => state.filters[name] !== undefined);
  const wanted = tests.map(([name, { of }]) => [of, state.filters[name]]);
  const words = state.words.trim().toLowerCase();
  data.names ??= data.questions.map((q) => `${q.title} ${q.group} ${q.id}`.toLowerCase());
  const found = words && data.names.map((name) => name.includes(words));
  const list = [];
  for (let i = 0; i < question.length; i++) {
    if (found && !found[question[i]]) continue;
    if (state.score === "right" && right[i] !== 1) continue;
    if (state.score === "wrong" && right[i] !== 0) continue;
    if (state.score.startsWith("not") && scoreOf(data, i) !== state.score) continue;
    if (wanted.every(([of, value]) => of[i] === value)) list.push(i);
  }
  if (state.order === "doubt") list.sort((a, b) => data.doubt[b] - data.doubt[a] || a - b);
  if (state.order === "together") list.sort((a, b) => question[a] - question[b] || a - b);
  return list;
}

// --- the whole -------------------------------------------------------------------------------------------

function show(root, data, source) {
  const state = { filters: {}, score: "any", words: "", order: "asked", at: 0, shift: 0, beside: "" };
  let list = [];
  let share = "";
  const position = h("p", { class: "position", role: "status" });
  const rows = h("ol", { class: "rows", "aria-label": "answers near the one that is shown" });
  const cards = h("div", { class: "cards" });
  const everywhere = h("section", { class: "everywhere" });
  const controls = filterControls(data, state, refilter);
  const beside = besideControl(data, state, draw);
  const step = (to) => {
    state.at = Math.max(0, Math.min(list.length - 1, to));
    draw();
  };
  const buttons = h("div", { class: "steps" },
    h("button", { type: "button", onclick: () => step(state.at - 1), "aria-label": "previous answer" }, "←"),
    h("button", { type: "button", onclick: () => step(state.at + 1), "aria-label": "next answer" }, "→"));
  const help = h("details", { class: "help" }, h("summary", {}, "keys"),
    h("dl", {}, ...KEYS.flatMap(([key, does]) => [h("dt", {}, key), h("dd", {}, does)])));
  root.append(
    controls.element,
    h("div", { class: "bar" }, buttons, position, beside, help),
    h("div", { class: "body" }, rows, h("div", { class: "shown" }, cards, everywhere)),
  );

  function refilter(keep = list[state.at]) {
    list = chosen(data, state);
    const { right } = data.answers;
    const scored = list.filter((k) => right[k] !== null);
    share = scored.length ? `, ${((100 * scored.filter((k) => right[k]).length) / scored.length).toFixed(1)} % right` : "";
    const stays = list.indexOf(keep);
    state.at = Math.max(0, stays);
    draw();
  }

  function draw() {
    const i = list[state.at];
    position.textContent = list.length
      ? `${number(state.at + 1)} of ${number(list.length)} answers${share}`
      : "no answer passes these filters";
    rows.replaceChildren();
    everywhere.replaceChildren();
    if (i === undefined) return cards.replaceChildren();
    const first = Math.max(0, Math.min(state.at - (ROWS >> 1), list.length - ROWS));
    list.slice(first, first + ROWS).forEach((k, place) => rows.append(row(data, k, k === i, () => step(first + place))));
    const other = state.beside && besideOf(data, i, state.beside);
    const shown = [card(data, i, state.shift, source)];
    if (state.beside) {
      shown.push(other === undefined
        ? h("article", { class: "answer none" }, h("p", {}, `${state.beside}: this question was not asked there.`))
        : card(data, other, state.shift, source));
    }
    cards.replaceChildren(...shown);
    cards.classList.toggle("two", shown.length > 1);
    everywhere.append(...runsTable(data, i, other, (k) => {
      state.beside = besideName(data, k);
      beside.querySelector("select").value = state.beside;
      draw();
    }));
    if (source.address) remember(data, i);
  }

  function onKey(event) {
    const typing = event.target.closest?.("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    const moves = {
      ArrowRight: state.at + 1, j: state.at + 1, ArrowLeft: state.at - 1, k: state.at - 1,
      PageDown: state.at + 10, PageUp: state.at - 10, Home: 0, End: list.length - 1,
    };
    const does = {
      w: () => controls.setScore(state.score === "wrong" ? "any" : "wrong"),
      o: () => { state.shift += 1; draw(); },
      b: () => nextOf(beside.querySelector("select")),
      "/": () => controls.words.focus(),
    };
    if (event.key in moves) step(moves[event.key]);
    else if (event.key in does) does[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  source.keys.addEventListener("keydown", onKey);
  if (source.address) {
    const go = () => {
      const found = addressed(data, source.address.hash);
      refilter(found);
      if (found < 0) position.append(" · the answer that was linked is not among those held here");
    };
    addEventListener("hashchange", go);
    go();
  } else refilter();
}

// --- controls --------------------------------------------------------------------------------------------

function filterControls(data, state, changed) {
  const select = (label, options, onchange) =>
    h("label", {}, h("span", {}, label), h("select", { onchange, "aria-label": label }, ...options.map(([value, text]) => h("option", { value }, text))));
  const fields = [...data.filters].map(([name, { values }]) => {
    const shown = values.map((value, k) => [k, value || "(none)"]);
    return select(name, [["", "all"], ...shown], (event) => {
      const value = event.target.value;
      if (value === "") delete state.filters[name];
      else state.filters[name] = Number(value);
      changed();
    });
  });
  const score = select("answer", SCORES.map((name) => [name, name]), (event) => {
    state.score = event.target.value;
    changed();
  });
  const order = select("sorted", Object.entries(ORDERS), (event) => {
    state.order = event.target.value;
    changed(event.target.value === "asked" ? undefined : -1);
  });
  const groups = [...new Set(data.questions.map((q) => q.title))];
  const words = h("input", { type: "search", "aria-label": "group or question", list: "groups-of-answers", placeholder: "name or id",
    oninput: (event) => { state.words = event.target.value; changed(); } });
  const clear = h("button", { type: "button", onclick: () => {
    Object.assign(state, { filters: {}, score: "any", words: "", order: "asked" });
    element.querySelectorAll("select").forEach((of) => { of.selectedIndex = 0; });
    words.value = "";
    changed();
  } }, "clear");
  const element = h("details", { class: "filters", open: matchMedia("(min-width: 50rem)").matches || null },
    h("summary", {}, "filters"),
    h("div", { class: "fields" }, score, ...fields, order,
      h("label", {}, h("span", {}, "group or question"), words,
        h("datalist", { id: "groups-of-answers" }, ...groups.slice(0, 2000).map((value) => h("option", { value })))),
      clear));
  const setScore = (value) => {
    score.querySelector("select").value = value;
    state.score = value;
    changed();
  };
  return { element, words, setScore };
}

function besideControl(data, state, draw) {
  const names = [...new Set(data.answers.asking)].map((k) => nameOf(data.askings[k]));
  const options = ["", ...new Set(names)].map((value) => h("option", { value }, value || "nothing"));
  return h("label", { class: "beside" }, h("span", {}, "beside it"),
    h("select", { "aria-label": "beside it", onchange: (event) => { state.beside = event.target.value; draw(); } }, ...options));
}

function nextOf(select) {
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  select.dispatchEvent(new Event("change"));
}

const nameOf = (asking) => `${asking.variant}, phase ${asking.phase}`;
const besideName = (data, i) => nameOf(data.askings[data.answers.asking[i]]);

// The answer to the same question of a variant after a phase; of the same seed if there are several.
function besideOf(data, i, name) {
  const there = alikeTo(data, i).filter((k) => besideName(data, k) === name);
  const seed = (k) => data.askings[data.answers.asking[k]].seed;
  return there.find((k) => seed(k) === seed(i)) ?? there[0];
}

const alikeTo = (data, i) => data.alike.get(data.questions[data.answers.question[i]].same);

// --- one answer ------------------------------------------------------------------------------------------

function card(data, i, turned, source) {
  const asking = data.askings[data.answers.asking[i]];
  const question = data.questions[data.answers.question[i]];
  const orders = Math.max(1, picksOf(data, i).length);
  const shift = question.how ? turned % orders : 0;
  const facets = data.facets.map((name, k) => [name, question.facets[k]]).filter(([, value]) => value);
  const score = scoreOf(data, i);
  const picture = (number) => image(data, number, question, source);
  return h("article", { class: "answer", "data-id": question.id },
    h("header", {},
      h("h2", {}, `${asking.variant}, seed ${asking.seed}, phase ${asking.phase}`,
        h("span", { class: `mark ${score.replace(" ", "-")}` }, score)),
      h("p", { class: "facets" }, ...facets.map(([name, value]) => h("span", {}, h("i", {}, `${name} `), value)))),
    h("section", { class: "question" },
      question.how && orders > 1 ? h("p", { class: "small" }, `options in order ${shift + 1} of ${orders}`) : null,
      ...(question.before ?? []).map(([role, parts]) => turn(role, partsOf(parts, question, 0, picture))),
      ...(question.contexts
        ? question.contexts.map((turns, k) => h("div", { class: k === question.gold ? "context gold" : "context" },
            h("p", { class: "small" }, `context ${k + 1}${k === question.gold ? ", the right one" : ""}`),
            ...turns.map(([role, parts]) => turn(role, partsOf(parts, question, 0, picture)))))
        : [h("div", { class: "turn" }, ...partsOf(question.prompt, question, shift, picture))])),
    options(data, i, question, shift, picture),
    written(data, i, question),
    h("p", { class: "id" }, `${question.title} · ${question.id}`));
}

const turn = (role, parts) => h("div", { class: "turn" }, h("b", { class: "role" }, role), ...parts);

// The parts of a turn as they are shown, lettered options in the cyclic order `shift`.
function partsOf(parts, question, shift, picture) {
  return parts.flatMap(([kind, content]) => {
    if (kind === "image") return [picture(content)];
    if (kind === "text") return [h("span", { class: "said" }, content)];
    const count = question.options.length;
    return [h("span", { class: "listing" }, ...question.options.map((_, place) => {
      const k = (place + shift) % count;
      const option = question.options[k];
      return h("span", { class: "option" }, h("b", {}, `${LETTERS[place]}. `),
        content === "pictures" ? picture(option) : h("span", { class: "said" }, option),
        h("span", { class: "said" }, question.captions?.[k] ?? ""));
    }))];
  });
}

function image(data, number, question, source) {
  const [width, height] = data.sizes[number];
  const grown = width < 128 ? 2 : 1;
  const element = h("img", { alt: `picture ${number + 1} of ${question.group}`, width: width * grown, height: height * grown,
    class: grown > 1 ? "grown" : "", title: `${width} × ${height} pixels` });
  const url = source.picture(number);
  if (typeof url === "string") element.src = url;
  else url.then((found) => { element.src = found; }, (error) => { element.alt = error.message; });
  return element;
}

const picksOf = (data, i) => data.texts[data.answers.picks[i]];

// The options with their mean probability, that in each order, and in which orders each was favoured.
function options(data, i, question, shift, picture) {
  const logprobs = data.answers.logprobs[i];
  if (!logprobs.length) return null;
  const picks = picksOf(data, i);
  const byOrder = data.answers.order_logprobs[i];
  const count = question.options.length;
  // Letters tell the place in an order; other texts may be alike behind several contexts, and are asked in one order.
  const favoured = picks.map((said, order) => question.how
    ? (question.said.indexOf(said) + order) % count
    : logprobs.indexOf(Math.min(...logprobs)));
  const lines = question.options.map((option, k) => {
    const share = Math.exp(-logprobs[k] / DIGITS);
    const marks = picks.map((_, order) => {
      const letter = question.how ? LETTERS[(k - order + count) % count] : "•";
      const is = favoured[order] === k;
      return h("td", { class: "order" }, h("span", { class: is ? "favoured" : "" },
        letter, is ? h("span", { class: "hidden" }, " favoured") : null),
        byOrder.length ? h("span", { class: "of-order" }, percent(Math.exp(-byOrder[order][k] / DIGITS))) : null);
    });
    const gold = k === question.gold;
    return h("tr", { class: gold ? "gold" : "" },
      h("th", { scope: "row" }, question.contexts ? `context ${k + 1}: ` : null,
        question.how === "pictures" ? picture(option) : option || "(empty)",
        gold ? h("span", { class: "tag" }, "right") : null),
      h("td", { class: "share" }, h("span", { class: "track" }, h("span", { class: "fill", style: `width: ${(100 * share).toFixed(1)}%` })),
        h("span", {}, percent(share))),
      ...marks);
  });
  const heads = picks.map((_, order) => h("th", { scope: "col", class: order === shift && question.how ? "order now" : "order" },
    picks.length > 1 ? `order ${order + 1}` : "favoured"));
  const note = picks.length > 1
    ? "Probabilities are means over the orders; under an order: the letter an option has in it, filled where it is favoured"
      + (byOrder.length ? ", and its probability." : ".")
    : "Probabilities are normalised over the options.";
  return h("section", { class: "options" },
    scrolling("options", h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "option"), h("th", { scope: "col" }, "probability"), ...heads)),
      h("tbody", {}, ...lines))),
    h("p", { class: "small" }, note));
}

function written(data, i, question) {
  const { text, parsed, parts, by_text: byText, by_logprob: byLogprob } = data.answers;
  const expected = question.how && question.gold >= 0 ? LETTERS[question.gold] : question.answer;
  const said = data.texts[text[i]];
  const lines = [];
  if (byText[i] !== null) {
    lines.push(["wrote", h("span", { class: "said wrote" }, said || "(nothing)")],
      ["read as", h("span", { class: "said" }, data.texts[parsed[i]] || "(nothing)")],
      ["expected", h("span", { class: "said" }, expected ?? "")],
      ["the writing is", byText[i] ? "right" : "wrong"]);
    if (data.texts[parts[i]]) lines.push(["parts of the grade", data.texts[parts[i]]]);
  }
  if (byLogprob[i] !== null) lines.push(["the favoured option is", byLogprob[i] ? "right" : "wrong"]);
  return h("section", { class: "written" }, h("dl", {}, ...lines.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

// --- around it -------------------------------------------------------------------------------------------

function row(data, i, current, onclick) {
  const question = data.questions[data.answers.question[i]];
  const score = scoreOf(data, i);
  const told = data.facets.filter((name) => data.filters.has(name))
    .map((name) => data.filters.get(name)).map(({ values, of }) => values[of[i]]).filter((value) => value && value !== "none");
  return h("li", {}, h("button", { type: "button", onclick, "aria-current": current ? "true" : null },
    h("span", { class: `mark ${score.replace(" ", "-")}` }, score),
    h("b", {}, question.title),
    h("span", { class: "small" }, [data.askings[data.answers.asking[i]].variant, ...told].join(" · "))));
}

// What every run answered to the same question; a row is put beside the shown answer.
function runsTable(data, i, other, choose) {
  const all = alikeTo(data, i);
  if (all.length < 2) return [];
  const lines = all.map((k) => {
    const asking = data.askings[data.answers.asking[k]];
    const question = data.questions[data.answers.question[k]];
    const logprobs = data.answers.logprobs[k];
    const probable = question.gold >= 0 && logprobs.length ? percent(Math.exp(-logprobs[question.gold] / DIGITS)) : "";
    const score = scoreOf(data, k);
    return h("tr", { class: k === i ? "current" : k === other ? "other" : "" },
      h("th", { scope: "row" }, k === i ? asking.variant
        : h("button", { type: "button", onclick: () => choose(k), title: "put it beside" }, asking.variant)),
      h("td", {}, String(asking.seed)), h("td", {}, String(asking.phase)),
      h("td", {}, h("span", { class: `mark ${score.replace(" ", "-")}` }, score)),
      h("td", { class: "number" }, probable),
      h("td", { class: "said short" }, data.texts[data.answers.text[k]]));
  });
  const heads = ["variant", "seed", "phase", "answer", "p(right)", "wrote"];
  return [h("h2", {}, "This question in every run"), scrolling("this question in every run", h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...lines)))];
}

// The address of an answer on a page: #variant=…&seed=…&phase=…&id=…
let timer = 0;

function remember(data, i) {
  clearTimeout(timer); // browsers slow down pages that change their address at every step
  const { variant, seed, phase } = data.askings[data.answers.asking[i]];
  const id = data.questions[data.answers.question[i]].id;
  const address = `#${new URLSearchParams({ variant, seed, phase, id })}`;
  timer = setTimeout(() => history.replaceState(null, "", address), 400);
}

// The answer of an address, -1 if it is not here; undefined for an address without one.
function addressed(data, hash) {
  const wanted = new URLSearchParams(hash.slice(1));
  if (!wanted.has("id")) return undefined;
  const names = ["variant", "seed", "phase"].filter((name) => wanted.has(name));
  const { question, asking } = data.answers;
  const found = question.findIndex((q, i) => data.questions[q].id === wanted.get("id") &&
    names.every((name) => String(data.askings[asking[i]][name]) === wanted.get(name)));
  return found;
}

const scrolling = (label, table) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
const number = (value) => value.toLocaleString("en");
const percent = (share) => (share > 0.9995 && share < 1 ? "> 99.9 %" : share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

// An element with attributes, listeners (on…) and children; null ones are left out, texts stay texts.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== "") element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
