// The thread that enhances: one network is open at a time, pictures are done one after the other.

import { blend, exposure, gate } from "./exposure.js";
import { Network } from "./network.js";

const COLORS = { colorSpace: "srgb" };
let opened; // the Network in use
let listed, runtime; // promises: the networks by name; ONNX Runtime Web and what it runs on
let last = {}; // the last picture and what networks made of it: another strength needs no second run
let queue = Promise.resolve();
const unwanted = new Set(); // numbers of requests

self.onmessage = ({ data }) => {
  if (data.abort) return unwanted.add(data.abort);
  queue = queue.then(async () => {
    const progress = async (done, total) => {
      self.postMessage({ id: data.id, progress: [done, total] });
      await new Promise((resolve) => setTimeout(resolve)); // messages come in
      if (unwanted.has(data.id)) throw new Error("aborted");
    };
    try {
      const result = data.blob ? await enhanceBlob(data, progress) : data.frame ? await enhanceFrame(data) : await prepare(data.network);
      self.postMessage({ id: data.id, result }, result instanceof ImageBitmap ? [result] : []);
    } catch (error) {
      self.postMessage({ id: data.id, error: error?.message ?? String(error) });
    } finally {
      unwanted.delete(data.id);
    }
  });
};

async function enhanceBlob({ key, blob, network, strength, gate: gated }, progress) {
  if (last.key !== key) last = { key, image: await decode(blob), made: new Map() };
  const { image, made } = last;
  const share = gated ? strength * gate(exposure(image)) : strength;
  if (share === 0) return encode(image, blob.type);
  const model = await open(network);
  if (!made.has(network)) {
    made.clear(); // one at a time: they are as large as the picture
    made.set(network, await model.enhance(image, progress));
  }
  return encode(blend(image, made.get(network), share, model.about.geometric), blob.type);
}

// A frame of a film comes as an ImageBitmap, and goes back as one.
async function enhanceFrame({ frame, network, strength, gate: gated }) {
  const image = pixels(frame);
  const share = gated ? strength * gate(exposure(image)) : strength;
  if (share === 0) return createImageBitmap(image);
  const model = await open(network);
  return createImageBitmap(blend(image, await model.enhance(image), share, model.about.geometric));
}

async function prepare(network) {
  await open(network);
  return (await runtime).where;
}

async function decode(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob); // upright, and in sRGB
  } catch {
    throw new Error(`${blob.name ?? "this"} is no picture that this browser reads`);
  }
  return pixels(bitmap);
}

function pixels(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, ...COLORS });
  if (!context) throw new Error(`the picture is ${height}x${width} (HxW), too large for this browser`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height, COLORS);
}

// A photograph stays one; all else becomes PNG, which loses nothing.
async function encode(image, type) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d", COLORS).putImageData(image, 0, 0);
  return canvas.convertToBlob(type === "image/jpeg" ? { type, quality: 0.95 } : { type: "image/png" });
}

async function open(name) {
  if (opened?.about.name === name) return opened;
  const before = opened;
  opened = undefined;
  try {
    await before?.release();
    return opened = await openNow(name);
  } catch (error) { // the next picture tries again
    listed = runtime = undefined;
    throw error;
  }
}

async function openNow(name) {
  const { networks } = await (listed ??= fetchNetworks());
  const about = networks.find((each) => each.name === name);
  if (!about) throw new Error(`there is no network ${name} here`);
  const { ort, where } = await (runtime ??= load());
  if (where === "wasm") return Network.open(about, ort, "wasm");
  const tried = [];
  try {
    for (const one of ["webgpu", "wasm"]) tried.push(await Network.open(about, ort, one));
    if (await agrees(...tried)) return tried.shift();
    console.warn(`WebGPU is not used: it makes another picture of ${name} than WebAssembly`);
  } catch (error) {
    console.warn("WebGPU is not used:", error);
  } finally {
    for (const network of tried) await network.release();
  }
  runtime = loadRuntime("wasm");
  return openNow(name);
}

// Whether two networks make the same of a ramp of greys: not every driver of a GPU computes right.
async function agrees(network, other) {
  const ramp = new ImageData(Uint8ClampedArray.from({ length: 64 * 64 * 4 }, (_, at) => (at % 4 === 3 ? 255 : (at >> 2) % 64)), 64, 64);
  const [one, two] = [await network.enhance(ramp), await other.enhance(ramp)];
  return one.data.every((code, at) => Math.abs(code - two.data[at]) <= 2);
}

async function fetchNetworks() {
  const answer = await fetch(new URL("networks.json", import.meta.url));
  if (!answer.ok) throw new Error(`networks.json: ${answer.status}`);
  return answer.json();
}

// WebGPU where there is one, else WebAssembly.
async function load() {
  if (await navigator.gpu?.requestAdapter().catch(() => null)) {
    try {
      return await loadRuntime("webgpu");
    } catch (error) {
      console.warn("WebGPU is not used:", error);
    }
  }
  return loadRuntime("wasm");
}

async function loadRuntime(where) {
  const place = (name) => new URL(`onnxruntime/${where}.${name}`, import.meta.url).href;
  const ort = await import(place("js"));
  ort.env.wasm.wasmPaths = { mjs: place("threads.js"), wasm: place("wasm") };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(8, Math.max(1, navigator.hardwareConcurrency - 1)) : 1;
  ort.env.logLevel = "error";
  return { ort, where };
}
