/** The live page: moves the line, and says when there is nothing to see. */
import { slide } from "./slider.js";

const state = document.getElementById("status");
slide(document.querySelector(".pair"));
for (const image of document.querySelectorAll(".pair img")) {
  image.addEventListener("load", () => { state.textContent = ""; });
  image.addEventListener("error", () => { state.textContent = "there is nothing to see: the source has ended, or too many watch"; });
}
