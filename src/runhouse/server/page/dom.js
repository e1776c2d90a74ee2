// Elements, texts and questions. What comes from a server becomes text, never markup.

/** Make an element: attributes, "on…" handlers and properties; children are elements or texts. */
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const bytes = (n) => {
  if (n === null || n === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${n < 10 && unit ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
};

/** A number of things: `1 run`, `2 runs`. */
export const counted = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

export const span = (s) => {
  if (s < 0) s = 0;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

const SAME_DAY = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const OTHER_DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const when = (s) => {
  const date = new Date(s * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return (today ? SAME_DAY : OTHER_DAY).format(date);
};

export const dollars = (n) => (n === null || n === undefined ? "–" : `$${n.toPrecision(3)}`);

/** Tell somebody something for a few seconds. */
export function notice(text, failed = false) {
  const shown = el("p", { class: failed ? "failed" : "" }, text);
  document.getElementById("notice").replaceChildren(shown);
  setTimeout(() => shown.remove(), failed ? 12000 : 5000);
}

/** Ask whether something is to be done; the answer that changes nothing has the focus. */
export function confirm(question, explanation, action) {
  return new Promise((resolve) => {
    const close = (answer) => () => {
      dialog.close();
      resolve(answer);
    };
    const no = el("button", { type: "button", onclick: close(false) }, "Leave it");
    const yes = el("button", { type: "button", class: "danger", onclick: close(true) }, action);
    const dialog = el(
      "dialog",
      { "aria-labelledby": "question", oncancel: () => resolve(false), onclose: () => dialog.remove() },
      el("h2", { id: "question" }, question),
      el("p", {}, explanation),
      el("div", { class: "buttons" }, no, yes),
    );
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}

/** Make a button that asks first, does something, and tells how that went. */
export function guarded(label, question, explanation, work) {
  const button = el("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    if (!(await confirm(question, explanation, label))) return;
    button.disabled = true;
    try {
      notice(await work());
    } catch (error) {
      notice(`${label} failed. ${error.message}`, true);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/** Replace what an element holds; what had the focus and is there again under its label has it still. */
export function renew(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.replaceChildren(...children);
  const label = focused?.getAttribute("aria-label");
  if (label) parent.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus({ preventScroll: true });
}

/** Make a table of rows of texts and elements. */
export function table(label, columns, rows) {
  return el(
    "div",
    { class: "scroll", tabIndex: 0, role: "region", "aria-label": label },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell))))),
    ),
  );
}

/** Let an element look like another one, and all in it stay itself, so that a click that has begun on it is one. */
function become(element, other) {
  for (const name of element.getAttributeNames()) {
    if (name !== "style" && !other.hasAttribute(name)) element.removeAttribute(name);
  }
  for (const { name, value } of other.attributes) element.setAttribute(name, value);
  const [shown, wanted] = [[...element.childNodes], [...other.childNodes]];
  const alike = shown.length === wanted.length && shown.every((node, at) => node.nodeName === wanted[at].nodeName);
  if (!alike) element.replaceChildren(...wanted);
  else for (const [at, node] of shown.entries()) {
    if (node.nodeType === Node.ELEMENT_NODE) become(node, wanted[at]);
    else if (node.data !== wanted[at].data) node.data = wanted[at].data;
  }
}

/** Show only those of many rows that are in view; what stays in view stays the same element. */
export class Rows {
  constructor(box, height, make) {
    this.box = box;
    this.height = height;
    this.make = make;
    this.count = 0;
    this.made = new Map(); // by number
    this.whole = el("div", { class: "whole", role: "presentation" });
    box.append(this.whole);
    box.addEventListener("scroll", () => this.plan(), { passive: true });
    new ResizeObserver(() => this.plan()).observe(box);
  }

  set(count) {
    this.count = count;
    this.whole.style.height = `${count * this.height}px`;
    this.renew();
  }

  /** Show all rows anew: what they tell has changed. */
  renew() {
    this.stale = true;
    this.plan();
  }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.planned = false;
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - 5);
    const end = Math.min(this.count, first + Math.ceil(this.box.clientHeight / this.height) + 10);
    for (const [i, row] of this.made) {
      if (i < first || i >= end) {
        row.remove();
        this.made.delete(i);
      }
    }
    const stale = this.stale;
    this.stale = false;
    let next = this.whole.firstChild;
    for (let i = first; i < end; i += 1) {
      let row = this.made.get(i);
      if (!row) {
        row = this.make(i);
        row.style.top = `${i * this.height}px`;
        this.made.set(i, row);
        this.whole.insertBefore(row, next);
      } else if (stale) {
        become(row, this.make(i));
      }
      next = row.nextSibling;
    }
  }

  reveal(i) {
    const top = i * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    const below = top + this.height - this.box.clientHeight;
    if (below > this.box.scrollTop) this.box.scrollTop = below;
    this.renew();
  }

  get atEnd() {
    return this.box.scrollTop + this.box.clientHeight >= this.box.scrollHeight - this.height;
  }
}
