// The camera: one frame at a time to the network, the answer drawn over the running picture.

import { predict, Refused, still } from "./api.js";
import { headline, percent } from "./faces.js";

const WIDTH = 640; // of the frames that are read, pixels
const OVERLAP = 0.3; // intersection over union above which two boxes are the same face, as in mien predict
const MEMORY = 0.6; // of a face's earlier probabilities, as in mien predict

const REASONS = {
  NotAllowedError: "The browser did not allow the camera. Allow it beside the address, then try again.",
  NotFoundError: "No camera was found. Connect one, or choose a photo.",
  NotReadableError: "The camera is in use by another program. Close that one, then try again.",
};

// onFaces(faces) after every frame, onTrouble(text) when it has to end. Returns {stop} once the picture runs, or undefined
// where wanted() says that it was called off in the meantime: a person may think about the browser's question for long.
export async function film(video, overlay, model, { onFaces, onTrouble, wanted }) {
  const stream = await open();
  const release = () => {
    stream.getTracks().forEach(track => track.stop());
    video.srcObject = null;
  };
  try {
    video.srcObject = stream;
    if (wanted()) await video.play();
  } catch (error) {
    release();
    throw error;
  }
  if (!wanted()) {
    release();
    return undefined;
  }
  let running = true;
  let faces = [];
  const stop = () => {
    running = false;
    release();
    overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
  };
  stream.getVideoTracks()[0].addEventListener("ended", () => running && onTrouble("The camera was taken away."));
  (async () => {
    while (running) {
      if (document.hidden || !video.videoWidth) {
        await new Promise(resolve => setTimeout(resolve, 200));
        continue;
      }
      try {
        const answer = await predict(await frame(video));
        if (!running) return;
        faces = smoothed(faces, answer.faces, model);
        draw(overlay, faces, answer);
        onFaces(faces);
      } catch (error) {
        if (running) onTrouble(error instanceof Refused ? error.message : String(error));
        return;
      }
    }
  })();
  return { stop };
}

