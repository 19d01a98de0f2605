"use strict";

// Walks through a computation graph: shows the parts of one step, and says its sentence.
// What each part and each step is stands in the page; nothing is computed here.
for (const figure of document.querySelectorAll(".stepper")) {
  const said = JSON.parse(figure.dataset.said);
  const output = figure.querySelector("output");
  const explained = figure.querySelector(".explained");
  const hint = explained.innerHTML;
  const nodes = [...figure.querySelectorAll(".node")];
  const button = (name) => figure.querySelector(`[data-do=${name}]`);
  let now = 0;
  let timer = 0;

  const show = (step) => {
    now = Math.max(0, Math.min(said.length - 1, step));
    for (const part of figure.querySelectorAll("[data-step]")) {
      const { step: first, until } = part.dataset;
      part.classList.toggle("done", first <= now && !(until <= now));
    }
    for (const part of figure.querySelectorAll("[data-on]")) {
      part.classList.toggle("done", part.dataset.on.split(" ").includes(String(now)));
    }
    figure.dataset.now = now;
    output.innerHTML = said[now];
    button("back").disabled = now === 0;
    button("step").disabled = now === said.length - 1;
    if (now === said.length - 1) stop();
  };

  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button("play").hidden = false;
    button("pause").hidden = true;
  };
  const play = () => {
    if (now === said.length - 1) show(0);
    timer = setInterval(() => show(now + 1), 1500);
    button("play").hidden = true;
    button("pause").hidden = false;
  };

  const doing = {
    step: () => { stop(); show(now + 1); },
    back: () => { stop(); show(now - 1); },
    play,
    pause: stop,
    reset: () => { stop(); show(0); },
  };
  for (const [name, act] of Object.entries(doing)) {
    button(name).addEventListener("click", () => {
      const focused = document.activeElement === button(name);
      act();
      // Focus must not be lost with a button that hides or rests.
      if (focused && (button(name).hidden || button(name).disabled)) {
        [...figure.querySelectorAll("button")].find((b) => !b.hidden && !b.disabled).focus();
      }
    });
  }

  // One node at a time can be reached with the tabulator; up and down move among them.
  const focus = (place) => {
    nodes.forEach((node, number) => node.setAttribute("tabindex", number === place ? 0 : -1));
    nodes[place].focus();
  };
  const keys = {
    ArrowRight: doing.step,
    ArrowLeft: doing.back,
    " ": () => (timer ? stop() : play()),
    r: doing.reset,
    ArrowDown: () => focus(Math.min(nodes.length - 1, nodes.indexOf(document.activeElement) + 1)),
    ArrowUp: () => focus(Math.max(0, nodes.indexOf(document.activeElement) - 1)),
  };
  figure.addEventListener("keydown", (event) => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const onButton = event.key === " " && event.target.matches("button");
    if (!act || onButton || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });

  for (const node of nodes) {
    node.setAttribute("tabindex", node === nodes[0] ? 0 : -1);
    const explain = () => { explained.textContent = node.getAttribute("aria-label"); };
    const leave = () => { explained.innerHTML = hint; };
    node.addEventListener("pointerenter", explain);
    node.addEventListener("focus", explain);
    node.addEventListener("pointerleave", leave);
    node.addEventListener("blur", leave);
  }

  figure.classList.add("live");
  for (const part of figure.querySelectorAll(".buttons, .keys")) part.hidden = false;
  stop();
  show(0);
}
