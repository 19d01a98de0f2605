"use strict";

// What scripts say is in all languages of the page, as everything on it; its style shows one.

// Returns the words of a figure, which stand in its data-words: by key, each a text or an object
// with one for each language.
function wordsOf(figure) {
  return JSON.parse(figure.dataset.words);
}

// Returns HTML: the words with {name} replaced by the values, which may themselves be words.
function say(words, values = {}, tag = "span") {
  if (typeof words === "string") return fill(words, values);
  return Object.entries(words)
    .map(([language, text]) => `<${tag} lang="${language}">${fill(text, values, language)}</${tag}>`)
    .join("");
}

function fill(text, values, language) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name] ?? whole;
    return escapeText(typeof value === "object" ? value[language] : String(value));
  });
}

function escapeText(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (sign) => names[sign]);
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function superscript(exponent) {
  return String(exponent).replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPTS[digit]);
}

// Returns a number as a reader writes it: 3.2·10⁻⁵, 0.0821, 0.
function readable(value, digits = 3) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size === 0 || (size >= 0.01 && size < 1e4)) {
    return String(Number(value.toPrecision(digits))).replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = `10${superscript(Number(exponent))}`;
  const shortened = String(Number(mantissa)).replace("-", "−");
  return shortened === "1" ? power : `${shortened}·${power}`;
}
