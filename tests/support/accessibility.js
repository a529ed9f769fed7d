// Finds what keeps people from reading or operating a page: a list of complaints, empty where there are none.
// After WCAG 2.2 (AA): names, structure, and the contrast of every visible text with what lies behind it.
() => {
  const complaints = [];
  const complain = (element, text) => complaints.push(`${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""}: ${text}`);
  const visible = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(".visually-hidden");

  if (!document.documentElement.lang) complain(document.documentElement, "no language");
  if (!document.title) complain(document.documentElement, "no title");
  for (const landmark of ["header", "main", "footer", "[role=status]", "h1"]) {
    if (document.querySelectorAll(landmark).length !== 1) complain(document.body, `not exactly one ${landmark}`);
  }

  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) complain(document.body, `id ${id} twice`);
  for (const element of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(element.getAttribute("aria-labelledby"))?.textContent) complain(element, "label without text");
  }

  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) complain(heading, "a level is left out");
    level = next;
  }
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) complain(image, "no alt");
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.closest("[aria-hidden=true]")) complain(svg, "a drawing without words that is not hidden");
  }
  for (const control of document.querySelectorAll("button, a, summary")) {
    if (!control.textContent.trim()) complain(control, "no name");
  }
  for (const section of document.querySelectorAll("section, [role=region]")) {
    if (!section.hasAttribute("aria-labelledby") && !section.hasAttribute("aria-label")) complain(section, "no name");
  }
  for (const table of document.querySelectorAll("table")) {
    if (!visible(table)) continue;
    for (const th of table.querySelectorAll("th")) if (!["row", "col"].includes(th.scope)) complain(th, "no scope");
    for (const row of table.tBodies[0].rows) {
      if (row.getAttribute("aria-hidden") !== "true" && !row.querySelector("th[scope=row]")) complain(table, "a row without a head");
    }
  }
  for (const element of document.querySelectorAll(".scroll")) {
    if (visible(element) && element.scrollWidth > element.clientWidth + 1 && element.tabIndex !== 0) complain(element, "scrolls, but not by keyboard");
  }

  const channels = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !visible(element) || element.closest("script, noscript")) continue;
    const style = getComputedStyle(element);
    const [x, y] = [luminance(channels(style.color)), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (x + 0.05) / (y + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) complain(element, `contrast ${ratio.toFixed(2)} of "${walker.currentNode.data.trim().slice(0, 30)}"`);
    if (size < 11) complain(element, `letters of ${size} pixels`);
  }
  return complaints;
}
