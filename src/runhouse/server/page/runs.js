// Runs that go on and past ones, and one of them with its output.

import { ask, tell } from "./api.js";
import { counted, el, guarded, notice, Rows, span, when } from "./dom.js";
import { Logs } from "./logs.js";

const ROW = 48;
const NEWEST = 1000;
const GOING = ["queued", "running"];
const FILTERS = {
  All: null,
  Going: GOING,
  Done: ["done"],
  Failed: ["failed", "lost"],
  Cancelled: ["cancelled"],
};

/** A function's name without its module. */
const short = (call) => call.split(":").at(-1);

export class Runs {
  constructor(me) {
    this.me = me;
    this.known = new Map();
    this.after = 0;
    this.total = 0;
    this.found = [];
    this.active = 0;
    this.filter = "All";
    this.search = el("input", { type: "search", placeholder: "Search all runs: name, who, error, …",
      "aria-label": "Search all runs", oninput: () => this.searchSoon() });
    this.filters = el("div", { class: "filters", role: "group", "aria-label": "Filter by state" },
      ...Object.keys(FILTERS).map((name) => el("button", { type: "button", onclick: () => {
        this.filter = name;
        this.show();
      } }, name)));
    this.count = el("p", { class: "quiet", role: "status" });
    this.box = el("div", { class: "list runs", role: "listbox", tabIndex: 0, "aria-label": "Runs",
      onpointerdown: (event) => { this.pressed = event.target.closest(".row")?.dataset.run; },
      onclick: (event) => this.click(event.target.closest(".row")),
      onkeydown: (event) => this.key(event), onfocus: () => this.rows.renew(), onblur: () => this.rows.renew() });
    this.rows = new Rows(this.box, ROW, (i) => this.row(this.found[i], i));
    this.detail = el("aside", { class: "detail", "aria-label": "Run" });
    const names = ["Run", "State", "Who", "Started", "Took"].map((name) => el("span", {}, name));
    this.element = el("div", { class: "split" },
      el("div", { class: "fill" },
        el("h2", {}, "Runs"),
        el("div", { class: "tools" }, this.search, this.filters),
        this.count,
        el("div", { class: "list-head runs", "aria-hidden": "true" }, ...names),
        this.box),
      this.detail);
    this.open("");
  }

  // -- the list

  async update() {
    const search = this.search.value.trim();
    const query = new URLSearchParams({ limit: NEWEST });
    if (search) query.set("search", search);
    else if (this.after) query.set("after", this.after);
    const told = await ask(`/runs?${query}`);
    if (search !== this.search.value.trim()) return;
    this.skew = told.now - Date.now() / 1000;
    if (search !== this.last || (!search && !this.after)) {
      this.known.clear();
      this.total = told.total;
    } else if (search) {
      this.total = told.total;
    }
    this.last = search;
    const live = new Set(told.runs.map((run) => run.id));
    for (const [id, run] of this.known) {
      // Calls that nobody recorded are gone when they end.
      if (GOING.includes(run.status) && !live.has(id)) this.known.delete(id);
    }
    for (const run of told.runs) {
      if (!search && this.after && !this.known.has(run.id)) this.total += 1;
      this.known.set(run.id, run);
    }
    this.after = search ? 0 : told.now - 2;
    this.show();
    const shown = this.known.get(this.id);
    if (shown) this.facts(shown);
  }

  searchSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.after = 0;
      this.update().catch((error) => notice(error.message, true));
    }, 200);
  }

  show() {
    const wanted = FILTERS[this.filter];
    const all = [...this.known.values()].sort((a, b) => b.created_at - a.created_at);
    const at = this.found[this.active]?.id;
    this.found = wanted ? all.filter((run) => wanted.includes(run.status)) : all;
    this.active = Math.max(0, this.found.findIndex((run) => run.id === at));
    for (const button of this.filters.children) {
      button.setAttribute("aria-pressed", button.textContent === this.filter);
    }
    const older = Math.max(0, this.total - this.known.size);
    const more = older ? `, and ${older} older ones that a search finds` : "";
    this.count.textContent = `${counted(this.found.length, "run")}${more}`;
    this.rows.set(this.found.length);
  }

  row(run, i) {
    const now = Date.now() / 1000 + (this.skew ?? 0);
    const lasted = (run.ended_at || now) - run.created_at;
    const isActive = i === this.active && document.activeElement === this.box;
    if (isActive) this.box.setAttribute("aria-activedescendant", `run-${i}`);
    return el("div", {
      class: `row${isActive ? " active" : ""}`,
      id: `run-${i}`,
      role: "option",
      "aria-selected": String(run.id === this.id),
      "aria-setsize": String(this.found.length),
      "aria-posinset": String(i + 1),
      "data-run": run.id,
    },
    el("span", { class: "name" }, el("b", { title: run.call }, run.name || short(run.call)), el("small", {}, run.name ? short(run.call) : run.env)),
    el("span", { class: `pill ${run.status}` }, run.status),
    el("span", {}, run.caller || "–"),
    el("span", {}, when(run.created_at)),
    el("span", {}, span(lasted)));
  }

  /** Open the run that was pressed; a new one may have come into its row since. */
  click(row) {
    if (!row) return;
    const id = this.pressed ?? row.dataset.run;
    this.pressed = undefined;
    this.active = this.found.findIndex((run) => run.id === id);
    location.hash = `#/runs/${encodeURIComponent(id)}`;
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
      Home: -this.found.length, End: this.found.length };
    if (event.key in steps) {
      this.active = Math.min(this.found.length - 1, Math.max(0, this.active + steps[event.key]));
      this.rows.reveal(this.active);
    } else if ((event.key === "Enter" || event.key === " ") && this.found[this.active]) {
      location.hash = `#/runs/${encodeURIComponent(this.found[this.active].id)}`;
    } else {
      return;
    }
    event.preventDefault();
  }

  // -- one run

  async open(id) {
    if (id === this.id) return;
    this.id = id;
    this.logs?.close();
    this.logs = null;
    this.element.classList.toggle("opened", Boolean(id));
    this.rows.renew();
    if (!id) {
      this.detail.replaceChildren();
      return;
    }
    this.head = el("div");
    this.cancel = guarded("Cancel", "Cancel this run?", "Its code is stopped, and whoever waits for it is told.",
      async () => {
        await tell(`/runs/${encodeURIComponent(id)}/cancel`);
        await this.update();
        return "The run was cancelled.";
      });
    this.cancel.hidden = true;
    const back = el("a", { href: "#/runs" }, "← All runs");
    this.logs = new Logs();
    this.detail.replaceChildren(back, this.head, this.cancel, this.logs.element);
    try {
      const run = this.known.get(id) ?? (await ask(`/runs/${encodeURIComponent(id)}`));
      if (id !== this.id) return;
      this.facts(run);
      if (run.recorded) this.logs.run(run.id);
      else this.logs.element.replaceChildren(el("p", { class: "quiet empty" },
        "This call is not recorded: its output goes to its caller only. Calls with a run_name are recorded."));
    } catch (error) {
      this.head.replaceChildren(el("p", { class: "failed" }, error.message));
    }
  }

  facts(run) {
    const now = Date.now() / 1000 + (this.skew ?? 0);
    const pairs = [
      ["Call", run.call],
      ["Who", run.caller || "–"],
      ["Env", run.env],
      ["Started", when(run.created_at)],
      [run.ended_at ? "Took" : "For", span((run.ended_at || now) - run.created_at)],
      ["Id", run.id],
      ["Result", run.kept],
    ].filter(([, value]) => value);
    this.cancel.hidden = this.me.read_only || !GOING.includes(run.status);
    this.head.replaceChildren(
      el("h2", {}, run.name || run.call, " ", el("span", { class: `pill ${run.status}` }, run.status)),
      el("dl", { class: "facts small" },
        ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      ...(run.error ? [el("p", { class: "failed error" }, run.error)] : []));
  }
}
