// Figures answer the reader: values are read off, normalizers are switched off, two of them are
// highlighted in all figures, and one learning rate is picked for the page.
{
  const controls = document.getElementById("controls");
  const form = controls.querySelector("form");
  const tip = document.querySelector(".tip");
  const marks = [...document.querySelectorAll("svg [data-normalizer]")];
  const panels = [...document.querySelectorAll("svg [data-lr]")];
  const distinct = (values) => [...new Set(values)];
  const normalizers = distinct(marks.map((mark) => mark.dataset.normalizer));
  const rates = distinct(panels.map((panel) => panel.dataset.lr)).sort((a, b) => a - b);

  // The controls, and what they do to every figure.
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const colorOf = (normalizer) => {
    const own = marks.filter(
      (mark) => mark.dataset.normalizer === normalizer && mark.dataset.reads !== "cell",
    );
    const strokes = own.flatMap((mark) => [...mark.querySelectorAll(":scope > path")]);
    const colors = strokes.map((path) => path.style.stroke);
    return colors.find((color) => color && color !== "none") ?? "transparent";
  };
  const swatch = (normalizer) => {
    const stripe = make("i", {});
    stripe.style.background = colorOf(normalizer);
    return stripe;
  };
  for (const normalizer of normalizers) {
    const box = make("input", { type: "checkbox", name: "shown", value: normalizer });
    box.defaultChecked = true;
    form.querySelector("fieldset").append(make("label", {}, box, swatch(normalizer), normalizer));
    for (const choice of [form.first, form.second]) choice.add(new Option(normalizer, normalizer));
  }
  for (const rate of rates) form.rate.add(new Option(rate, rate));
  form.rate.parentElement.hidden = rates.length < 2;

  const described = (shown, lit, rate) =>
    [
      shown.length === normalizers.length
        ? "all normalizers"
        : `${shown.length} of ${normalizers.length} normalizers`,
      ...(lit.length ? [`${lit.join(" and ")} highlighted`] : []),
      rate ? `learning rate ${rate}` : "all learning rates",
    ].join(", ");

  const apply = () => {
    const shown = new FormData(form).getAll("shown");
    const lit = distinct([form.first.value, form.second.value].filter(Boolean));
    for (const mark of marks) {
      const own = lit.includes(mark.dataset.normalizer);
      const inKey = mark.closest("[data-box]") === null;
      const off = !shown.includes(mark.dataset.normalizer);
      mark.classList.toggle("off", off && !inKey);
      mark.classList.toggle("faint", (off && inKey) || (lit.length > 0 && !own));
      mark.classList.toggle("lit", own);
    }
    for (const panel of panels) {
      const away = form.rate.value !== "" && panel.dataset.lr !== form.rate.value;
      panel.classList.toggle("away", away);
    }
    controls.querySelector("output").textContent = described(shown, lit, form.rate.value);
    hide();
  };
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());

  const highlight = (normalizer) => {
    const own = [form.first, form.second].find((choice) => choice.value === normalizer);
    const free = form.first.value === "" ? form.first : form.second;
    if (own) own.value = "";
    else free.value = normalizer;
    apply();
  };

  // Values: the nearest point under the pointer, or one after the other by the keyboard.
  const pointsOf = (mark) => {
    let [x, y] = [0, 0];
    return mark.dataset.points.split(";").map((point) => {
      const [right, down, ...values] = point.split(",").map(Number);
      [x, y] = [x + right / 10, y + down / 10];
      return [x, y, ...values];
    });
  };
  const seriesOf = (drawing) =>
    [...drawing.querySelectorAll("[data-points]")].map((mark) => ({
      mark,
      panel: mark.closest("[data-box]"),
      points: pointsOf(mark),
    }));
  const isVisible = ({ mark, panel }) => !mark.matches(".off") && !panel.matches(".away");

  const cell = (panel, [x, , value, ...ends]) => {
    const lost = { Infinity: "diverged", NaN: "no estimate" }[value] ?? value;
    const interval = ends.length ? ` [${ends.join(", ")}]` : "";
    return `${JSON.parse(panel.dataset.names)[Math.floor(x)]}\n${panel.dataset.y}: ${lost}${interval}`;
  };
  const words = ({ mark, panel }, [, , x, y, ...ends]) => {
    if (mark.dataset.reads === "cell") {
      return `${mark.dataset.normalizer}: ${cell(panel, [x, y, ...ends])}`;
    }
    const interval = ends.length ? ` [${ends.join(", ")}]` : "";
    const across = mark.dataset.reads === "x";
    const lines = [mark.dataset.normalizer + (panel.dataset.title && `: ${panel.dataset.title}`)];
    lines.push(`${panel.dataset.x}: ${x}${across ? interval : ""}`);
    if (!across) lines.push(`${panel.dataset.y}: ${y}${interval}`);
    return lines.join("\n");
  };

  const hide = () => {
    tip.hidden = true;
    for (const ring of document.querySelectorAll("svg .read")) ring.remove();
  };
  const ringAt = (svg, [x, y]) => {
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of [["class", "read"], ["cx", x], ["cy", y], ["r", 4]]) {
      ring.setAttribute(name, value);
    }
    svg.append(ring);
    return ring;
  };
  const show = (series, point, scroll) => {
    hide();
    const ring = ringAt(series.mark.ownerSVGElement, point);
    if (scroll) ring.scrollIntoView({ block: "nearest", inline: "nearest" });
    tip.textContent = words(series, point);
    tip.hidden = false;
    const at = ring.getBoundingClientRect();
    const most = document.documentElement.clientWidth - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(4, Math.min(at.right + 6, most)) + scrollX}px`;
    const above = at.top - tip.offsetHeight - 4;
    tip.style.top = `${(above > 0 ? above : at.bottom + 4) + scrollY}px`;
  };

  const nearest = (all, x, y) => {
    let [best, distance] = [null, Infinity];
    for (const series of all) {
      const [left, top, right, bottom] = series.panel.dataset.box.split(" ").map(Number);
      if (x < left - 4 || x > right + 4 || y < top - 4 || y > bottom + 4) continue;
      for (const point of series.points) {
        const own = (point[0] - x) ** 2 + (point[1] - y) ** 2;
        if (own < distance) [best, distance] = [[series, point], own];
      }
    }
    return best;
  };

  const pointed = (all, svg) => (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(
      svg.getScreenCTM().inverse(),
    );
    const found = nearest(all().filter(isVisible), x, y);
    if (found) show(...found, false);
    else hide();
  };

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const pressed = (all) => {
    let [line, place] = [null, 0];
    return (event) => {
      if (event.key === "Escape") hide();
      const step = STEPS[event.key];
      const lines = all().filter(isVisible);
      if (!step || lines.length === 0) return;
      event.preventDefault();
      const known = lines.indexOf(line);
      const [down, along] = known < 0 || tip.hidden ? [0, 0] : step;
      line = lines[(Math.max(known, 0) + down + lines.length) % lines.length];
      place = Math.max(0, Math.min(place + along, line.points.length - 1));
      show(line, line.points[place], true);
    };
  };

  for (const drawing of document.querySelectorAll(".drawing")) {
    const svg = drawing.querySelector("svg");
    if (svg === null || drawing.querySelector("[data-normalizer]") === null) continue;
    let known = null;
    const all = () => (known ??= seriesOf(drawing));
    drawing.setAttribute("aria-describedby", "reading");
    svg.addEventListener("pointermove", pointed(all, svg));
    svg.addEventListener("pointerleave", hide);
    drawing.addEventListener("keydown", pressed(all));
    drawing.addEventListener("blur", hide);
    svg.addEventListener("click", (event) => {
      const mark = event.target.closest("[data-normalizer]");
      if (mark && mark.closest("[data-box]") === null) highlight(mark.dataset.normalizer);
    });
  }
  controls.hidden = normalizers.length === 0;
}
