// Finding faces with YuNet, as OpenCV's FaceDetectorYN and mien.runtime.faces do it.

import { rounded } from "./preprocessing.js";

const LONGEST = 960; // a larger picture is searched at this length
const CONFIDENCE = 0.7; // the least that a face needs
const OVERLAP = 0.3; // intersection over union above which the less sure of two boxes goes
const MOST = 5000; // boxes that are looked at
const STRIDES = [8, 16, 32];
const DIVISOR = 32; // a picture's sides become multiples of it, with black on the right and below

// A picture {width, height, data} -> boxes [x, y, width, height] inside it, largest first. ort: onnxruntime-web.
export async function detect(ort, session, picture) {
  const shrink = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const small = shrink === 1 ? picture : shrunk(picture, shrink);
  const width = DIVISOR * Math.ceil(small.width / DIVISOR);
  const height = DIVISOR * Math.ceil(small.height / DIVISOR);
  const input = new ort.Tensor("float32", blueGreenRed(small, width, height), [1, 3, height, width]);
  const found = suppressed(candidates(await session.run({ input }), width, height));
  const boxes = found.map(({ box }) => box).filter(box => box.every(Number.isFinite));
  return merged(boxes.map(box => inside(box.map(value => rounded(value / shrink)), picture)));
}

// The box made square around its middle and larger by `margin` of its side on each side, within the picture.
export function withMargin([x, y, width, height], margin, picture) {
  const side = rounded(Math.max(width, height) * (1 + 2 * margin));
  return inside([rounded(x + width / 2 - side / 2), rounded(y + height / 2 - side / 2), side, side], picture);
}

function candidates(outputs, width, height) {
  const found = [];
  for (const stride of STRIDES) {
    const [classes, objects, boxes] = ["cls", "obj", "bbox"].map(name => outputs[`${name}_${stride}`].data);
    const columns = width / stride;
    for (let index = 0; index < columns * (height / stride); index += 1) {
      const score = Math.fround(Math.sqrt(Math.fround(share(classes[index]) * share(objects[index]))));
      if (score < CONFIDENCE) continue;
      const [x, y, w, h] = boxes.subarray(4 * index, 4 * index + 4);
      const size = [Math.exp(w) * stride, Math.exp(h) * stride];
      const middle = [((index % columns) + x) * stride, (Math.floor(index / columns) + y) * stride];
      found.push({ score, box: [middle[0] - size[0] / 2, middle[1] - size[1] / 2, ...size].map(Math.fround) });
    }
  }
  return found;
}

const share = value => Math.min(1, Math.max(0, value));

// Of boxes that overlap, the surest (OpenCV's NMSBoxes, which compares them in whole pixels).
function suppressed(found) {
  if (found.length < 2) return found;
  const kept = [];
  for (const one of found.sort((a, b) => b.score - a.score).slice(0, MOST)) {
    const whole = one.box.map(Math.trunc);
    if (kept.every(other => overlap(whole, other.whole) <= OVERLAP)) kept.push({ ...one, whole });
  }
  return kept;
}

function overlap(one, other) {
  const common = shared(one, other);
  return common / (one[2] * one[3] + other[2] * other[3] - common);
}

function shared([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  return Math.max(0, width) * Math.max(0, height);
}

// Largest first; of two that share much of the smaller one, the larger stays.
function merged(boxes) {
  const kept = [];
  for (const box of boxes.sort((a, b) => b[2] * b[3] - a[2] * a[3])) {
    if (kept.every(other => shared(box, other) <= 0.35 * box[2] * box[3])) kept.push(box);
  }
  return kept.filter(box => box[2] > 0 && box[3] > 0);
}

function inside([x, y, width, height], picture) {
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  const right = Math.min(picture.width, x + width);
  const bottom = Math.min(picture.height, y + height);
  return [left, top, Math.max(0, right - left), Math.max(0, bottom - top)];
}

// float32 (3, height, width), levels 0..255
function blueGreenRed(picture, width, height) {
  const made = new Float32Array(3 * width * height);
  for (let y = 0; y < picture.height; y += 1) {
    for (let x = 0; x < picture.width; x += 1) {
      const from = 4 * (y * picture.width + x);
      for (let channel = 0; channel < 3; channel += 1) {
        made[(channel * height + y) * width + x] = picture.data[from + 2 - channel];
      }
    }
  }
  return made;
}

// A picture made smaller by averaging the areas that fall together (OpenCV's INTER_AREA).
function shrunk(picture, shrink) {
  const width = Math.max(1, rounded(picture.width * shrink));
  const height = Math.max(1, rounded(picture.height * shrink));
  const columns = areas(picture.width, width);
  const data = new Uint8ClampedArray(4 * width * height);
  areas(picture.height, height).forEach((rows, y) => {
    const line = new Float32Array(3 * picture.width); // of the rows that fall together, their mean
    rows.forEach(([row, weight]) => {
      for (let x = 0, from = 4 * row * picture.width; x < picture.width; x += 1, from += 4) {
        for (let channel = 0; channel < 3; channel += 1) line[3 * x + channel] += weight * picture.data[from + channel];
      }
    });
    columns.forEach((parts, x) => {
      for (let channel = 0; channel < 3; channel += 1) {
        let sum = 0;
        for (const [column, weight] of parts) sum += weight * line[3 * column + channel];
        data[4 * (y * width + x) + channel] = sum; // clamped and rounded by the array
      }
    });
  });
  return { width, height, data };
}

// For each new position: the old ones that it covers, and their weights.
function areas(size, wanted) {
  const scale = 1 / (wanted / size);
  return Array.from({ length: wanted }, (_, index) => {
    const from = index * scale;
    const cell = Math.min(scale, size - from);
    const last = Math.min(Math.floor(from + scale), size - 1);
    const first = Math.min(Math.ceil(from), last);
    const found = first - from > 1e-3 ? [[first - 1, (first - from) / cell]] : [];
    for (let place = first; place < last; place += 1) found.push([place, 1 / cell]);
    if (from + scale - last > 1e-3) found.push([last, Math.min(from + scale - last, 1, cell) / cell]);
    return found;
  });
}
