/** The live page: moves the line, and says when there is nothing to see. */
import { slide } from "./slider.js";

const images = [...document.querySelectorAll(".pair img")];
slide(document.querySelector(".pair"));
setInterval(() => { // an image that never ends has its events before this script is there, or not at all
  const gone = images.some((image) => image.complete && !image.naturalWidth);
  const text = gone ? "there is nothing to see: the source has ended, or too many watch" : "waiting for the first frame";
  document.getElementById("status").textContent = images.every((image) => image.naturalWidth) ? "" : text;
}, 200);
