// What an exported file says of itself, and the proof that nobody has changed it since, as mien.runtime.seal has it.

const KEY = "mien";
const PROPERTIES = 14; // ModelProto.metadata_props, whose entries have a key (1) and a value (2)
const BYTES = 2; // protobuf's wire type of what has a length

export class Damaged extends Error {}

// The metadata of an .onnx file. Throws Damaged, with a sentence for a person, where it has none or does not fit them.
export async function unseal(content) {
  const { text, start } = entryOf(content) ?? refuse("is not one that mien exported: it does not say its labels");
  const { fingerprint, ...values } = parsed(text);
  const said = new TextEncoder().encode(sorted(text, "fingerprint"));
  const network = content.subarray(0, start);
  const whole = new Uint8Array(network.length + said.length);
  whole.set(network);
  whole.set(said, network.length);
  const found = [...new Uint8Array(await crypto.subtle.digest("SHA-256", whole))]
    .map(byte => byte.toString(16).padStart(2, "0")).join("");
  if (found !== fingerprint) refuse("was changed after it was exported: its fingerprint does not fit");
  return { ...values, fingerprint };
}

function refuse(what) {
  throw new Damaged(`The network, model.onnx, ${what}. Export it again.`);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return refuse("is damaged: its metadata cannot be read");
  }
}

// The metadata's text and where its entry begins; it is the last entry of the file.
function entryOf(content) {
  let last;
  try {
    for (const field of fields(content)) last = field;
    if (last?.number !== PROPERTIES) return undefined;
    const [key, value] = [...fields(last.content)].map(field => new TextDecoder().decode(field.content));
    return key === KEY ? { text: value, start: last.start } : undefined;
  } catch (error) {
    if (error instanceof RangeError) refuse("is damaged");
    throw error;
  }
}

// The fields of a protobuf message: number, where each begins, and the content of those that have a length.
function* fields(message) {
  let place = 0;
  const varint = () => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      if (place >= message.length) throw new RangeError("cut off");
      const byte = message[place++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (place < message.length) {
    const start = place;
    const tag = varint();
    const length = varint(); // or a number: ModelProto has no other kinds
    const end = place + ((tag & 7) === BYTES ? length : 0);
    if (end > message.length) throw new RangeError("cut off");
    yield { number: tag >>> 3, start, content: message.subarray(place, end) };
    place = end;
  }
}

// JSON as Python's json.dumps(values, sort_keys=True) writes it, without one key of the outermost object. Numbers and
// strings stay as they are written: 1.0 and 1e-05 would not come out of JSON.stringify as Python wrote them.
function sorted(text, without) {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g);
  let next = 0;
  const items = (end, item) => {
    const found = [];
    while (tokens[next] !== end) {
      found.push(item());
      if (tokens[next] === ",") next += 1;
    }
    next += 1;
    return found;
  };
  const pair = () => {
    const name = tokens[next];
    next += 2; // the name and its colon
    return { name: JSON.parse(name), written: `${name}: ${value()}` };
  };
  const object = left => `{${items("}", pair).filter(({ name }) => name !== left).sort(byCodePoints)
    .map(({ written }) => written).join(", ")}}`;
  const value = left => {
    const token = tokens[next++];
    if (token === "{") return object(left);
    return token === "[" ? `[${items("]", value).join(", ")}]` : token;
  };
  return value(without);
}

// Python sorts by code points, JavaScript by halves of them.
function byCodePoints(one, other) {
  const [a, b] = [[...one.name], [...other.name]];
  const place = a.findIndex((sign, index) => sign !== b[index]);
  return place < 0 ? a.length - b.length : place >= b.length ? 1 : a[place].codePointAt(0) - b[place].codePointAt(0);
}
