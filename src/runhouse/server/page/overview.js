// What a cluster is, how busy its nodes are and were, and its workers.

import { ask, tell } from "./api.js";
import { bytes, counted, el, guarded, renew, span, table } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 64;
const SHORTEST_S = 120;
const KEPT = 720;

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Draw how a figure has changed; `points` are pairs of a time and a share of the whole. */
function chart(title, now, points) {
  const last = points.at(-1)?.[0] ?? 0;
  const length = Math.max(SHORTEST_S, last - (points[0]?.[0] ?? 0));
  const x = (time) => (WIDTH * (1 - (last - time) / length)).toFixed(1);
  const y = (share) => ((HEIGHT - 2) * (1 - Math.min(1, share)) + 1).toFixed(1);
  const line = points.map(([time, share]) => `${x(time)},${y(share)}`).join(" ");
  const over = `last ${Math.round(length / 60)} min`;
  const drawn = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `${title}, ${over}; now ${now}`,
  });
  if (points.length) {
    const edge = `${x(points[0][0])},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`;
    drawn.append(svg("polygon", { points: edge }), svg("polyline", { points: line }));
  }
  const caption = el("figcaption", {}, el("b", {}, title), " ", now, el("small", {}, over));
  return el("figure", {}, caption, drawn);
}

function node({ samples, ...told }) {
  const charts = [];
  const latest = samples.at(-1);
  if (latest) {
    const whole = told.memory_total_bytes || 1;
    charts.push(
      chart("CPU", `${Math.round(latest[1])} % of ${told.cpus}`, samples.map((s) => [s[0], s[1] / 100])),
      chart("Memory", `${bytes(latest[2])} of ${bytes(whole)}`, samples.map((s) => [s[0], s[2] / whole])),
    );
    told.gpus.forEach((gpu, i) => {
      const has = samples.filter((s) => s[3].length > i);
      if (!has.length) return;
      const [busy, used] = [has.at(-1)[3][i], has.at(-1)[4][i]];
      const size = gpu.memory_total_bytes || 1;
      charts.push(
        chart(`GPU ${i}`, `${Math.round(busy)} % ${gpu.name}`, has.map((s) => [s[0], s[3][i] / 100])),
        chart(`GPU ${i} memory`, `${bytes(used)} of ${bytes(size)}`, has.map((s) => [s[0], s[4][i] / size])),
      );
    });
  }
  return el(
    "section",
    { class: "card" },
    el("h3", {}, told.hostname),
    el("p", { class: "quiet" }, `${told.platform}, load ${told.load_1m.toFixed(2)}`),
    el("div", { class: "charts" }, ...charts),
  );
}

function autostop(told) {
  if (!told) return null;
  if (told.left_s === null) return ["Autostop", "never"];
  if (told.in_use) return ["Autostop", `not now: ${told.why}`];
  return ["Autostop", `${told.stops === "stop" ? "stops" : "goes"} in ${span(told.left_s)}`];
}

function facts(status) {
  const pairs = [
    ["Running", status.running],
    ["Objects", status.objects],
    ["Workers", status.workers.length],
    ["Up for", span(status.uptime_s)],
    ["runhouse", status.version],
    ["Python", status.python_version],
    autostop(status.autostop),
  ].filter(Boolean);
  return el(
    "dl",
    { class: "facts" },
    ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))),
  );
}

export class Overview {
  constructor(me) {
    this.me = me;
    this.samples = new Map();
    this.after = 0;
    this.restarts = new Map();
    this.element = el("div", { class: "stack" }, el("h2", { class: "hidden" }, "Overview"));
    this.parts = ["facts", "nodes", "workers"].map(() => el("div"));
    this.element.append(...this.parts);
  }

  async update() {
    const query = this.after ? `?after=${this.after}` : "";
    const [status, told] = await Promise.all([ask("/status"), ask(`/nodes${query}`)]);
    for (const each of told.nodes) {
      const known = this.samples.get(each.hostname) ?? [];
      known.push(...each.samples);
      each.samples = known.slice(-KEPT);
      this.samples.set(each.hostname, each.samples);
      this.after = Math.max(this.after, each.samples.at(-1)?.[0] ?? 0);
    }
    this.parts[0].replaceChildren(facts(status));
    this.parts[1].replaceChildren(el("h2", {}, "Nodes"), ...told.nodes.map(node));
    this.workers(status.workers);
    return status;
  }

  workers(workers) {
    const columns = ["Env", "Process", "Python", "Memory", "Running", "Objects", "Calls", "Up for"];
    const rows = workers.map((worker) => [
      worker.env,
      worker.pid,
      worker.python,
      bytes(worker.memory_bytes),
      worker.running,
      worker.objects,
      worker.calls,
      span(worker.uptime_s),
      ...(this.me.read_only ? [] : [this.restart(worker)]),
    ].map((cell) => (cell instanceof Node ? cell : String(cell))));
    if (!this.me.read_only) columns.push("Action");
    const shown = rows.length
      ? table("Workers", columns, rows)
      : el("p", { class: "quiet" }, "No worker runs. The first call starts one.");
    renew(this.parts[2], el("h2", {}, "Workers"), shown);
  }

  restart(worker) {
    const known = this.restarts.get(worker.id);
    if (known) return known;
    const button = guarded(
      "Restart",
      `Restart the worker of ${worker.env}?`,
      `Process ${worker.pid} is ended. Its running calls are cancelled and its objects are lost; `
        + "functions have to be sent again before they can be called by name.",
      async () => {
        const told = await tell(`/workers/${worker.id}/restart`);
        return `The worker ${worker.pid} was ended; ${counted(told.cancelled.length, "run")} cancelled.`;
      },
    );
    button.setAttribute("aria-label", `Restart worker ${worker.pid}`);
    this.restarts.set(worker.id, button);
    return button;
  }
}
