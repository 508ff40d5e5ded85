// The list of conversations, and the folders of chats: what is chosen or asked for there goes to the page's hidden
// buttons, which have the server do it.

function press(id, told) {
  Object.assign(window.kodolly, told);
  document.getElementById(id)?.click();
}

document.addEventListener("change", ({ target }) => {
  const kind = target.matches?.("input[type=radio][name$=-history]") && target.name.slice(0, -"-history".length);
  if (!kind) return;
  const held = target.closest(".kd-held"); // an answer comes in
  if (held) target.checked = target.hasAttribute("checked");
  else press(`${kind}-open`, { chosen: target.value });
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("button");
  if (!button) return;
  const { folderRename, folderDelete, folderRestore } = button.dataset;
  if (folderDelete) press("chat-folder-press", { folder: { what: "delete", folder: folderDelete } });
  if (folderRestore) press("chat-folder-press", { folder: { what: "restore", folder: folderRestore } });
  if (folderRename) rename(button, folderRename);
});

// The name becomes a box: Enter or leaving it keeps the new name, Escape the old one.
function rename(button, folder) {
  const shown = button.closest("legend").querySelector("bdi"), name = button.dataset.name;
  const box = document.createElement("input");
  Object.assign(box, { type: "text", value: name, maxLength: 80, ariaLabel: button.ariaLabel });
  let open = true;
  const end = (keeps) => {
    if (!open) return;
    open = false;
    const typed = box.value.trim();
    box.replaceWith(shown);
    if (keeps && typed && typed !== name) press("chat-folder-press", { folder: { what: "rename", folder, name: typed } });
  };
  box.addEventListener("blur", () => end(true));
  box.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter");
    button.focus();
  });
  shown.replaceWith(box);
  box.focus();
  box.select();
}

// Whoever goes through the list by keys goes on where they were: each choice draws it anew.
let within = "";
document.addEventListener("focusin", ({ target }) => {
  within = target.matches?.("input[type=radio][name$=-history]") ? target.name : "";
});
new MutationObserver(() => {
  if (!within || document.activeElement !== document.body) return;
  document.querySelector(`input[name="${within}"]:checked`)?.focus();
}).observe(document.documentElement, { childList: true, subtree: true });
