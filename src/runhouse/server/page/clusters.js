// The saved clusters, as the computer knows them on which `rh dashboard` was started.

import { askFront } from "./api.js";
import { dollars, el, guarded, renew, span, table } from "./dom.js";

const WORDS = { unknown: "not connected" };

function countdown(told, minutes) {
  if (!told && minutes === null) return "–";
  if (!told) return minutes < 0 ? "never" : `after ${minutes} idle min`;
  if (told.left_s === null) return "never";
  return told.in_use ? `not now: ${told.why}` : `in ${span(told.left_s)}`;
}

export class Clusters {
  constructor(open) {
    this.open = open;
    this.made = new Map();
    this.shown = el("div");
    this.element = el("div", { class: "stack" }, el("h2", {}, "Clusters"), this.shown);
  }

  async update() {
    const { clusters } = await askFront("/clusters");
    const columns = ["Name", "Kind", "State", "Per hour", "Autostop", "Hosts", "Actions"];
    const rows = clusters.map((each) => [
      el("b", {}, each.name),
      each.kind,
      el("span", { class: `pill ${each.state}` }, WORDS[each.state] ?? each.state),
      dollars(each.price_per_hour),
      countdown(each.autostop, each.autostop_mins),
      each.error || each.hosts,
      this.actions(each),
    ]);
    renew(this.shown, table("Clusters", columns, rows));
  }

  actions(each) {
    const key = `${each.name} ${each.kind} ${each.state}`; // the same buttons, whatever they are doing
    if (!this.made.has(key)) this.made.set(key, this.buttons(each));
    return this.made.get(key);
  }

  buttons(each) {
    const act = (verb, body = {}) => askFront(`/clusters/${encodeURIComponent(each.name)}/${verb}`, body);
    const open = el("button", { type: "button", onclick: () => this.open(each.name) }, "Open");
    open.disabled = Boolean(each.error);
    const buttons = [open];
    if (each.launched && each.state === "up") {
      buttons.push(
        guarded("Keep warm", `Keep ${each.name} up?`, "It does not stop by itself any more, and costs "
          + "until somebody stops it.", async () => {
          await act("keep-warm");
          return `${each.name} does not go by itself.`;
        }),
      );
    }
    if (each.state === "up") {
      const what = each.launched ? "Its machines are stopped" : "Its server is stopped";
      buttons.push(
        guarded("Stop", `Stop ${each.name}?`, `${what}. Running calls and what is in memory are lost.`,
          async () => ((await act("stop")).stopped ? `${each.name} was stopped.` : `${each.name} was not running.`)),
      );
    }
    for (const button of buttons) button.setAttribute("aria-label", `${button.textContent} ${each.name}`);
    return el("div", { class: "buttons" }, ...buttons);
  }
}
