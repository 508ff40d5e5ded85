// <kd-share word="...">: the address of a shared conversation, to be opened and copied.

import { copyButton } from "./markdown.js";

class ShareLink extends HTMLElement {
  static observedAttributes = ["word"];

  connectedCallback() {
    this.attributeChangedCallback();
  }

  attributeChangedCallback() {
    const address = new URL(`./shared/${encodeURIComponent(this.getAttribute("word"))}`, document.baseURI).href;
    const link = document.createElement("a");
    Object.assign(link, { href: address, target: "_blank", rel: "noopener", textContent: address });
    this.replaceChildren(link, copyButton(() => address));
  }
}

customElements.define("kd-share", ShareLink);
