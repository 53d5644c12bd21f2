// What the page asks of the server.

export class Refused extends Error {}

const wait = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));

export async function aboutModel() {
  return (await fetch("v1/model")).json();
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
      throw new Refused("The server does not answer. Is mien serve still running?");
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
