// The objects in the workers' memory and on the host's disk.

import { ask } from "./api.js";
import { bytes, counted, el, Rows } from "./dom.js";

const ROW = 34;

export class Objects {
  constructor() {
    this.found = [];
    this.search = el("input", { type: "search", placeholder: "Filter by key, type or env",
      "aria-label": "Filter objects", oninput: () => this.show() });
    this.total = el("p", { class: "quiet", role: "status" });
    this.box = el("div", { class: "list objects", role: "list", "aria-label": "Objects", tabIndex: 0 });
    this.rows = new Rows(this.box, ROW, (i) => this.row(this.found[i]));
    const names = ["Key", "Type", "Env", "Size"].map((name) => el("span", {}, name));
    this.element = el(
      "div",
      { class: "fill" },
      el("h2", {}, "Objects"),
      el("div", { class: "tools" }, this.search, this.total),
      el("div", { class: "list-head objects", "aria-hidden": "true" }, ...names),
      this.box,
    );
  }

  row(entry) {
    const type = entry.type ? entry.type.replace(":", ".").replace("builtins.", "") : "on disk";
    const texts = [entry.key, type, entry.env, bytes(entry.size_bytes)];
    return el("div", { class: "row", role: "listitem" }, ...texts.map((text) => el("span", {}, text)));
  }

  async update() {
    this.all = (await ask("/keys?sizes=true")).keys;
    this.show();
  }

  show() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.found = (this.all ?? []).filter((entry) => {
      const text = `${entry.key} ${entry.type} ${entry.env}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const size = this.found.reduce((sum, entry) => sum + (entry.size_bytes ?? 0), 0);
    this.total.textContent = `${counted(this.found.length, "object")}, ${bytes(size)}`;
    this.rows.set(this.found.length);
  }
}
