// The page: photos that are dropped, pasted or chosen, and the camera.

import { aboutModel, predict, privacy, programs, Refused } from "./api.js";
import { film } from "./camera.js";
import { counted, drawBoxes, element, faceCard, named, percent, promise, sentence, speakOf } from "./faces.js";

const get = id => document.getElementById(id);
const stage = get("stage");
const results = get("results");
get("asleep").hidden = true;
let model = { labels: [], unsure_below: 0, limits: { body: Infinity } };
const ready = aboutModel().then(showModel).catch(error => trouble(told(error)));

function say(text) {
  get("status").textContent = text;
}

const told = error => (error instanceof Refused ? error.message : String(error));

function trouble(text) {
  get("trouble").textContent = text;
  get("trouble").hidden = !text;
}

// Photos ------------------------------------------------------------------------------------------

let line = Promise.resolve(); // one photo after the other, so that the first answer comes soon

function addPhotos(files) {
  trouble("");
  const photos = [...files];
  if (!photos.length) return;
  const made = photos.map(photo => new Photo(photo));
  results.prepend(...made.map(one => one.article));
  say(photos.length === 1 ? "Reading the photo." : `Reading ${photos.length} photos.`);
  made[0].article.scrollIntoView({ block: "nearest" });
  for (const one of made) line = line.then(() => one.read());
}

