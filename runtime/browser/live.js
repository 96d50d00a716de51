// Live: a camera or a film in the page, before and after, as large and as often as this computer manages.

import { enhanceFrame } from "./enhance.js";
import "./page.js"; // it fills in the networks first
import { slide } from "./slider.js";

const MARKUP = `
<h2>Live</h2>
<p>
  <button id="camera" type="button">Camera</button>
  <input id="film" type="file" accept="video/*" aria-label="A film to show live">
  <button id="stop" type="button" hidden>Stop</button>
  <span id="live-state" role="status"></span>
</p>
<label id="live" class="pair" hidden>
  <canvas class="after"></canvas>
  <canvas class="before"></canvas>
  <input type="range" min="0" max="100" value="50" aria-label="How much is shown as it was before, in percent">
</label>`;

// The longer sides that are tried, and the milliseconds of a frame beyond which the next smaller or larger one is taken.
const SIDES = [160, 240, 320, 480, 640, 960, 1280], SLOW = 200, FAST = 40;

const part = (id) => document.getElementById(id);
const section = document.createElement("section");
section.innerHTML = MARKUP;
document.querySelector("main").append(section);
slide(part("live"));

let stop = () => {}; // what is shown now

part("camera").addEventListener("click", () => show(fromCamera));
part("film").addEventListener("change", ({ target: { files: [file] } }) => file && show((video) => fromFile(video, file)));
part("stop").addEventListener("click", () => {
  stop();
  part("film").value = ""; // the same film may be chosen again
});

// Show what `open` gives a video; it returns what ends it.
async function show(open) {
  stop();
  const video = document.createElement("video");
  Object.assign(video, { muted: true, loop: true, playsInline: true });
  let close = () => {}, running = true;
  const state = part("live-state");
  stop = () => {
    running = false;
    close();
    video.srcObject = null;
    video.removeAttribute("src");
    part("live").hidden = part("stop").hidden = true;
    state.textContent = "";
  };
  const stopThis = stop;
  try {
    state.textContent = "opening";
    close = await open(video);
    if (!running) return close();
    await video.play();
    part("stop").hidden = false;
    await follow(video, () => running);
  } catch (error) {
    if (!running) return;
    stopThis();
    state.textContent = error.message;
  }
}

async function fromCamera(video) {
  if (!navigator.mediaDevices) throw new Error("a browser gives cameras to pages on https only");
  const stream = await navigator.mediaDevices.getUserMedia({ video: true });
  video.srcObject = stream;
  return () => stream.getTracks().forEach((track) => track.stop());
}

async function fromFile(video, file) {
  const url = URL.createObjectURL(file);
  const loaded = new Promise((resolve, reject) => {
    const refuse = () => reject(new Error(`${file.name} is no film that this browser plays`));
    video.onloadeddata = () => (video.videoWidth ? resolve() : refuse()); // sound alone is none
    video.onerror = refuse;
  });
  video.src = url;
  await loaded.finally(() => { video.onerror = null; });
  return () => URL.revokeObjectURL(url);
}

// The network for films that goes with the chosen one, where the page has it: dawn-live with dawn.
function filming() {
  const { value, options } = part("network"), film = `${value}-live`;
  return [...options].some((option) => option.value === film) ? film : value;
}

// Enhance one frame after the other: whichever is there when the one before is done.
async function follow(video, running) {
  for (let size = 2; running(); ) {
    await new Promise(requestAnimationFrame);
    const frame = await take(video, SIDES[size]).catch(() => null);
    if (!frame) continue; // a film that begins anew has none for a moment
    const shown = await createImageBitmap(frame);
    const began = performance.now();
    const options = { network: filming(), strength: Number(part("strength").value), gate: part("gate").checked };
    const enhanced = await enhanceFrame(frame, options);
    if (!running()) return;
    draw(".before", shown);
    draw(".after", enhanced);
    const took = performance.now() - began;
    part("live").hidden = false;
    part("live-state").textContent = `${options.network}, ${shown.width}x${shown.height}, ${Math.round(took)} ms a frame`;
    if (took > SLOW) size = Math.max(0, size - 1);
    else if (took < FAST && SIDES[size] < video.videoWidth) size = Math.min(SIDES.length - 1, size + 1);
    shown.close();
    enhanced.close();
  }
}

function take(video, side) {
  const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  const [resizeWidth, resizeHeight] = [video.videoWidth, video.videoHeight].map((extent) => Math.max(16, Math.round(extent * scale)));
  return createImageBitmap(video, { resizeWidth, resizeHeight });
}

function draw(which, bitmap) {
  const canvas = part("live").querySelector(which);
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}
