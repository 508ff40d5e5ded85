// Draws the answers of a shared conversation, which stand on its page as plain words.

import { draw } from "./markdown.js";

for (const box of document.querySelectorAll(".kd-md")) {
  const words = box.textContent;
  if (!words) continue;
  const redraw = () => {
    for (const block of box.children) delete block.kdHtml;
    draw(box, words, redraw);
  };
  box.textContent = "";
  box.classList.remove("plain");
  draw(box, words, redraw);
}
