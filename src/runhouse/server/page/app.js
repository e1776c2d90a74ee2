// The page: who looks, at which cluster, at what of it; and everything anew every two seconds.

import { askFront, Refused, setToken, takeToken, useCluster } from "./api.js";
import { Clusters } from "./clusters.js";
import { el, notice } from "./dom.js";
import { Objects } from "./objects.js";
import { Overview } from "./overview.js";
import { Runs } from "./runs.js";

const PAUSE_MS = 2000;
const CHOSEN = "runhouse-cluster";
const get = (id) => document.getElementById(id);
const main = get("main");
const app = { me: null, views: {}, name: "", timer: 0, turn: 0 };

function makeViews() {
  app.views.runs?.open("");
  app.views = { overview: new Overview(app.me), runs: new Runs(app.me), objects: new Objects() };
  if (app.me.clusters) app.views.clusters = new Clusters(choose);
}

function choose(name) {
  sessionStorage.setItem(CHOSEN, name);
  get("cluster").value = name;
  useCluster(name);
  makeViews();
  if (location.hash === "#/overview") route();
  else location.hash = "#/overview";
}

function route() {
  if (!app.me) return;
  const [, name = "", id = ""] = location.hash.split("/");
  const chosen = name in app.views ? name : "overview";
  const changed = app.name !== chosen || !main.contains(app.views[chosen].element);
  app.name = chosen;
  for (const link of get("views").children) {
    if (link.hash === `#/${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (changed) main.replaceChildren(app.views[chosen].element);
  document.title = `${chosen} – ${get("cluster").value || app.me.host} – runhouse`;
  if (chosen === "runs") app.views.runs.open(decodeURIComponent(id));
  update();
}

async function update() {
  clearTimeout(app.timer);
  const turn = (app.turn += 1);
  if (!document.hidden) {
    try {
      await app.views[app.name].update();
      if (turn === app.turn) say("live", "up");
    } catch (error) {
      if (turn !== app.turn) return;
      if (error instanceof Refused && error.status === 401) {
        leave();
        return;
      }
      say(error instanceof Refused ? error.message : "out of reach; trying again", "failed");
    }
  }
  if (turn === app.turn) app.timer = setTimeout(update, PAUSE_MS);
}

function say(text, kind) {
  const state = get("state");
  if (state.textContent !== text) state.textContent = text;
  state.className = `pill ${kind}`;
}

function leave() {
  setToken("");
  app.me = null;
  askForToken();
}

function askForToken() {
  say("not signed in", "");
  get("views").hidden = true;
  get("picker").hidden = true;
  const token = el("input", { type: "password", autocomplete: "off", required: true, id: "token" });
  const form = el("form", { class: "card sign-in", onsubmit: (event) => {
    event.preventDefault();
    setToken(token.value.trim());
    start();
  } },
  el("h2", {}, "Sign in"),
  el("p", { class: "quiet" }, "`rh dashboard` opens this page for you. Or give a token, as ",
    el("code", {}, "cluster.tokens.create(\"me\", read_only=True)"), " returns it."),
  el("label", { for: "token" }, "Token"), token, el("button", { type: "submit" }, "Look"));
  main.replaceChildren(form);
  token.focus();
}

async function start() {
  try {
    app.me = await askFront("/whoami");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) notice("The token is not valid.", true);
    else notice(`The server does not answer. ${error.message}`, true);
    askForToken();
    return;
  }
  get("views").hidden = false;
  const names = app.me.clusters;
  get("picker").hidden = get("to-clusters").hidden = !names;
  get("host").textContent = names ? "" : app.me.host + (app.me.read_only ? " (read only)" : "");
  if (names) {
    get("cluster").replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    const before = sessionStorage.getItem(CHOSEN);
    get("cluster").value = names.includes(before) ? before : app.me.cluster;
    useCluster(get("cluster").value);
  }
  makeViews();
  route();
}

get("cluster").addEventListener("change", (event) => choose(event.target.value));
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => app.me && update());
if (takeToken()) start();
else askForToken();
