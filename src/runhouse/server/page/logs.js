// The output of one run, followed to its end.

import { follow } from "./api.js";
import { counted, el, notice, Rows } from "./dom.js";

const ROW = 19;
const MOST_LINES = 200000;
const LONGEST = 4000;
// Colours and the like of terminals (ECMA-48).
const ESCAPES = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*(?:\x07|\x1b\\)|[@-Z\\^_])/g;

export class Logs {
  constructor() {
    this.lines = [];
    this.open = new Map(); // by stream: the line that has not ended yet
    this.found = this.lines;
    this.stop = new AbortController();
    this.live = el("input", { type: "checkbox", checked: true });
    this.filter = el("input", { type: "search", placeholder: "Filter lines", "aria-label": "Filter lines",
      oninput: () => this.show() });
    this.count = el("span", { class: "quiet" });
    this.box = el("div", { class: "log", tabIndex: 0, role: "region", "aria-label": "Log" });
    this.rows = new Rows(this.box, ROW, (i) => this.row(this.found[i]));
    this.box.addEventListener("wheel", () => { this.live.checked = this.rows.atEnd; }, { passive: true });
    this.box.addEventListener("keyup", () => { this.live.checked = this.rows.atEnd; });
    const label = el("label", {}, this.live, " Follow");
    this.element = el("div", { class: "fill" },
      el("div", { class: "tools" }, this.filter, label, this.count), this.box);
  }

  row(line) {
    return el("div", { class: line.stream }, line.text || "\u200b");
  }

  async run(id) {
    try {
      await follow(`/runs/${encodeURIComponent(id)}/logs?follow=true`, (name, data) => {
        if (name === "log") this.add(data);
      }, this.stop.signal);
      if (!this.lines.length) this.count.textContent = "It has printed nothing.";
    } catch (error) {
      if (!this.stop.signal.aborted) notice(`The log cannot be shown. ${error.message}`, true);
    }
  }

  add(entries) {
    for (const { stream, text } of entries) {
      const parts = text.replace(ESCAPES, "").replace(/\r\n/g, "\n").split("\n");
      parts.forEach((part, i) => this.piece(stream, part, i < parts.length - 1));
    }
    if (this.lines.length > MOST_LINES) this.lines.splice(0, this.lines.length - MOST_LINES);
    if (!this.planned) {
      this.planned = true;
      requestAnimationFrame(() => this.show());
    }
  }

  piece(stream, part, ends) {
    let line = this.open.get(stream);
    if (!line && (part || ends)) {
      line = { stream, text: "" };
      this.lines.push(line);
      this.open.set(stream, line);
    }
    if (!line) return;
    const last = part.lastIndexOf("\r"); // a progress bar writes over its line
    const text = last < 0 ? line.text + part : part.slice(last + 1) || part.slice(0, last).split("\r").pop();
    line.text = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
    if (ends) this.open.delete(stream);
  }

  show() {
    this.planned = false;
    const wanted = this.filter.value.toLowerCase();
    this.found = wanted ? this.lines.filter((line) => line.text.toLowerCase().includes(wanted)) : this.lines;
    const all = counted(this.lines.length, "line");
    this.count.textContent = wanted ? `${this.found.length.toLocaleString("en")} of ${all}` : all;
    this.rows.set(this.found.length);
    if (this.live.checked) this.box.scrollTop = this.box.scrollHeight;
  }

  close() {
    this.stop.abort();
  }
}
