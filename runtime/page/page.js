/** The page: pictures are dropped, enhanced one after the other by ./enhance.js, compared, and downloaded. */
import { about, enhance, networks } from "./enhance.js";
import { slide } from "./slider.js";

const ENDINGS = { "image/jpeg": "jpg", "image/webp": "webp", "image/png": "png" };
const SETTLED = 150; // ms without a change of the settings

const part = (id) => document.getElementById(id);
const pictures = [];
let version = 0; // of the settings
let working = false;
let abort = new AbortController();

/** A picture of the page: its file, its figure, and the version of the settings that it was last enhanced with. */
class Picture {
  constructor(file) {
    this.file = file;
    this.version = -1;
    this.urls = {};
    this.figure = part("picture").content.firstElementChild.cloneNode(true);
    this.find(".name").textContent = file.name;
    this.find(".before").alt = `${file.name}, before`;
    this.find(".after").alt = `${file.name}, after`;
    this.find(".pair input").setAttribute("aria-label", `How much of ${file.name} is shown as it was before, in percent`);
    this.find(".download").setAttribute("aria-label", `Download ${file.name}, enhanced`);
    this.find(".remove").setAttribute("aria-label", `Remove ${file.name}`);
    this.find(".remove").addEventListener("click", () => this.remove());
    slide(this.find(".pair"));
    this.say("waiting");
  }

  find(selector) {
    return this.figure.querySelector(selector);
  }

  /** `state` is "waiting", "enhancing", "done" or "failed". */
  say(state, text = state) {
    this.figure.dataset.state = state;
    this.find(".state").textContent = text;
  }

  /** Show a picture before or after; resolves once it can be seen. */
  async show(which, blob) {
    const url = URL.createObjectURL(blob);
    const image = this.find(`.${which}`);
    image.src = url;
    try {
      await image.decode();
    } catch (error) {
      URL.revokeObjectURL(url);
      throw error;
    }
    URL.revokeObjectURL(this.urls[which]);
    this.urls[which] = url;
  }

  async run() {
    const { signal } = abort;
    const options = { ...settings(), signal };
    const wanted = version;
    this.say("enhancing");
    try {
      const progress = (done, total) => this.say("enhancing", `enhancing, ${done} of ${total}`);
      const result = await enhance(this.file, { ...options, progress });
      await this.showBefore(options);
      signal.throwIfAborted();
      await this.show("after", result);
      this.offer(result, options.network);
      this.say("done", result.note ?? "");
      this.version = wanted;
    } catch (error) {
      if (signal.aborted) return; // it is done again with other settings, or gone
      this.say("failed", error.message);
      this.version = wanted;
    }
  }

  /** The file as it is; of a kind that the browser doesn't show, what enhancing by nothing makes of it. */
  async showBefore(options) {
    if (this.urls.before) return;
    try {
      await this.show("before", this.file);
    } catch {
      await this.show("before", await enhance(this.file, { ...options, strength: 0, gate: false }));
    }
  }

  offer(blob, network) {
    const link = this.find(".download");
    link.href = this.urls.after;
    link.download = `${this.file.name.replace(/\.[^.]*$/, "")}-${network}.${ENDINGS[blob.type] ?? "png"}`;
    link.hidden = this.find(".pair").hidden = false;
  }

  remove() {
    pictures.splice(pictures.indexOf(this), 1);
    const next = this.figure.nextElementSibling ?? this.figure.previousElementSibling;
    this.figure.remove();
    Object.values(this.urls).forEach((url) => URL.revokeObjectURL(url));
    (next?.querySelector(".remove") ?? part("files")).focus();
    if (this.figure.dataset.state === "enhancing") restart();
    tell();
  }
}

function settings() {
  return { network: part("network").value, strength: Number(part("strength").value), gate: part("gate").checked };
}

function add(files) {
  for (const file of files) {
    const picture = new Picture(file);
    pictures.push(picture);
    part("pictures").append(picture.figure);
  }
  work();
}

/** Enhance what was not yet enhanced with the settings of now, one picture at a time. */
async function work() {
  if (working) return;
  working = true;
  for (let next; (next = pictures.find((picture) => picture.version !== version)); ) {
    tell();
    await next.run();
  }
  working = false;
  tell();
}

/** Stop the picture that is being enhanced, and go on. */
function restart() {
  abort.abort();
  abort = new AbortController();
  work();
}

let settling;
function changed() {
  part("strength-shown").value = settings().strength.toFixed(2);
  clearTimeout(settling);
  settling = setTimeout(() => {
    version += 1;
    restart();
  }, SETTLED);
}

function titled(name, title) {
  return title.toLowerCase().startsWith(name) ? title : title ? `${name}: ${title}` : name;
}

/** For everybody, and read out by screen readers. */
function tell() {
  const left = pictures.filter((picture) => picture.version !== version).length;
  const failed = pictures.filter((picture) => picture.version === version && picture.figure.dataset.state === "failed").length;
  const done = `${pictures.length - failed - left} of ${pictures.length} enhanced`;
  part("status").textContent = pictures.length ? done + (failed ? `, ${failed} failed` : "") : "";
}

function listen() {
  part("settings").addEventListener("input", changed);
  part("settings").addEventListener("submit", (event) => event.preventDefault());
  part("files").addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = ""; // the same file may be chosen again
  });
  const shown = (dragging) => document.body.classList.toggle("dragging", dragging);
  addEventListener("dragover", (event) => { event.preventDefault(); shown(true); });
  addEventListener("dragleave", () => shown(false));
  addEventListener("drop", (event) => { event.preventDefault(); shown(false); add(event.dataTransfer.files); });
  addEventListener("paste", (event) => add(event.clipboardData.files));
}

part("about").textContent = about;
try {
  const found = await networks();
  part("network").append(...found.map(({ name, title }) => new Option(titled(name, title), name)));
  listen();
} catch (error) {
  part("status").textContent = error.message;
}
