// Enhances pictures inside the browser: what page.js asks for, in a worker.

export const about = "Dark photographs in, bright and clean ones out. They stay on this computer: the network runs in the browser.";

const waiting = new Map(); // number of a request -> how its promise ends, and who is told of progress
const keys = new WeakMap(); // a blob -> the number that stands for it
let started, count = 0;

// [{ name, title }], the default first.
export async function networks() {
  const answer = await fetch(new URL("networks.json", import.meta.url));
  return (await answer.json()).networks.map(({ name, title }) => ({ name, title }));
}

// A picture as a blob, to a blob, whose `note` says what of the file it does not hold.
export async function enhance(blob, { network, strength = 1, gate = false, signal, progress }) {
  if (!keys.has(blob)) keys.set(blob, ++count);
  const result = await ask({ key: keys.get(blob), blob, network, strength, gate }, { signal, progress });
  return Object.assign(result, { note: await lost(blob) });
}

// Browsers give pixels of 8 bits in sRGB, and nothing else of a file.
async function lost(blob) {
  const head = new Uint8Array(await blob.slice(0, 65536).arrayBuffer());
  const text = new TextDecoder("latin1").decode(head);
  const notes = [];
  if (/^.PNG/.test(text) && head[24] === 16) notes.push("with 8 of its 16 bits");
  if (/ICC_PROFILE|iCCP|ICCP/.test(text)) notes.push("its colour profile's colours as sRGB");
  if (/Exif\0\0|eXIf|EXIF/.test(text)) notes.push("without its EXIF data");
  return notes.join("; ");
}

// A frame as an ImageBitmap, which is used up, to another.
export function enhanceFrame(frame, { network, strength = 1, gate = false }) {
  return ask({ frame, network, strength, gate }, { moved: [frame] });
}

// Load a network before it is needed: "webgpu" or "wasm", which is what it will run on.
export function prepare(network) {
  return ask({ network });
}

async function ask(request, { signal, progress, moved = [] } = {}) {
  const worker = await (started ??= start());
  signal?.throwIfAborted();
  const id = ++count;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, progress });
    worker.postMessage({ id, ...request }, moved);
    signal?.addEventListener("abort", () => {
      if (!waiting.has(id)) return; // it is done
      worker.postMessage({ abort: id });
      reject(signal.reason);
    });
  });
}

async function start() {
  await keepOffline();
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { id, progress, result, error } }) => {
    const request = waiting.get(id);
    if (progress) return request.progress?.(...progress);
    waiting.delete(id);
    if (error) request.reject(new Error(error));
    else request.resolve(result);
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "the page's files could not be loaded"));
    waiting.clear();
    started = undefined;
  };
  return worker;
}

// What is loaded from now on stays: the page then works without a network. Nothing depends on it.
async function keepOffline() {
  const workers = navigator.serviceWorker;
  if (!workers) return; // plain http, or a private window
  try {
    const controlled = new Promise((resolve) => workers.addEventListener("controllerchange", resolve, { once: true }));
    await workers.register(new URL("service-worker.js", import.meta.url));
    if (!workers.controller) await Promise.race([controlled, new Promise((resolve) => setTimeout(resolve, 3000))]);
  } catch (error) {
    console.warn("the page won't work offline:", error);
  }
}
