// What the page asks of the server.

export class Refused extends Error {}

const SILENT = "The server does not answer. Is mien serve still running?";
const isHere = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);

export const programs = true; // may ask too
export const privacy = isHere
  ? undefined
  : `Pictures go to ${location.host} and nowhere else: they are read there in memory, never written down, and forgotten `
    + "with the answer.";

const wait = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));

export async function aboutModel() {
  try {
    return await (await fetch("v1/model")).json();
  } catch {
    throw new Refused(SILENT);
  }
}

// A picture -> {faces, width, height}. Refused says, for a person, why there is no answer.
// detect: as the model is meant to be asked if not given.
export async function predict(picture, { detect } = {}) {
  const form = new FormData();
  form.append("file", picture, "picture");
  if (detect !== undefined) form.append("detect", String(detect));
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch("v1/predict", { method: "POST", body: form });
    } catch {
      throw new Refused(SILENT);
    }
    if (response.status === 503 && attempt < 5) {
      await wait(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    const answer = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
    if (!response.ok) throw new Refused(answer.error);
    return answer.images[0];
  }
}

// A frame of the camera as `predict` takes it.
export const still = canvas => new Promise(resolve => canvas.toBlob(resolve, "image/jpeg", 0.85));
