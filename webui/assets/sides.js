// The sides of a comparison on a phone: one is seen at a time, and the others lie beside it, to be swiped to or chosen
// by the tabs above the scores. The style sheet shows the scores and the settings of the side that is seen; at first
// it is the left one.

const strip = () => document.getElementById("compare-panes");
const tabs = () => [...document.querySelectorAll(".kd-side-tabs button")];
const paneOf = (tab) => document.getElementById(`${tab.dataset.side}-pane`);

function show(side) {
  strip().parentElement.dataset.side = side;
  for (const tab of tabs()) tab.setAttribute("aria-pressed", String(tab.dataset.side === side));
}

function goTo(tab) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  strip().scrollTo({ left: paneOf(tab).offsetLeft - strip().offsetLeft, behavior: calm ? "instant" : "smooth" });
}

document.addEventListener("click", ({ target }) => {
  const tab = target.closest?.(".kd-side-tabs button");
  if (tab) goTo(tab);
});

// The side in the middle is the one that is seen.
function look() {
  const box = strip().getBoundingClientRect();
  const middle = box.left + box.width / 2;
  const seen = tabs().find((tab) => {
    const pane = paneOf(tab)?.getBoundingClientRect();
    return pane && pane.left <= middle && middle < pane.right;
  });
  if (seen) show(seen.dataset.side);
}

// Scrolled by a finger, by a tab or by the focus that moves on.
document.addEventListener("scroll", ({ target }) => target === strip() && look(), { capture: true, passive: true });

// Where there are more or fewer sides, the tabs do not know yet which of them is seen.
customElements.define("kd-side-tabs", class extends HTMLElement {
  static observedAttributes = ["count"];

  attributeChangedCallback() {
    requestAnimationFrame(() => strip() && look());
  }
});
