/** Let the slider of a `.pair` of pictures move the line between them; the picture before is left of it. */
export function slide(pair) {
  const slider = pair.querySelector("input");
  const move = () => pair.style.setProperty("--split", `${slider.value}%`);
  slider.addEventListener("input", move);
  move();
}
