"use strict";

// A slider shows one frame of the drawings of its figure; nothing is computed here.
for (const control of document.querySelectorAll(".slider")) {
  const slider = control.querySelector("input");
  const output = control.querySelector("output");
  const readouts = JSON.parse(control.dataset.readouts);
  const frames = control.closest("figure").querySelectorAll("[data-frame]");
  const show = () => {
    for (const frame of frames) {
      frame.classList.toggle("shown", frame.dataset.frame === slider.value);
    }
    output.innerHTML = readouts[slider.value];
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  slider.hidden = false;
  slider.addEventListener("input", show);
  show();
}

// The page follows the reader's setting until the button says otherwise.
const root = document.documentElement;
const button = document.getElementById("theme");
button.hidden = false;
button.addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
