// One picture at a time: what the server says is shown, what is answered is sent.

const FEW = 12;  // classes that have a button each
const at = (id) => document.getElementById(id);
const picture = (position) => `api/pictures/${position}`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const counted = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;

let state;
let busy = false;
let early = false;  // the result is shown though pictures are left

async function ask(path, body) {
  const sent = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const answer = await fetch(`api/${path}`, sent);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function change(path, body) {
  if (busy) return;
  busy = true;
  at("trouble").hidden = true;
  try {
    state = await ask(path, body);
    early = false;
    show();
  } catch (error) {
    const gone = error instanceof TypeError;
    at("trouble").textContent = gone ? "The review has ended: start the command again, and load this page anew." : error.message;
    at("trouble").hidden = false;
    if (!gone) {  // another page may have answered
      state = await ask("state");
      show();
    }
  } finally {
    busy = false;
  }
}

const answer = (word, label = "") => state.item && !early && change("decide", { number: state.done, answer: word, label });
const take = (label) => answer(label === state.item?.label ? "keep" : "change", label);

function show() {
  at("title").textContent = state.title;
  document.title = `${state.done} of ${state.total} · ${state.title}`;
  at("bar").value = state.total ? state.done / state.total : 1;
  at("count").textContent = `${state.done} of ${state.total}`;
  at("undo").disabled = !state.done;
  at("so-far").hidden = !state.item || !state.done || early;
  at("go-on").hidden = !state.item;
  at("table").textContent = state.table;
  at("question").hidden = !state.item || early;
  at("result").hidden = Boolean(state.item) && !early;
  if (!at("question").hidden) showQuestion(state.item);
  if (!at("result").hidden) showResult();
}

function showQuestion(item) {
  at("picture").src = picture(item.picture);
  at("picture").alt = `Picture ${state.done + 1}, labelled ${item.label}`;
  at("name").textContent = item.name;
  at("label").textContent = item.label;
  at("keep").querySelector("b").textContent = item.label;
  at("suggestion").querySelector("b").textContent = item.suggested;
  at("others").hidden = state.classes.length < 3;
  for (const chip of at("classes").children) {
    chip.hidden = [item.label, item.suggested].includes(chip.dataset.label);
  }
  at("told").textContent = told(item);
  at("neighbours").replaceChildren(...item.neighbours.map((near) => neighbour(near, item)));
  at("status").textContent = `${state.done + 1} of ${state.total}: labelled ${item.label}. ${at("told").textContent}`;
  for (const position of state.ahead) new Image().src = picture(position);
}

function told(item) {
  const counts = new Map();
  for (const { label } of item.neighbours) counts.set(label, (counts.get(label) ?? 0) + 1);
  const parts = [...counts].sort((one, other) => other[1] - one[1]).map(([label, count]) => `${count} ${label}`);
  return `Labelled ${parts.join(", ")}.`;
}

function neighbour(near, item) {
  const figure = document.createElement("figure");
  const image = document.createElement("img");
  const caption = document.createElement("figcaption");
  figure.className = near.label === item.label ? "given" : near.label === item.suggested ? "suggested" : "";
  image.src = picture(near.picture);
  image.alt = `Labelled ${near.label}`;
  image.title = near.name;
  caption.textContent = near.label;
  figure.append(image, caption);
  return figure;
}

function showResult() {
  const rate = state.error_rate;
  const [low, high] = rate.interval;
  const whole = Math.abs(low - high) < 1e-9;
  at("rate").textContent = rate.share === null ? "Too few answers for a figure"
    : `${whole ? "" : "About "}${percent(rate.share)} of the labels are wrong`;
  at("interval").textContent = rate.share === null ? "Go on: the pictures that were drawn at random decide it." : whole ? "Every picture has been looked at."
    : `Between ${percent(low)} and ${percent(high)} of ${counted(rate.pictures, "label")} (95 % interval).`;
  const words = { keep: "label kept", change: "label changed", unsure: "not sure", drop: "left out" };
  at("answers").replaceChildren(...Object.entries(state.answers).flatMap(([word, count]) => {
    const [name, value] = [document.createElement("dt"), document.createElement("dd")];
    name.textContent = words[word];
    value.textContent = count.toLocaleString("en");
    return [name, value];
  }));
  at("how").textContent = `${counted(rate.suspects_wrong, "label")} of the ${rate.suspects.toLocaleString("en")} most suspicious were wrong; `
    + `and ${rate.controls_wrong.toLocaleString("en")} of ${counted(rate.controls, "picture")} drawn at random from the rest, `
    + "which were mixed in unmarked. These speak for all that nobody looked at."
    + (rate.unsure ? ` The interval takes ${counted(rate.unsure, "“not sure”", "“not sure”")} for right at its lower end and for wrong at its upper end.` : "");
  at("next").textContent = state.next;
  at("status").textContent = `${at("rate").textContent}. ${at("interval").textContent}`;
}

function begin() {
  const few = state.classes.length <= FEW;
  at("classes").hidden = !few;
  at("find").hidden = few;
  at("classes").replaceChildren(...(few ? state.classes : []).map((label, number) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.dataset.label = label;
    chip.append(label);
    if (number < 9) chip.append(Object.assign(document.createElement("kbd"), { textContent: number + 1 }));
    chip.addEventListener("click", () => take(label));
    return chip;
  }));
  at("names").replaceChildren(...(few ? [] : state.classes).map((label) => new Option(label, label)));
  show();
}

const keys = {
  k: () => answer("keep"),
  s: () => take(state.item?.suggested),
  u: () => answer("unsure"),
  d: () => answer("drop"),
  z: () => state.done && change("undo", {}),
  backspace: () => state.done && change("undo", {}),
  c: () => at("find").hidden || at("wanted").focus(),
};

document.addEventListener("keydown", (event) => {
  if (!state || event.target === at("wanted") || event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
  const key = event.key.toLowerCase();
  const label = /^[1-9]$/.test(key) && state.classes.length <= FEW ? state.classes[key - 1] : undefined;
  if (label === undefined && !(key in keys)) return;
  event.preventDefault();
  if (label !== undefined) take(label);
  else keys[key]();
});

at("keep").addEventListener("click", keys.k);
at("suggestion").addEventListener("click", keys.s);
at("unsure").addEventListener("click", keys.u);
at("drop").addEventListener("click", keys.d);
at("undo").addEventListener("click", keys.z);
at("so-far").addEventListener("click", () => { early = true; show(); });
at("go-on").addEventListener("click", () => { early = false; show(); });
at("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = at("wanted").value.trim().toLowerCase();
  const label = state.classes.find((name) => name.toLowerCase() === typed);
  at("wanted").setCustomValidity(label === undefined ? "There is no such class." : "");
  if (!at("wanted").reportValidity()) return;
  at("wanted").value = "";
  at("wanted").blur();
  take(label);
});
at("wanted").addEventListener("input", () => at("wanted").setCustomValidity(""));
at("wanted").addEventListener("keydown", (event) => { if (event.key === "Escape") at("wanted").blur(); });

state = await ask("state");
begin();
