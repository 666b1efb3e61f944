// What tests/test_pages.py asks of a page.  Each function returns complaints, none when all is well.
globalThis.checks = (() => {
  "use strict";

  const words = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);

  function named(element) {
    const place = element.closest("[id]");
    const kind = [element.localName, ...element.classList].join(".");
    return `${place ? `#${place.id} ` : ""}${kind} "${words(element.getAttribute("aria-label") ?? element.textContent)}"`;
  }

  const isShown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  function* texts(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (/[^\s\u200b]/.test(node.data) && isShown(node.parentElement)) yield node;
    }
  }

  const figures = () => [...document.querySelectorAll("svg, img")].filter((one) => !one.parentElement.closest("svg"));

  function* pageTexts() {
    for (const node of texts(document.body)) if (!node.parentElement.closest("svg")) yield node;
  }

  function* figureTexts() {
    for (const figure of document.querySelectorAll("svg")) for (const node of texts(figure)) yield node;
  }

  // Every section open, every image there: what a reader sees who looks at everything.
  async function open() {
    for (const section of document.querySelectorAll("details")) section.open = true;
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  }

  // Something is drawn, in a box that has a size, and no word of it is cut off.
  function undrawn() {
    const found = [];
    for (const figure of figures()) {
      const box = figure.getBoundingClientRect();
      const drawn = figure.localName === "svg" ? figure.getBBox() : { width: figure.naturalWidth, height: figure.naturalHeight };
      if (!isShown(figure) || !(box.width > 0 && box.height > 0)) found.push(`${named(figure)} takes no room`);
      else if (!(drawn.width > 0 && drawn.height > 0)) found.push(`${named(figure)} shows nothing`);
    }
    for (const node of figureTexts()) {
      const box = node.parentElement.closest("svg").getBoundingClientRect();
      const word = node.parentElement.getBoundingClientRect();
      if (word.left < box.left - 1 || word.right > box.right + 1 || word.top < box.top - 1 || word.bottom > box.bottom + 1)
        found.push(`${named(node.parentElement)} is cut off in ${named(node.parentElement.closest("svg"))}`);
    }
    return found;
  }

  // Words of a figure that lie on each other: a reader's own type may be wider than the one it was drawn with.
  function collisions() {
    const found = [];
    for (const figure of document.querySelectorAll("svg")) {
      const all = [...figure.querySelectorAll("text")].filter(isShown);
      const boxes = all.map((word) => word.getBoundingClientRect());
      boxes.forEach((one, i) => boxes.slice(0, i).forEach((other, j) => {
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (across > 2 && down > 2) found.push(`${named(all[j])} and ${named(all[i])} lie on each other`);
      }));
    }
    return found;
  }

  // Does a box of its own, narrower than the window, scroll or hide what is in it?
  function isBoxed(element) {
    for (let box = element.parentElement; box && box !== document.body; box = box.parentElement)
      if (getComputedStyle(box).overflowX !== "visible") return true;
    return false;
  }

  function wide(window) {
    const found = [];
    const page = document.documentElement.scrollWidth;
    if (page > window) found.push(`the page is ${page} px wide`);
    for (const element of document.body.querySelectorAll("*")) {
      const { left, right, width } = element.getBoundingClientRect();
      if (width > 0 && (right > window + 1 || left < -1) && isShown(element) && !isBoxed(element))
        found.push(`${named(element)} reaches from ${Math.round(left)} to ${Math.round(right)} px`);
    }
    return found;
  }

  // A sub- or superscript is smaller than its word; the word's size counts.
  function sized(element) {
    const whole = element.closest("sub, sup")?.parentElement ?? element;
    return parseFloat(getComputedStyle(whole).fontSize);
  }

  // A figure's text is scaled (and turned) with the figure: the size that reaches the screen counts.
  function scaled(element) {
    const whole = element.closest("text");
    const { a, b, c, d } = whole.getScreenCTM();
    return parseFloat(getComputedStyle(whole).fontSize) * Math.sqrt(Math.abs(a * d - b * c));
  }

  function small(nodes, size, least) {
    return [...nodes].map((node) => node.parentElement).filter((element) => size(element) < least)
      .map((element) => `${named(element)} is ${size(element).toFixed(1)} px`);
  }

  const smallText = (least) => small(pageTexts(), sized, least);
  const smallFigureText = (least) => small(figureTexts(), scaled, least);

  // Links within the page, and what a figure uses of itself.
  function lostLinks() {
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    const known = new Set(ids);
    const found = [];
    for (const element of document.querySelectorAll("*")) {
      const used = [element.getAttribute("href"), element.getAttribute("xlink:href"), element.getAttribute("clip-path")]
        .map((value) => value?.match(/^(?:url\()?["']?#([^"')]*)/)?.[1]);
      for (const id of used) if (id !== undefined && !known.has(decodeURIComponent(id))) found.push(`nothing is called #${id}`);
    }
    for (const id of known) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`several things are called #${id}`);
    return found;
  }

  function headings() {
    const shown = [...document.querySelectorAll("h1")].filter((heading) => isShown(heading) && words(heading.textContent));
    return shown.length === 1 ? [] : [`${shown.length} headings of the page`];
  }

  // Colors by painting them, so that any way to write one and any transparency counts as it looks.
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const painted = new Map();

  function paint(layers) {
    const key = layers.join("|");
    if (!painted.has(key)) {
      for (const [color, opacity] of layers) {
        brush.globalAlpha = opacity;
        brush.fillStyle = color;
        brush.fillRect(0, 0, 1, 1);
      }
      painted.set(key, [...brush.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
    }
    return painted.get(key);
  }

  // WCAG 2.2, "relative luminance" and "contrast ratio".
  function luminance(color) {
    const [red, green, blue] = color.map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function ratio(front, back) {
    const [dark, light] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  function behind(element) {
    const layers = [["Canvas", 1]];
    const chain = [];
    for (let box = element; box; box = box.parentElement) chain.unshift(box);
    for (const box of chain) layers.push([getComputedStyle(box).backgroundColor, 1]);
    return layers;
  }

  function opacity(element) {
    let product = 1;
    for (let box = element; box; box = box.parentElement) product *= parseFloat(getComputedStyle(box).opacity);
    return product;
  }

  function contrast(element, layers, color) {
    return ratio(paint([...layers, [color, opacity(element)]]), paint(layers));
  }

  function faint(least) {
    const found = [];
    for (const { parentElement: element } of pageTexts()) {
      const seen = contrast(element, behind(element), getComputedStyle(element).color);
      if (seen < least) found.push(`${named(element)} has a contrast of ${seen.toFixed(2)}`);
    }
    return found;
  }

  // The fill of the last shape drawn under the middle of a figure's word, if any.
  function fillUnder(element) {
    const figure = element.closest("svg");
    const { left, top, width, height } = element.getBoundingClientRect();
    const middle = new DOMPoint(left + width / 2, top + height / 2);
    return [...figure.querySelectorAll("path, rect, circle, polygon")].findLast((shape) =>
      shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING && !shape.closest("defs")
      && getComputedStyle(shape).fill !== "none"
      && shape.isPointInFill(middle.matrixTransform(shape.getScreenCTM().inverse())));
  }

  function faintFigureText(least) {
    const found = [];
    for (const { parentElement: element } of figureTexts()) {
      const layers = behind(element.closest("svg"));
      const shape = fillUnder(element);
      if (shape) layers.push([getComputedStyle(shape).fill, getComputedStyle(shape).fillOpacity * opacity(shape)]);
      const seen = contrast(element, layers, getComputedStyle(element).fill);
      if (seen < least) found.push(`${named(element)} in ${named(element.closest("svg"))} has a contrast of ${seen.toFixed(2)}`);
    }
    return found;
  }

  return { open, undrawn, collisions, wide, smallText, smallFigureText, lostLinks, headings, faint, faintFigureText };
})();
