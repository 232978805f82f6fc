// Building the page from texts. Nothing that comes from a session is ever taken for markup.

/** An element with properties, attributes and children; texts stay texts. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Set a text, if it is another one: a screen reader hears of changes only. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make the children of a list those of these texts; what is there already stays. */
export function sayAll(list, texts, build) {
  const key = JSON.stringify(texts);
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...texts.map(build));
}
