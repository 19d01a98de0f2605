"use strict";

// One of the alternatives in a figure's drawings is shown; nothing is computed here.
for (const control of document.querySelectorAll(".alternatives")) {
  const inputs = [...control.querySelectorAll("input")];
  const output = control.querySelector("output");
  const readouts = JSON.parse(control.dataset.readouts);
  const drawn = control.closest("figure").querySelectorAll('[id*="-alternative-"]');
  const show = () => {
    const { value } = inputs.find((input) => input.checked);
    for (const part of drawn) {
      part.style.display = part.id.endsWith(`-alternative-${value}`) ? "inline" : "none";
    }
    output.innerHTML = readouts[value];
  };
  control.querySelector("fieldset").hidden = false;
  control.addEventListener("input", show);
  show();
}

// Code is copied as it stands, where the browser lets a page do so.
for (const button of document.querySelectorAll(".copy")) {
  const code = button.parentElement.querySelector("code");
  const done = () => {
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 2000);
  };
  const select = () => {
    getSelection().selectAllChildren(code);
    if (document.execCommand("copy")) done();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (!navigator.clipboard) select();
    else navigator.clipboard.writeText(code.textContent).then(done, select);
  });
}

// Words stand on the page in all its languages; the root's one is shown.
const chooser = document.getElementById("language");
if (chooser) {
  chooser.hidden = false;
  chooser.addEventListener("change", () => {
    document.documentElement.lang = chooser.value;
    document.title = document.querySelector("h1").innerText;
    for (const element of document.querySelectorAll("[data-spoken]")) {
      element.setAttribute("aria-label", JSON.parse(element.dataset.spoken)[chooser.value]);
    }
    for (const option of document.querySelectorAll("option[data-said]")) {
      option.textContent = JSON.parse(option.dataset.said)[chooser.value];
    }
  });
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
