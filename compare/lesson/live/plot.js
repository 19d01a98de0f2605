"use strict";

// A small plot within an <svg>: axes with ticks, lines and dots, linear or logarithmic.

const PLOT = { width: 345, height: 270, left: 56, right: 12, top: 10, bottom: 46 };

// An axis from `low` to `high`; `log` ones are given, and ticked, in powers of ten.
function axis(low, high, log = false) {
  const inside = (value) => (log ? Math.log10(value) : value);
  const [from, to] = [inside(low), inside(high)];
  return {
    share: (value) => (inside(value) - from) / (to - from),
    valueAt: (share) => from + share * (to - from),
    ticks: log ? powers(from, to) : steps(from, to),
    log,
  };
}

function powers(from, to) {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const pitch = Math.max(1, Math.ceil((high - low) / 6));
  const found = [];
  for (let power = Math.ceil(low / pitch) * pitch; power <= high; power += pitch) {
    found.push([10 ** power, `10${superscript(power)}`]);
  }
  return found;
}

function steps(from, to) {
  const rough = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const pitch = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough);
  const found = [];
  for (let tick = Math.ceil(from / pitch) * pitch; tick <= to + pitch / 1e6; tick += pitch) {
    found.push([tick, readable(Math.abs(tick) < pitch / 1e6 ? 0 : tick)]);
  }
  return found;
}

class Plot {
  constructor(svg, x, y, labels, height = PLOT.height) {
    Object.assign(this, { svg, x, y, height, parts: [] });
    svg.setAttribute("viewBox", `0 0 ${PLOT.width} ${height}`);
    this.frame(labels);
  }

  at(x, y) {
    const { width, left, right, top, bottom } = PLOT;
    const { height } = this;
    return [
      left + this.x.share(x) * (width - left - right),
      height - bottom - this.y.share(y) * (height - top - bottom),
    ];
  }

  frame(labels) {
    const { width, left, right, top, bottom } = PLOT;
    const { height } = this;
    const [x0, y0, x1, y1] = [left, height - bottom, width - right, top];
    for (const [value, text] of this.x.ticks) {
      const x = x0 + this.x.share(value) * (x1 - x0);
      this.parts.push(`<line class="grid" x1="${x}" x2="${x}" y1="${y0}" y2="${y1}"/>`);
      this.text(x, y0 + 16, text, "middle");
    }
    for (const [value, text] of this.y.ticks) {
      const y = y0 + this.y.share(value) * (y1 - y0);
      this.parts.push(`<line class="grid" x1="${x0}" x2="${x1}" y1="${y}" y2="${y}"/>`);
      this.text(x0 - 6, y + 4, text, "end");
    }
    this.parts.push(`<path class="axes" d="M${x0} ${y1}V${y0}H${x1}"/>`);
    this.text((x0 + x1) / 2, height - 6, labels.x, "middle");
    this.parts.push(`<g transform="translate(13 ${(y0 + y1) / 2}) rotate(-90)">`);
    this.text(0, 0, labels.y, "middle");
    this.parts.push("</g>");
  }

  // `text` is words or plain; on top of all else.
  text(x, y, text, anchor = "start", style = "") {
    const inner = say(text, {}, "tspan");
    this.parts.push(`<text class="${style}" x="${x}" y="${y}" text-anchor="${anchor}">${inner}</text>`);
  }

  // Points that are not finite, or far outside, interrupt the line.
  line(points, style) {
    let path = "";
    let pen = "M";
    for (const [x, y] of points) {
      const [left, top] = this.at(x, y);
      if (Number.isFinite(left) && Number.isFinite(top) && Math.abs(top) < 1e4) {
        path += `${pen}${left.toFixed(1)} ${top.toFixed(1)}`;
        pen = "L";
      } else {
        pen = "M";
      }
    }
    this.parts.push(`<path class="line ${style}" d="${path}" clip-path="url(#${this.svg.id}-clip)"/>`);
  }

  // Many short lines, drawn as one.
  segments(lines, style) {
    const path = lines
      .map((line) => line.map(([x, y]) => this.at(x, y).map((value) => value.toFixed(1)).join(" ")))
      .map(([from, to]) => `M${from}L${to}`)
      .join("");
    this.parts.push(`<path class="line ${style}" d="${path}"/>`);
  }

  dot(x, y, style, radius = 5) {
    const [left, top] = this.at(x, y);
    if (Number.isFinite(left) && Number.isFinite(top)) {
      this.parts.push(
        `<circle class="dot ${style}" cx="${left}" cy="${top}" r="${radius}" clip-path="url(#${this.svg.id}-clip)"/>`,
      );
    }
  }

  // A name for each style of line, in the upper corner or from another place downwards.
  legend(names, x = PLOT.left + 12, y = PLOT.top + 14) {
    names.forEach(([style, text], row) => {
      const height = y + 16 * row;
      this.parts.push(`<path class="line ${style}" d="M${x} ${height - 4}h22"/>`);
      this.text(x + 28, height, text);
    });
  }

  // The coordinates of a place on the screen; both axes are linear.
  placeOf(clientX, clientY) {
    const place = new DOMPoint(clientX, clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    const { width, left, right, top, bottom } = PLOT;
    return [
      this.x.valueAt((place.x - left) / (width - left - right)),
      this.y.valueAt((this.height - bottom - place.y) / (this.height - top - bottom)),
    ];
  }

  show() {
    const { width, left, right, top, bottom } = PLOT;
    const { height } = this;
    const clip =
      `<clipPath id="${this.svg.id}-clip"><rect x="${left}" y="${top - 4}" ` +
      `width="${width - left - right + 4}" height="${height - top - bottom + 8}"/></clipPath>`;
    this.svg.innerHTML = clip + this.parts.join("");
  }
}
