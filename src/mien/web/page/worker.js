// The network in the browser, beside the page so that it stays lively: pictures in, faces out.

import * as ort from "./onnxruntime/ort.wasm.min.js";
import { detect, withMargin } from "./detector.js";
import { Damaged, unseal } from "./onnx_file.js";
import { cut, pixels, scales } from "./preprocessing.js";

const BATCH = 64; // faces in one call of the network
const FORMATS = "JPEG, PNG, WebP, GIF or BMP";

class Refused extends Error {} // with a sentence for a person

function sentence(error) {
  if (error instanceof Refused || error instanceof Damaged) return error.message;
  return `Something went wrong in this page (${error.message ?? error}). Load it again; other pictures may work.`;
}

// Start -------------------------------------------------------------------------------------------

async function start() {
  if (!self.crypto.subtle) {
    throw new Refused("Browsers let a page check its files only at https or localhost. Open it there.");
  }
  const settings = bytes("settings.json").then(found => JSON.parse(new TextDecoder().decode(found)));
  const finder = settings.then(({ detect: looks }) => (looks ? bytes("yunet/yunet.onnx") : undefined));
  const [content] = await Promise.all([bytes("model.onnx"), finder, runtime()]);
  const values = await unseal(content);
  return new Reader(await settings, values, await session(content), await finder);
}

async function bytes(name) {
  let response;
  try {
    response = await fetch(new URL(name, import.meta.url));
  } catch {
    throw new Refused(`${name} does not come. Is the network there? Load the page again.`);
  }
  if (!response.ok) throw new Refused(`${name} is not where this page lies (${response.status}). Copy the folder whole.`);
  return new Uint8Array(await response.arrayBuffer());
}

// onnxruntime-web takes its WebAssembly unpacked; a few hosts have unpacked it already.
async function runtime() {
  const packed = await bytes("onnxruntime/ort-wasm-simd-threaded.wasm.gz");
  const isPacked = packed[0] === 0x1f && packed[1] === 0x8b;
  const plain = isPacked ? new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")) : packed;
  ort.env.wasm.wasmBinary = await new Response(plain).arrayBuffer();
  ort.env.wasm.wasmPaths = { mjs: new URL("onnxruntime/ort-wasm-simd-threaded.js", import.meta.url).href };
}

// 'basic': further optimisations of the graph cost more at the start than they save in a visit.
async function session(content) {
  const how = { executionProviders: ["wasm"], graphOptimizationLevel: "basic", logSeverityLevel: 3 };
  try {
    return await ort.InferenceSession.create(content, how);
  } catch (error) {
    throw new Refused(`This browser cannot run the network (${error.message ?? error}).`);
  }
}

// Reading -----------------------------------------------------------------------------------------

class Reader {
  constructor({ detect: looks, margin, limits }, values, network, finder) {
    Object.assign(this, { margin, limits, network, asked: values.preprocessing });
    this.finder = finder && session(finder); // is made while a person looks for a photo
    this.finder?.catch(() => {}); // whoever reads is told
    const { labels, calibration, sets, outliers, card, mien, fingerprint } = values;
    const lower = labels.map(label => label.toLowerCase());
    this.labels = looks && new Set(lower).size === lower.length ? lower : labels;
    this.tables = scales(this.asked);
    this.temperature = calibration.temperature;
    this.threshold = calibration.threshold;
    this.sets = sets && {
      coverage: sets.coverage,
      least: Object.fromEntries(this.labels.map((label, index) => [label, sets.least[index]])),
    };
    this.outlierBelow = outliers?.threshold;
    this.about = {
      fingerprint,
      labels: this.labels,
      detect: looks,
      unsure_below: this.threshold,
      prediction_sets: this.sets ?? null,
      card: { ...card, ...calibration, mien, sets, outliers },
      limits,
    };
  }

  // looked: whether faces are looked for first; as the network is meant to be asked if not given.
  async read(file, looked) {
    const picture = await decoded(file, this.limits);
    const finds = this.finder && looked !== false;
    const boxes = finds ? await detect(ort, await this.finder, picture) : [[0, 0, picture.width, picture.height]];
    const seen = boxes.map(box => pixels(finds ? cut(picture, withMargin(box, this.margin, picture)) : picture, this.asked));
    const faces = [];
    for (let first = 0; first < seen.length; first += BATCH) {
      const answers = await this.answers(seen.slice(first, first + BATCH));
      faces.push(...answers.map((answer, index) => this.face(boxes[first + index], answer)));
    }
    return { faces, width: picture.width, height: picture.height };
  }

  async answers(seen) {
    const { size, channels } = this.asked;
    const side = size * size;
    const input = new Float32Array(seen.length * channels * side);
    seen.forEach((levels, number) => levels.forEach((level, place) => {
      input[number * levels.length + place] = this.tables[Math.floor(place / side)][level];
    }));
    const found = await this.network.run({ images: new ort.Tensor("float32", input, [seen.length, channels, size, size]) });
    const K = this.labels.length;
    return seen.map((_, number) => ({
      probabilities: softmax(found.logits.data.subarray(number * K, (number + 1) * K), this.temperature),
      outlier: found.similarity && this.outlierBelow !== undefined ? found.similarity.data[number] < this.outlierBelow : null,
    }));
  }

  face(box, { probabilities: row, outlier }) {
    const order = [...row.keys()].sort((a, b) => row[b] - row[a]);
    const name = index => this.labels[index];
    const confidence = row[order[0]];
    const open = order.filter((index, rank) => this.sets && (rank === 0 || row[index] >= this.sets.least[name(index)]));
    return {
      box,
      label: confidence >= this.threshold ? name(order[0]) : "unsure",
      most_probable: name(order[0]),
      confidence,
      probabilities: Object.fromEntries(this.labels.map((label, index) => [label, row[index]])),
      prediction_set: open.map(name),
      outlier,
    };
  }
}

function softmax(logits, temperature) {
  const most = Math.max(...logits);
  const found = Array.from(logits, logit => Math.exp((logit - most) / temperature));
  const sum = found.reduce((a, b) => a + b, 0);
  return found.map(value => value / sum);
}

// A file, or a picture of the camera -> upright RGBA; what is transparent becomes white.
// body: bytes of the largest file, pixels: of the largest picture.
async function decoded(picture, { body, pixels: most }) {
  if (picture.size > body) throw new Refused(`This file is larger than ${body / 1e6} MB. Make the picture smaller.`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Refused(`This is no picture that this browser can read. Give ${FORMATS}.`);
  }
  const { width, height } = bitmap;
  if (width * height > most) {
    throw new Refused(`This picture has ${width} x ${height} pixels, more than ${most / 1e6} megapixels. Make it smaller.`);
  }
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: pen.getImageData(0, 0, width, height).data };
}

// What the page asks ------------------------------------------------------------------------------

const ready = start();
ready.then(reader => postMessage({ about: reader.about }), error => postMessage({ refused: sentence(error) }));

let line = Promise.resolve(); // onnxruntime takes one picture at a time
self.onmessage = ({ data: { id, picture, looked } }) => {
  line = line.then(async () => {
    try {
      postMessage({ id, answer: await (await ready).read(picture, looked) });
    } catch (error) {
      postMessage({ id, refused: sentence(error) });
    }
  });
};