async function open() {
  if (!navigator.mediaDevices) {
    throw new Refused("Browsers give a page the camera only at 127.0.0.1, localhost or an https address.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
  } catch (error) {
    throw new Refused(REASONS[error.name] ?? `The camera cannot be used (${error.message}).`);
  }
}

function frame(video) {
  const scale = Math.min(1, WIDTH / video.videoWidth);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(scale * video.videoWidth);
  canvas.height = Math.round(scale * video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return still(canvas);
}

// Faces of this frame, from left to right as on the mirrored screen, each with the probabilities it had mixed in.
function smoothed(before, now, model) {
  const fresh = now.map(face => {
    const same = before.find(other => overlap(other.box, face.box) > OVERLAP);
    if (!same) return face;
    const probabilities = {};
    for (const [label, value] of Object.entries(face.probabilities)) {
      probabilities[label] = MEMORY * same.probabilities[label] + (1 - MEMORY) * value;
    }
    const [most_probable, confidence] = Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
    const label = confidence < model.unsure_below ? "unsure" : most_probable;
    const prediction_set = setOf(probabilities, most_probable, model.prediction_sets);
    return { box: face.box, probabilities, most_probable, confidence, label, prediction_set, outlier: face.outlier };
  });
  return fresh.sort((a, b) => b.box[0] - a.box[0]);
}

// The classes that smoothed probabilities leave open, the most probable first, as mien.runtime.sets makes them.
function setOf(probabilities, most_probable, sets) {
  if (!sets) return [];
  return Object.keys(probabilities)
    .filter(label => label === most_probable || probabilities[label] >= sets.least[label])
    .sort((a, b) => probabilities[b] - probabilities[a]);
}

function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const width = Math.max(0, Math.min(ax + aw, bx + bw) - Math.max(ax, bx));
  const height = Math.max(0, Math.min(ay + ah, by + bh) - Math.max(ay, by));
  return (width * height) / (aw * ah + bw * bh - width * height);
}

// Boxes and bars on a canvas as large as the picture on the screen, mirrored as it is; letters are not.
function draw(overlay, faces, { width, height }) {
  const ratio = window.devicePixelRatio || 1;
  const screen = { w: overlay.clientWidth, h: overlay.clientHeight };
  overlay.width = screen.w * ratio;
  overlay.height = screen.h * ratio;
  const pen = overlay.getContext("2d");
  pen.scale(ratio, ratio);
  const scale = Math.min(screen.w / width, screen.h / height); // the video may have bars beside it
  const left = (screen.w - scale * width) / 2;
  const top = (screen.h - scale * height) / 2;
  const boxes = faces.map(({ box: [x, y, w, h] }) => ({
    x: screen.w - left - scale * (x + w), y: top + scale * y, w: scale * w, h: scale * h,
  }));
  const panels = layout(faces, boxes, screen);
  faces.forEach((face, index) => drawBox(pen, boxes[index], face.label === "unsure"));
  faces.forEach((face, index) => drawPanel(pen, panels[index], `${index + 1}  ${headline(face)}`, face));
}

// A panel for each face: with all its probabilities, or as many of the highest as there is room for beside every face.
function layout(faces, boxes, screen) {
  for (const most of [Infinity, 3, 1]) {
    const taken = [...boxes];
    const panels = faces.map(({ probabilities }, index) => {
      const lines = Object.entries(probabilities);
      const shown = lines.length <= most ? lines : lines.sort((a, b) => b[1] - a[1]).slice(0, most);
      const panel = placed(boxes[index], shown, taken, screen);
      taken.push(panel ?? { ...beside(boxes[index], shown).below, shown });
      return panel ?? (most === 1 ? taken.at(-1) : undefined);
    });
    if (panels.every(Boolean)) return panels;
  }
}

// Where a panel with these lines would be on each side of a box.
function beside(box, shown) {
  const size = { w: shown.length > 1 ? 152 : 118, h: 30 + 17 * shown.length };
  return {
    right: { x: box.x + box.w + 8, y: box.y, ...size },
    left: { x: box.x - 8 - size.w, y: box.y, ...size },
    below: { x: box.x + box.w / 2 - size.w / 2, y: box.y + box.h + 8, ...size },
    above: { x: box.x + box.w / 2 - size.w / 2, y: box.y - 8 - size.h, ...size },
  };
}

// The first of these places that lies in the picture and on no other face; undefined when there is none.
function placed(box, shown, taken, screen) {
  const free = Object.values(beside(box, shown)).find(place =>
    place.x >= 4 && place.y >= 4 && place.x + place.w <= screen.w - 4 && place.y + place.h <= screen.h - 4
    && !taken.some(other => place.x < other.x + other.w && other.x < place.x + place.w
      && place.y < other.y + other.h && other.y < place.y + place.h));
  return free && { ...free, shown };
}

function drawBox(pen, { x, y, w, h }, unsure) {
  pen.setLineDash(unsure ? [9, 7] : []);
  for (const [colour, line] of [["rgb(0 0 0 / .55)", 5.5], ["#fff", 2.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.beginPath();
    pen.roundRect(x, y, w, h, 6);
    pen.stroke();
  }
  pen.setLineDash([]);
}

function drawPanel(pen, { x, y, w, h, shown }, title, face) {
  pen.fillStyle = "rgb(15 18 22 / .8)";
  pen.beginPath();
  pen.roundRect(x, y, w, h, 8);
  pen.fill();
  pen.fillStyle = "#fff";
  pen.font = "600 14px system-ui, sans-serif";
  pen.textAlign = "left";
  pen.fillText(title, x + 9, y + 19, w - 18);
  const bar = w - 9 - 54 - 44; // between the names and the numbers
  shown.forEach(([label, value], index) => {
    const line = y + 37 + 17 * index;
    pen.font = `${label === face.most_probable ? 600 : 400} 11.5px system-ui, sans-serif`;
    pen.fillStyle = "#fff";
    pen.textAlign = "left";
    pen.fillText(label, x + 9, line, 50);
    pen.textAlign = "right";
    pen.fillText(percent(value), x + w - 9, line);
    pen.fillStyle = "rgb(255 255 255 / .22)";
    pen.fillRect(x + 63, line - 8, bar, 7);
    pen.fillStyle = face.label === "unsure" ? "#b9c0ca" : "#62b6f5";
    pen.fillRect(x + 63, line - 8, bar * value, 7);
  });
}
