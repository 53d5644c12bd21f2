// Faces as a person sees, or hears, them: cards with bars, boxes on a photo, a sentence.

export const percent = share => `${Math.round(100 * share)}%`;

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

let noun = "face"; // what a picture is searched for
export const speakOf = word => (noun = word);
export const named = number => `${noun[0].toUpperCase()}${noun.slice(1)} ${number}`;

let coverage = 0; // of the prediction sets
export const promise = share => (coverage = share);

// "sad, fear or neutral": the classes that an answer leaves open, where they are several.
const leftOpen = ({ prediction_set: open }) =>
  open.length > 1 ? `${open.slice(0, -1).join(", ")} or ${open.at(-1)}` : "";

const isUnsure = face => face.label === "unsure";

export function headline(face) {
  return isUnsure(face) ? "unsure" : face.most_probable;
}

// A card for one face; card.show(face) brings it up to date.
export function faceCard(number, labels) {
  const card = element("article", "face");
  const title = element("h3");
  const said = element("span", "said");
  const share = element("span", "share");
  const mark = element("span", "number", number);
  mark.prepend(element("span", "unseen", named("")));
  title.append(mark, said, share);
  const why = element("p", "why");
  const table = element("table");
  table.append(element("caption", "unseen", `Probabilities of ${noun} ${number}`));
  const rows = new Map(labels.map(label => [label, table.appendChild(row(label))]));
  card.append(title, why, table);
  card.show = face => {
    card.classList.toggle("unsure", isUnsure(face));
    said.textContent = headline(face);
    share.textContent = isUnsure(face) ? "" : percent(face.confidence);
    const open = leftOpen(face);
    why.hidden = !isUnsure(face) && !open && !face.outlier;
    why.textContent = [
      isUnsure(face) && `Most like ${face.most_probable} (${percent(face.confidence)}), too little to say so.`,
      face.outlier && `This ${noun} is unlike all that the model has learned from.`,
      open && `Left open (${percent(coverage)}): ${open}.`,
    ].filter(Boolean).join(" ");
    for (const [label, value] of Object.entries(face.probabilities)) {
      const shown = rows.get(label);
      shown.classList.toggle("best", label === face.most_probable);
      shown.querySelector("i").style.width = `${100 * value}%`;
      shown.lastElementChild.textContent = percent(value);
    }
  };
  return card;
}

function row(label) {
  const made = element("tr");
  const name = element("th", "", label);
  name.scope = "row";
  const track = element("td");
  const bar = element("span", "bar");
  bar.append(element("i"));
  track.append(bar);
  made.append(name, track, element("td"));
  return made;
}

// Boxes over a photo, in shares of its size, so that they follow it to any width.
export function drawBoxes(photo, answer) {
  return answer.faces.map((face, index) => {
    const [x, y, width, height] = face.box;
    const box = element("div", "box");
    box.classList.toggle("unsure", isUnsure(face));
    box.classList.toggle("top", y < 0.15 * answer.height);
    box.classList.toggle("end", x > 0.7 * answer.width);
    box.style.left = `${(100 * x) / answer.width}%`;
    box.style.top = `${(100 * y) / answer.height}%`;
    box.style.width = `${(100 * width) / answer.width}%`;
    box.style.height = `${(100 * height) / answer.height}%`;
    box.setAttribute("aria-hidden", "true");
    box.append(element("span", "", `${index + 1} ${headline(face)}`));
    photo.append(box);
    return box;
  });
}

// For screen readers, and as the title of a result.
export function counted(faces) {
  return faces.length === 0 ? `No ${noun} found` : faces.length === 1 ? `1 ${noun}` : `${faces.length} ${noun}s`;
}

export function sentence(faces) {
  const each = faces.map((face, index) =>
    isUnsure(face)
      ? `${named(index + 1)}: unsure, ${leftOpen(face) || `most like ${face.most_probable}`}.`
      : `${named(index + 1)}: ${face.most_probable}, ${percent(face.confidence)}.`,
  );
  return [`${counted(faces)}.`, ...each].join(" ");
}