class Photo {
  constructor(file) {
    this.file = file;
    this.article = element("article", "answer reading wordy");
    this.article.tabIndex = -1;
    this.title = element("h2", "", "Reading …");
    const remove = element("button", "small", "Remove");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${file.name || "this photo"}`);
    remove.addEventListener("click", () => this.remove());
    const head = element("header");
    head.append(this.title, remove);
    this.picture = element("div", "photo");
    this.image = element("img");
    this.image.alt = file.name ? `Your photo ${file.name}` : "Your photo";
    this.image.src = URL.createObjectURL(file);
    this.image.addEventListener("error", () => (this.picture.hidden = true)); // a format that the browser does not show
    this.picture.append(this.image);
    this.faces = element("div", "faces");
    const body = element("div", "body");
    body.append(this.picture, this.faces);
    this.article.append(head, body);
  }

  async read(detect) {
    if (this.removed) return;
    await ready;
    try {
      if (this.file.size > model.limits.body) {
        throw new Refused(`This file is larger than ${model.limits.body / 1e6} MB. Make the picture smaller.`);
      }
      this.show(await predict(this.file, { detect }));
    } catch (error) {
      this.showError(told(error));
    }
    this.article.classList.remove("reading");
  }

  show(answer) {
    this.title.textContent = counted(answer.faces);
    this.article.classList.toggle("many", answer.faces.length > 1);
    this.article.classList.toggle("wordy", answer.faces.length === 0);
    say(sentence(answer.faces));
    if (!answer.faces.length) {
      this.faces.replaceChildren(this.advice());
      return;
    }
    const boxes = drawBoxes(this.picture, answer);
    this.faces.replaceChildren(
      ...answer.faces.map((face, index) => {
        const card = faceCard(index + 1, model.labels);
        card.show(face);
        if (answer.faces.length > 1) {
          card.addEventListener("pointerenter", () => boxes[index].classList.add("lit"));
          card.addEventListener("pointerleave", () => boxes[index].classList.remove("lit"));
        }
        return card;
      }),
    );
  }

  advice() {
    const advice = element("div", "advice");
    const whole = element("button", "small", "Read the whole picture as one face");
    whole.type = "button";
    whole.addEventListener("click", () => {
      this.article.focus(); // the button goes
      this.read(false);
    });
    advice.append(
      element("h3", "", "Nobody looks out of this picture."),
      element("p", "", "Faces are found when they look towards the camera, are lit evenly and not too small: at least about a "
        + "fifteenth of the picture’s shorter side. Turned or covered faces are missed. Try another photo, or cut this one closer."),
      element("p", "", "Is it a close-up that shows nothing but a face?"),
      whole,
    );
    return advice;
  }

  showError(text) {
    this.title.textContent = "This did not work";
    const advice = element("div", "advice bad");
    advice.append(element("p", "", text));
    if (this.file.name) advice.append(element("p", "quiet", this.file.name));
    this.faces.replaceChildren(advice);
    say(`This did not work. ${text}`);
  }

  remove() {
    this.removed = true;
    const next = this.article.nextElementSibling?.querySelector("button") ?? get("choose");
    URL.revokeObjectURL(this.image.src);
    this.article.remove();
    next.focus();
    say("Removed.");
  }
}

get("choose").addEventListener("click", () => {
  // Browsers open the chooser within five seconds of the key or click, and say nothing to the person where they do not.
  const late = navigator.userActivation && !navigator.userActivation.isActive;
  trouble(late ? "The page was held up for too long to open your files. Press “Choose photos” again." : "");
  if (!late) get("files").click();
});
get("files").addEventListener("change", event => {
  addPhotos(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
document.addEventListener("paste", event => addPhotos(event.clipboardData.files));
document.addEventListener("dragover", event => {
  event.preventDefault();
  stage.classList.add("over");
});
document.addEventListener("dragleave", event => event.relatedTarget || stage.classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  stage.classList.remove("over");
  addPhotos(event.dataTransfer.files);
});

// Camera ------------------------------------------------------------------------------------------

let camera = null;
let calledOff = false; // before the camera was on
let said = { text: "", at: 0 };
let frames = [];
let cards = [];

get("camera").addEventListener("click", async () => {
  trouble("");
  get("camera").disabled = true;
  await ready;
  calledOff = false;
  filming(true);
  try {
    const told = { onFaces: showSeen, onTrouble: endCamera, wanted: () => !calledOff };
    camera = (await film(get("video"), get("overlay"), model, told)) ?? null;
    if (camera) {
      get("stop").focus();
      say("The camera is on.");
    }
  } catch (error) {
    if (!calledOff) endCamera(told(error));
  }
  get("camera").disabled = false;
});
get("stop").addEventListener("click", () => {
  endCamera("");
  get("camera").focus();
  say("The camera is off.");
});

function filming(on) {
  get("live").hidden = get("seen").hidden = !on;
  get("invite").hidden = on;
  stage.classList.toggle("filming", on);
}

function endCamera(text) {
  calledOff = true;
  camera?.stop();
  camera = null;
  cards = [];
  frames = [];
  get("seen").replaceChildren();
  filming(false);
  trouble(text);
}

function showSeen(faces) {
  const now = performance.now();
  frames = [...frames.filter(time => now - time < 3000), now];
  get("pace").textContent = faces.length
    ? `about ${Math.max(1, Math.round(frames.length / 3))} a second`
    : "No face in sight: look at the camera, with light on your face.";
  if (cards.length !== faces.length) {
    cards = faces.map((_, index) => faceCard(index + 1, model.labels));
    const list = element("div", "faces");
    list.append(...cards);
    get("seen").replaceChildren(list);
  }
  faces.forEach((face, index) => cards[index].show(face));
  const text = [`${counted(faces)}.`, ...faces.map((face, index) => `${named(index + 1)}: ${face.label}.`)].join(" ");
  if (text !== said.text && now - said.at > 4000) {
    said = { text, at: now };
    say(text);
  }
}

// The model ---------------------------------------------------------------------------------------

function unsureBelow(threshold) {
  if (threshold > 1) return "always";
  return threshold ? `below ${percent(threshold)}` : undefined;
}

// Where no class is an expression, whole pictures are read.
function speakOfPictures() {
  speakOf("picture");
  document.title = "mien: guesses at photos";
  for (const part of document.querySelectorAll(".of-faces")) part.hidden = true;
  document.querySelector("h1").textContent = "What does this picture seem to show?";
  get("deck").textContent = "Give it a photo or turn on the camera. Every picture gets a guess with a probability for each class, "
    + "and “unsure” where that guess would be wrong too often.";
}

function showModel(found) {
  model = found;
  if (!model.detect) speakOfPictures();
  const { card, limits, prediction_sets: sets } = model;
  if (sets) promise(sets.coverage);
  const facts = [
    ["tells apart", model.labels.join(", ")],
    ["trained as", card.recipe],
    ["right on validation", card.validation_accuracy && percent(card.validation_accuracy)],
    ["on clean images", card.without_identical && `${percent(card.clean.accuracy)} of the ${card.clean.images} with no copy among the training images`],
    ["label ceiling", card.label_disagreement && `${percent(card.label_disagreement.best)}: two labels of one photograph differ in ${percent(card.label_disagreement.share)}`],
    ["unsure", unsureBelow(model.unsure_below)],
    ["left open", sets && `the classes that hold the true one in ${percent(sets.coverage)} of pictures like those of its validation`],
    ["unlike all it learned", card.outliers && `less similar to its training images than ${percent(card.outliers.kept)} of its validation images`],
    ["mien", card.mien],
    ["fingerprint", model.fingerprint.slice(0, 12)],
  ];
  for (const [name, value] of facts) {
    if (value) get("facts").append(element("dt", "", name), element("dd", "", value));
  }
  get("accepted").textContent += `, up to ${limits.body / 1e6} MB and ${limits.pixels / 1e6} megapixels`;
}

if (privacy) get("private").textContent = privacy;
get("programs").hidden = !programs;
