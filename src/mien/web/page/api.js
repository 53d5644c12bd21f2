// What the page asks of the network, which runs in a worker of this browser.

export class Refused extends Error {}

export const programs = false; // there is no address that others could ask
export const privacy = "Pictures stay in this browser: the network runs in this page, nothing is sent or kept.";

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map(); // number of a picture -> what is done with its answer
let number = 0;

const about = new Promise((resolve, reject) => {
  worker.addEventListener("message", ({ data }) => {
    if (data.about) resolve(data.about);
    else if (data.id === undefined) reject(new Refused(data.refused));
    else settle(data);
  });
  worker.addEventListener("error", () => {
    const refused = "This browser cannot run the page. Try a newer one.";
    reject(new Refused(refused));
    for (const id of waiting.keys()) settle({ id, refused });
  });
});

function settle({ id, answer, refused }) {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (answer) resolve(answer);
  else reject(new Refused(refused));
}

export const aboutModel = () => about;

// A picture -> {faces, width, height}. Refused says, for a person, why there is no answer.
// detect: as the model is meant to be asked if not given.
export async function predict(picture, { detect } = {}) {
  await about;
  const id = (number += 1);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, picture, looked: detect }, picture instanceof ImageBitmap ? [picture] : []);
  });
}

// A frame of the camera as `predict` takes it.
export const still = canvas => createImageBitmap(canvas);

about.then(() => navigator.serviceWorker?.register(new URL("offline.js", import.meta.url))).catch(() => {});
