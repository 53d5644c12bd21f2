// A picture -> what the network sees of it, to the last level as mien.preprocessing and, behind it, Pillow do it.

const BITS = 22; // of the weights' fractions in Pillow's resizing of 8-bit pictures
const f32 = Math.fround;

// A picture is {width, height, data}: RGBA without transparency, as a canvas gives it.

// The part (x, y, width, height) of a picture.
export function cut(picture, [x, y, width, height]) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let row = 0; row < height; row += 1) {
    const start = 4 * ((y + row) * picture.width + x);
    data.set(picture.data.subarray(start, start + 4 * width), 4 * row * width);
  }
  return { width, height, data };
}

// uint8 (channels, size, size) of a picture; asked: the preprocessing that the network's file states.
export function pixels(picture, asked) {
  const found = planes(picture, asked.channels).map(plane => fitted(plane, asked));
  const side = asked.size * asked.size;
  const made = new Uint8Array(found.length * side);
  found.forEach((plane, channel) => made.set(plane.data, channel * side));
  return made;
}

// For each channel a table: level 0..255 -> the network's input, computed in float32 as NumPy does.
export function scales({ channels, mean, std }) {
  const of = (value, channel) => f32(Array.isArray(value) ? value[channel] : value);
  return Array.from({ length: channels }, (_, channel) =>
    Float32Array.from({ length: 256 }, (_, level) =>
      f32(f32(f32(level / 255) - of(mean, channel)) / of(std, channel))));
}

// Round to the nearest whole number, halves to an even one, as Python does.
export function rounded(value) {
  const down = Math.floor(value);
  const part = value - down;
  return part > 0.5 || (part === 0.5 && down % 2 !== 0) ? down + 1 : down;
}

// Grey by ITU-R 601 (one plane), or red, green and blue.
function planes({ width, height, data }, channels) {
  const made = Array.from({ length: channels }, () => ({ width, height, data: new Uint8Array(width * height) }));
  for (let place = 0, from = 0; from < data.length; place += 1, from += 4) {
    if (channels === 1) {
      made[0].data[place] = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 0x8000) >> 16;
    } else {
      for (let channel = 0; channel < 3; channel += 1) made[channel].data[place] = data[from + channel];
    }
  }
  return made;
}

function fitted(plane, { size, fit, interpolation, resize_size: first, rounding }) {
  if (first) return resizedAndCut(plane, size, first, fit, rounding, interpolation);
  if (plane.width === size && plane.height === size) return plane;
  if (fit === "stretch") return resized(plane, size, size, interpolation);
  return fit === "crop" ? cropped(plane, size, interpolation) : padded(plane, size, interpolation);
}

// The longer side is cut on both ends (Pillow's ImageOps.fit).
function cropped(plane, size, filter) {
  const { width, height } = plane;
  const side = Math.min(width, height);
  const left = (width - side) * 0.5;
  const top = (height - side) * 0.5;
  return resized(plane, size, size, filter, [left, top, left + side, top + side]);
}

// Black bars beside the shorter side (Pillow's ImageOps.pad).
function padded(plane, size, filter) {
  let [width, height] = [size, size];
  if (plane.width > plane.height) height = rounded((plane.height / plane.width) * size);
  else width = rounded((plane.width / plane.height) * size);
  const made = { width: size, height: size, data: new Uint8Array(size * size) };
  if (!width || !height) return made;
  const inner = resized(plane, width, height, filter);
  const left = rounded((size - width) * 0.5);
  const top = rounded((size - height) * 0.5);
  for (let row = 0; row < height; row += 1) {
    made.data.set(inner.data.subarray(row * width, (row + 1) * width), (top + row) * size + left);
  }
  return made;
}

