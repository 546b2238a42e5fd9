// What the other modules make elements with.

/** The element of an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Makes an element with a class, if it is not empty, and a text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  if (text) {
    element.textContent = text;
  }
  return element;
}

/** Makes an element of a drawing. */
export function draw(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

/** Sets a text if it is another: what does not change is not laid out anew. */
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Calls a function with the next frame, however often that is wanted before. */
export function onFrame(call) {
  let wanted = false;
  return () => {
    if (!wanted) {
      wanted = true;
      requestAnimationFrame(() => {
        wanted = false;
        call();
      });
    }
  };
}
