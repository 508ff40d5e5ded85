// Saves files that the server hands over. A picture is drawn here: the page of the conversation is laid out in a frame
// that nobody sees, and becomes an image within an SVG. Nothing is fetched but our own fonts for formulas.

import { draw, formulasReady } from "./markdown.js";

const WIDTH = 1080; // CSS pixels of the page in the picture
const TALLEST = 16_000; // pixels: browsers draw no canvas of more than 16,384
const KATEX = new URL("./vendor/katex.min.css", import.meta.url);
const korean = () => document.documentElement.lang.startsWith("ko");

function download(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function drawMarkdown(box) {
  const words = box.textContent;
  if (!words) return;
  box.textContent = "";
  box.classList.remove("plain");
  draw(box, words, () => {});
}

async function dataUrl(address) {
  const reader = new FileReader();
  const read = new Promise((done) => { reader.onload = done; });
  reader.readAsDataURL(await (await fetch(address)).blob());
  await read;
  return reader.result;
}

// KaTeX's style sheet with its fonts in it: an image may fetch nothing.
async function formulaStyle() {
  const style = await (await fetch(KATEX)).text();
  const names = [...new Set([...style.matchAll(/url\(([^)]+\.woff2)\)/g)].map((found) => found[1]))];
  const fonts = await Promise.all(names.map(async (name) => [name, await dataUrl(new URL(name, KATEX))]));
  return fonts.reduce((made, [name, font]) => made.replaceAll(`url(${name})`, `url(${font})`), style);
}

function addStyle(page, words) {
  const style = page.createElement("style");
  style.textContent = words;
  page.head.append(style);
}

async function layOut(frame, html) {
  frame.style.cssText = `position:fixed;left:-${2 * WIDTH}px;width:${WIDTH}px;height:100px;border:0`;
  frame.ariaHidden = "true";
  document.body.append(frame);
  const page = frame.contentDocument;
  page.open();
  page.write(html); // by the server, which escapes what is foreign
  page.close();
  addStyle(page, ":root { color-scheme: light }");
  await formulasReady();
  page.querySelectorAll(".kd-md").forEach(drawMarkdown);
  for (const button of page.querySelectorAll("button")) button.remove();
  if (page.querySelector(".katex")) {
    addStyle(page, await formulaStyle());
    await page.fonts.ready;
  }
  return page;
}

// Characters that no XML may hold would spoil the whole picture.
const NO_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

async function picture(html) {
  const frame = document.createElement("iframe");
  try {
    const page = await layOut(frame, html);
    const height = page.documentElement.scrollHeight;
    if (height > TALLEST) return null;
    const inside = new XMLSerializer().serializeToString(page.documentElement).replace(NO_XML, "");
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}">` +
      `<foreignObject width="100%" height="100%">${inside}</foreignObject></svg>`;
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    const scale = Math.min(2, TALLEST / height);
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH * scale;
    canvas.height = height * scale;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/png"));
  } finally {
    frame.remove();
  }
}

window.kodolly.save = async ({ name, type, text }) => {
  if (!name.endsWith(".png")) return download(name, new Blob([text], { type }));
  const made = await picture(text);
  if (made) return download(name, made);
  window.kodolly.tell(korean()
    ? "대화가 너무 길어 그림 한 장에 담을 수 없습니다. Markdown으로 저장해 주세요."
    : "The conversation is too long for one picture. Save it as Markdown instead.");
};