// As torchvision and timm (rounding 'even'), or transformers ('down'): the shorter side becomes `first`.
function resizedAndCut(plane, size, first, fit, rounding, filter) {
  const shorter = Math.min(plane.width, plane.height);
  const wanted = side => (fit === "stretch" ? first : Math.trunc((first * side) / shorter));
  const large = resized(plane, wanted(plane.width), wanted(plane.height), filter);
  const start = side => (rounding === "down" ? Math.floor((side - size) / 2) : rounded((side - size) / 2));
  const [left, top] = [start(large.width), start(large.height)];
  const data = new Uint8Array(size * size);
  for (let row = 0; row < size; row += 1) {
    const from = (top + row) * large.width + left;
    data.set(large.data.subarray(from, from + size), row * size);
  }
  return { width: size, height: size, data };
}

// Resizing as Pillow does it: along the rows and along the columns, each to 8 bits -------------------------------------

const sinc = x => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const FILTERS = { // how far each reaches, and its weight at a distance
  box: [0.5, x => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, x => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, x => (x === 0 ? 1 : Math.abs(x) >= 1 ? 0 : sinc(x) * (f32(0.54) + f32(0.46) * Math.cos(x * Math.PI)))],
  bicubic: [2, x => cubic(Math.abs(x))],
  lanczos: [3, x => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function cubic(x) {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

// box: the part that is resized, in pixels and fractions of them; all of it if not given.
function resized(plane, width, height, filter, box = [0, 0, plane.width, plane.height]) {
  const [left, top, right, bottom] = box.map(f32); // Pillow keeps them as float32
  if (filter === "nearest") return nearest(plane, width, height, [left, top, right, bottom]);
  const rows = made => (width === plane.width && !left && right === width ? made
    : along(made, weights(plane.width, left, right, width, filter), width, made.height, 1, made.width));
  const columns = made => (height === plane.height && !top && bottom === height ? made
    : along(made, weights(plane.height, top, bottom, height, filter), made.width, height, made.width, 1));
  // Tall pictures along the columns first, since Pillow 13; earlier versions differ by a level there.
  const tall = plane.height > height && plane.height - height > 2 * (plane.width - width);
  return tall ? rows(columns(plane)) : columns(rows(plane));
}

// For each new position: which old ones it is made of, from `first` on, and by what weights.
function weights(size, from, to, wanted, filter) {
  const [reach, weight] = FILTERS[filter];
  const scale = f32(to - from) / wanted;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: wanted }, (_, index) => {
    const centre = from + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * stretch + 0.5));
    const last = Math.min(size, Math.trunc(centre + reach * stretch + 0.5));
    const found = Array.from({ length: last - first }, (_, x) => weight((x + first - centre + 0.5) * (1 / stretch)));
    const sum = found.reduce((a, b) => a + b, 0);
    const shares = sum ? found.map(value => value / sum) : found;
    return { first, shares: Int32Array.from(shares, value => Math.trunc(value * 2 ** BITS + (value < 0 ? -0.5 : 0.5))) };
  });
}

// One pass. step: from one old position to the next along the pass; line: from one line of the pass to the next.
function along(plane, found, width, height, step, line) {
  const data = new Uint8ClampedArray(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const { first, shares } = found[step === 1 ? x : y];
      let place = (step === 1 ? y : x) * line + first * step;
      let sum = 1 << (BITS - 1);
      for (let k = 0; k < shares.length; k += 1, place += step) sum += plane.data[place] * shares[k];
      data[y * width + x] = sum >> BITS;
    }
  }
  return { width, height, data };
}

function nearest(plane, width, height, [left, top, right, bottom]) {
  const columns = positions(left, (right - left) / width, width);
  const rows = positions(top, (bottom - top) / height, height);
  const data = new Uint8Array(width * height);
  rows.forEach((from, y) => columns.forEach((x, to) => (data[y * width + to] = plane.data[from * plane.width + x])));
  return { width, height, data };
}

function positions(start, scale, count) {
  let place = start + scale * 0.5;
  return Array.from({ length: count }, () => {
    const found = Math.trunc(place);
    place += scale;
    return found;
  });
}
