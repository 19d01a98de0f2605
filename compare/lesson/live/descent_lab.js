"use strict";

// Gradient descent on four landscapes, from where the reader clicks.
const LANDSCAPES = {
  bowl: (a, b) => a * a + b * b,
  valley: (a, b) => (a * a) / 20 + b * b,
  saddle: (a, b) => (a * a - b * b) / 2,
  minima: (a, b) => (a * a - 9) ** 2 / 36 + (b * b) / 2,
};

// Returns the lines of height `level` over a square of `side` cells from -reach to reach.
function contour(f, level, reach, side) {
  const at = (index) => -reach + (2 * reach * index) / side;
  const lines = [];
  for (let i = 0; i < side; i += 1) {
    for (let j = 0; j < side; j += 1) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]].map(([k, l]) => [at(k), at(l)]);
      const heights = corners.map(([a, b]) => f(a, b) - level);
      const crossings = [];
      for (let edge = 0; edge < 4; edge += 1) {
        const [here, next] = [heights[edge], heights[(edge + 1) % 4]];
        if (here < 0 !== next < 0) {
          const share = here / (here - next);
          const [from, to] = [corners[edge], corners[(edge + 1) % 4]];
          crossings.push(from.map((value, way) => value + share * (to[way] - value)));
        }
      }
      for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
        lines.push([crossings[pair], crossings[pair + 1]]);
      }
    }
  }
  return lines;
}

for (const lab of document.querySelectorAll("#descent-lab")) {
  const words = wordsOf(lab);
  const control = Object.fromEntries(
    [...lab.querySelectorAll("[name]")].map((element) => [element.name, element]),
  );
  const book = Object.entries(control).map(([name, element]) => [name, element.value]);
  const [map, lengths] = lab.querySelectorAll("svg");
  const output = lab.querySelector("output");
  const [REACH, STEPS, H] = [6, 100, 1e-4];
  const START = [-3, 4];
  let start = START;
  let plot;

  const gradient = (f, [a, b]) => [
    (f(a + H, b) - f(a - H, b)) / (2 * H),
    (f(a, b + H) - f(a, b - H)) / (2 * H),
  ];

  const draw = () => {
    const f = LANDSCAPES[control.landscape.value];
    const rate = 10 ** Number(control.rate.value);
    const path = [start];
    const slopes = [gradient(f, start)];
    for (let step = 0; step < STEPS; step += 1) {
      const slope = slopes.at(-1);
      path.push(path.at(-1).map((value, way) => value - rate * slope[way]));
      slopes.push(gradient(f, path.at(-1)));
    }

    const side = axis(-REACH, REACH);
    const square = PLOT.width - PLOT.left - PLOT.right + PLOT.top + PLOT.bottom;
    plot = new Plot(map, side, side, { x: "x₀", y: "x₁" }, square);
    for (const level of [-12, -8, -4, -1, 0.3, 1, 2, 4, 8, 16, 32]) {
      plot.segments(contour(f, level, REACH, 40), "height");
    }
    plot.line(path, "now");
    for (const [a, b] of path.slice(1)) {
      if (Math.max(Math.abs(a), Math.abs(b)) <= REACH) plot.dot(a, b, "now", 3);
    }
    plot.dot(...start, "start", 6);
    plot.show();

    const sizes = slopes.map(([a, b]) => Math.hypot(a, b));
    const names = { x: words.step, y: words.length };
    const chart = new Plot(lengths, axis(0, STEPS), axis(1e-12, 1e6, true), names, square);
    // A gradient of exactly zero is drawn at the lower end.
    chart.line(sizes.map((size, step) => [step, Math.max(size, 1e-12)]), "now");
    chart.show();

    const end = path.at(-1);
    const [before, after] = [sizes[0], sizes.at(-1)];
    let verdict = "slow";
    if (!(after <= before) || end.some((value) => Math.abs(value) > 1e3)) verdict = "away";
    else if (after < before / 1e3 || after < 1e-6) verdict = "there";
    output.innerHTML = say(words.found, {
      start: `(${start.map((value) => readable(value)).join(", ")})`,
      rate: readable(rate),
      end: `(${end.map((value) => readable(value)).join(", ")})`,
      height: readable(f(...end)),
      verdict: words[verdict],
    });
    control.rate.setAttribute("aria-valuetext", readable(rate));
    control.rate.nextElementSibling.textContent = readable(rate);
  };

  const startAt = (a, b) => {
    start = [a, b].map((value) => Math.max(-REACH, Math.min(REACH, Math.round(value * 10) / 10)));
    draw();
  };
  map.addEventListener("click", (event) => {
    startAt(...plot.placeOf(event.clientX, event.clientY));
  });
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  map.addEventListener("keydown", (event) => {
    if (!moves[event.key]) return;
    event.preventDefault();
    startAt(...start.map((value, way) => value + moves[event.key][way] / 5));
  });

  for (const element of Object.values(control)) element.addEventListener("input", draw);
  lab.querySelector("[data-do=reset]").addEventListener("click", () => {
    for (const [name, value] of book) control[name].value = value;
    start = START;
    draw();
  });
  lab.hidden = false;
  draw();
}
