// Small helpers to make and change elements. A text that has not changed is not touched: selections, focus and screen
// readers are left in peace. Nothing is ever parsed as HTML.

export const $ = (id) => document.getElementById(id);

// Makes an element; attributes that are null or false are left out.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  change(element, attributes);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  change(element, attributes);
  element.append(...children);
  return element;
}

export function change(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Lets the children of `parent` be those of `items`, in order; an item that is there already keeps its element.
// `key(item)` tells items apart, `build()` makes an element, `update(element, item)` fills it.
export function sync(parent, items, { key, build, update }) {
  const old = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  const wanted = items.map((item) => {
    const name = String(key(item));
    const element = old.get(name) ?? build(item);
    element.dataset.key = name;
    old.delete(name);
    update(element, item);
    return element;
  });
  for (const element of old.values()) element.remove();
  wanted.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

// Fills a table's body: `cells(item)` returns texts, or `{text, title, class, node}`; the first one heads its row.
export function syncRows(body, items, { key, cells }) {
  sync(body, items, {
    key,
    build: () => make("tr"),
    update: (row, item) => {
      cells(item).forEach((cell, index) => {
        const { text = "", ...rest } = typeof cell === "object" ? cell : { text: cell };
        let element = row.children[index];
        if (!element) {
          element = index ? make("td") : make("th", { scope: "row" });
          row.append(element);
        }
        change(element, { class: rest.class ?? null, title: rest.title ?? null });
        if (rest.fill) rest.fill(element);
        else say(element, text);
      });
    },
  });
}

// A region that scrolls must be reached by keyboard; one that does not must not stand in the way.
export function markScrollers() {
  for (const element of document.querySelectorAll(".scroll")) {
    change(element, { tabindex: element.scrollWidth > element.clientWidth + 1 ? "0" : null });
  }
}
