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

// Scrolled by a finger, by a tab or by the focus that moves on: the side in the middle is the one that is seen.
document.addEventListener("scroll", ({ target }) => {
  if (target !== strip()) return;
  const middle = target.getBoundingClientRect().left + target.clientWidth / 2;
  const seen = tabs().find((tab) => {
    const box = paneOf(tab).getBoundingClientRect();
    return box.left <= middle && middle < box.right;
  });
  if (seen) show(seen.dataset.side);
}, { capture: true, passive: true });
