"use strict";

// Reads a formula in x and turns it into a function over any kind of numbers. Nothing that a
// reader types is ever run as a program: what is not in this grammar is refused.
//
//   sum     = product (("+" | "-") product)*
//   product = signed (("*" | "/") signed)*
//   signed  = "-" signed | power
//   power   = atom (("**" | "^") signed)?
//   atom    = number | "x" | "pi" | "e" | name "(" sum ")" | "(" sum ")"

const CONSTANTS = { pi: Math.PI, e: Math.E };
const FUNCTIONS = {
  sin: [Math.sin, Math.cos],
  cos: [Math.cos, (x) => -Math.sin(x)],
  tan: [Math.tan, (x) => 1 / Math.cos(x) ** 2],
  tanh: [Math.tanh, (x) => 1 / Math.cosh(x) ** 2],
  exp: [Math.exp, Math.exp],
  log: [Math.log, (x) => 1 / x],
  sqrt: [Math.sqrt, (x) => 0.5 / Math.sqrt(x)],
  abs: [Math.abs, (x) => (x === 0 ? NaN : Math.sign(x))],
};

// Real numbers that are rounded after each operation: Math.fround makes them float32.
function rounded(round) {
  return {
    number: round,
    "+": (a, b) => round(a + b),
    "-": (a, b) => round(a - b),
    "*": (a, b) => round(a * b),
    "/": (a, b) => round(a / b),
    "**": (a, b) => round(a ** b),
    call: (name, a) => round(FUNCTIONS[name][0](a)),
  };
}
const FLOAT64 = rounded((a) => a);
const FLOAT32 = rounded(Math.fround);

// Numbers with their derivative beside them: forward mode, exact to rounding.
const DUAL = {
  number: (value) => ({ value, slope: 0 }),
  "+": (a, b) => ({ value: a.value + b.value, slope: a.slope + b.slope }),
  "-": (a, b) => ({ value: a.value - b.value, slope: a.slope - b.slope }),
  "*": (a, b) => ({ value: a.value * b.value, slope: a.slope * b.value + a.value * b.slope }),
  "/": (a, b) => ({
    value: a.value / b.value,
    slope: (a.slope - (a.value / b.value) * b.slope) / b.value,
  }),
  "**": (a, b) => {
    const value = a.value ** b.value;
    const byBase = a.slope === 0 ? 0 : b.value * a.value ** (b.value - 1) * a.slope;
    const byExponent = b.slope === 0 ? 0 : value * Math.log(a.value) * b.slope;
    return { value, slope: byBase + byExponent };
  },
  call: (name, a) => ({
    value: FUNCTIONS[name][0](a.value),
    slope: a.slope === 0 ? 0 : FUNCTIONS[name][1](a.value) * a.slope,
  }),
};

// What cannot be read: `key` says why, `what` is the piece in the way.
class NotAFormula extends Error {
  constructor(key, what = "") {
    super(`${key}: ${what}`);
    this.key = key;
    this.what = what;
  }
}

// Returns (x, arithmetic) => value, or throws NotAFormula.
function readFormula(text) {
  const tokens = text.match(/\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+|[a-z_]\w*|\*\*|\S/gi) ?? [];
  let place = 0;
  const take = (...wanted) => (wanted.includes(tokens[place]) ? tokens[place++] : undefined);
  const expect = (wanted) => {
    if (!take(wanted)) throw new NotAFormula("missing", wanted);
  };

  const chain = (next, ...signs) => {
    let left = next();
    for (let sign = take(...signs); sign; sign = take(...signs)) {
      const [a, b, operation] = [left, next(), sign];
      left = (x, using) => using[operation](a(x, using), b(x, using));
    }
    return left;
  };
  const sum = () => chain(product, "+", "-");
  const product = () => chain(signed, "*", "/");
  const signed = () => {
    if (!take("-")) return power();
    const of = signed();
    return (x, using) => using["-"](using.number(0), of(x, using));
  };
  const power = () => {
    const base = atom();
    if (!take("**", "^")) return base;
    const exponent = signed();
    return (x, using) => using["**"](base(x, using), exponent(x, using));
  };
  const atom = () => {
    const token = tokens[place++];
    if (token === undefined) throw new NotAFormula("unfinished");
    if (token === "(") {
      const inside = sum();
      expect(")");
      return inside;
    }
    if (/^[\d.]/.test(token)) return (x, using) => using.number(Number(token));
    if (token === "x") return (x) => x;
    if (Object.hasOwn(CONSTANTS, token)) return (x, using) => using.number(CONSTANTS[token]);
    if (Object.hasOwn(FUNCTIONS, token)) {
      expect("(");
      const inside = sum();
      expect(")");
      return (x, using) => using.call(token, inside(x, using));
    }
    throw new NotAFormula(/^\w/.test(token) ? "unknown" : "unexpected", token);
  };

  const whole = sum();
  if (place < tokens.length) throw new NotAFormula("unexpected", tokens[place]);
  return whole;
}
