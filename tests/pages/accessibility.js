// What an accessibility check of a page finds: a list of sentences, empty where all is well. Run in the page.
() => {
  const found = [];
  const say = (what, element) => found.push(what + ": " + element.outerHTML.slice(0, 160));
  const seen = (element) => {
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    return style.display !== "none" && style.visibility !== "hidden" && box.width > 0 && box.height > 0;
  };
  const text = (element) => (element.textContent || "").trim();
  const named = (element) =>
    element.getAttribute("aria-label") ||
    (element.getAttribute("aria-labelledby") || "").split(" ").map((id) => text(document.getElementById(id) || { textContent: "" })).join("") ||
    [...(element.labels || [])].map(text).join("") || element.getAttribute("title") || "";

  if (!document.documentElement.lang) found.push("the page has no language");
  if (!document.title.trim()) found.push("the page has no title");
  for (const landmark of ["main", "header", "footer"]) {
    if (document.querySelectorAll("body > " + landmark).length !== 1) found.push("not one landmark " + landmark);
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) say("a heading skips a level", heading);
    if (!text(heading)) say("a heading is empty", heading);
    level = next;
  }
  const ids = new Set();
  for (const element of document.querySelectorAll("[id]")) {
    if (ids.has(element.id)) say("an id stands twice", element);
    ids.add(element.id);
  }
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const element of document.querySelectorAll("[" + attribute + "]")) {
      for (const id of element.getAttribute(attribute).split(" ")) {
        if (!document.getElementById(id)) say("it refers to nothing", element);
      }
    }
  }
  for (const picture of document.querySelectorAll("img")) if (!picture.hasAttribute("alt")) say("a picture has no alt", picture);
  for (const drawing of document.querySelectorAll("svg")) {
    if (drawing.getAttribute("aria-hidden") !== "true" && !(drawing.getAttribute("role") === "img" && named(drawing))) say("a drawing has no name", drawing);
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) if (!named(field)) say("a field has no label", field);
  for (const control of document.querySelectorAll("a[href], button, summary")) if (!text(control) && !named(control)) say("a control has no name", control);
  for (const part of document.querySelectorAll("[role=region], nav, aside, form[role=search]")) {
    if (part.matches("nav, [role=region], aside") && !named(part)) say("a region has no name", part);
  }
  for (const region of document.querySelectorAll(".scroll, .strip")) {
    const scrolls = region.scrollWidth > region.clientWidth + 1 || region.scrollHeight > region.clientHeight + 1;
    if (scrolls && region.tabIndex < 0) say("what scrolls cannot be reached by keyboard", region);
  }
  for (const table of document.querySelectorAll("table")) if (!table.querySelector("th")) say("a table has no headings", table);
  for (const list of document.querySelectorAll("ul, ol")) {
    if ([...list.children].some((child) => child.tagName !== "LI")) say("a list holds what is no item", list);
  }

  const channels = (colour) => {
    const numbers = (colour.match(/[\d.]+%?/g) || []).map(parseFloat);
    return colour.startsWith("color(") ? [...numbers.slice(0, 3).map((n) => 255 * n), numbers[3] ?? 1] : [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((n) => n / 255).map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] >= 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.nodeValue.trim() || !seen(element) || element.closest("script, style, title, .hidden, [hidden]")) continue;
    const style = getComputedStyle(element);
    const ink = channels(element.closest("svg") ? style.fill : style.color), ground = behind(element);
    const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5)) say("contrast " + ratio.toFixed(2), element);
  }
  for (const control of document.querySelectorAll("button, select, nav a, input:not([type=hidden]):not([type=file])")) {
    const box = control.getBoundingClientRect();
    const label = control.closest("label");
    const large = label ? label.getBoundingClientRect() : box;
    if (seen(control) && Math.max(box.height, large.height) < 24) say("a target is smaller than 24 pixels", control);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than its window by " + (document.documentElement.scrollWidth - innerWidth));
  return found;
}
