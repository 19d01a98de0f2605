"use strict";

// The error of differences against the step, for any function, point, step and dtype.
for (const lab of document.querySelectorAll("#step-lab")) {
  const words = wordsOf(lab);
  const control = Object.fromEntries(
    [...lab.querySelectorAll("[name]")].map((element) => [element.name, element]),
  );
  const book = Object.entries(control).map(([name, element]) => [name, element.value]);
  const steps = Array.from({ length: 161 }, (_, index) => 10 ** (-index / 10));
  const [errors, microscope] = lab.querySelectorAll("svg");
  const output = lab.querySelector("output");

  const difference = (f, x, h, using, ways) => {
    const round = using.number;
    const [at, step] = [round(x), round(h)];
    const [ahead, behind] = [round(at + step), ways === 2 ? round(at - step) : at];
    return round(round(f(ahead, using) - f(behind, using)) / round(ways * step));
  };

  const draw = (f) => {
    const x = Number(control.point.value);
    const h = 10 ** Number(control.step.value);
    const using = control.dtype.value === "float32" ? FLOAT32 : FLOAT64;
    const exact = f({ value: x, slope: 1 }, DUAL).slope;
    const scale = exact === 0 ? 1 : Math.abs(exact);
    const off = (step, ways) => Math.abs(difference(f, x, step, using, ways) - exact) / scale;
    // An error of exactly zero has no place on a logarithmic axis.
    const seen = (step, ways) => [step, Math.max(off(step, ways), 1e-17)];

    const plot = new Plot(errors, axis(2, 5e-17, true), axis(3e-18, 30, true), {
      x: words.step,
      y: exact === 0 ? words.error : words.relative,
    });
    plot.line(steps.map((step) => seen(step, 1)), "second");
    plot.line(steps.map((step) => seen(step, 2)), control.dtype.value);
    plot.line([[h, 1e-18], [h, 100]], "now");
    plot.dot(...seen(h, 2), "now");
    // Errors are large on the left, whatever the function: the corner below them is free.
    const names = [["second", words.forward], [control.dtype.value, words.central]];
    plot.legend(names, PLOT.left + 12, PLOT.height - PLOT.bottom - 24);
    plot.show();

    const near = Array.from({ length: 161 }, (_, index) => (index - 80) / 40);
    const unit = h * (exact === 0 ? 1 : exact);
    const at = f(using.number(x), using);
    const rise = (share) =>
      using.number(f(using.number(using.number(x) + using.number(share * h)), using) - at) / unit;
    const view = new Plot(microscope, axis(-2, 2), axis(-3, 3), { x: words.shares, y: words.rise });
    view.line([[-2, exact === 0 ? 0 : -2], [2, exact === 0 ? 0 : 2]], "second");
    view.line(near.map((share) => [share, rise(share)]), control.dtype.value);
    for (const share of [-1, 1]) view.dot(share, rise(share), "now");
    view.show();

    const found = difference(f, x, h, using, 2);
    const sides = [1, -1].map((side) => difference(f, x, side * 1e-7, FLOAT64, 1));
    const values = {
      step: readable(h),
      point: readable(x),
      found: readable(found, 10),
      exact: readable(exact, 10),
      off: readable(off(h, 2), 2),
      right: readable(sides[0], 4),
      left: readable(sides[1], 4),
    };
    output.innerHTML = say(Number.isFinite(exact) ? words.found : words.noslope, values);
  };

  const update = () => {
    const own = control.function.value === "own";
    control.own.closest("label").hidden = !own;
    for (const name of ["point", "step"]) {
      const value = Number(control[name].value);
      const shown = name === "step" ? readable(10 ** value) : readable(value);
      control[name].setAttribute("aria-valuetext", shown);
      control[name].nextElementSibling.textContent = shown;
    }
    try {
      draw(readFormula(own ? control.own.value : control.function.value));
      control.own.removeAttribute("aria-invalid");
    } catch (refused) {
      if (!(refused instanceof NotAFormula)) throw refused;
      const known = ["x", ...Object.keys(CONSTANTS), ...Object.keys(FUNCTIONS)].join(", ");
      control.own.setAttribute("aria-invalid", "true");
      output.innerHTML = say(words[refused.key], { what: refused.what, known });
    }
  };

  for (const element of Object.values(control)) element.addEventListener("input", update);
  lab.querySelector("[data-do=reset]").addEventListener("click", () => {
    for (const [name, value] of book) control[name].value = value;
    update();
  });
  lab.hidden = false;
  update();
}
