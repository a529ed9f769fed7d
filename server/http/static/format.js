// Figures as text. Nothing known is an en dash; a figure keeps its width from one second to the next where it can.

export const UNKNOWN = "\u2013";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : UNKNOWN);

// Per second.
export function rate(value) {
  if (!known(value)) return UNKNOWN;
  return value > 0 && value < 10 ? value.toFixed(1) : whole.format(value);
}

// A mean of small numbers.
export const mean = (value) => (known(value) ? value.toFixed(1) : UNKNOWN);

// A share of one, as per cent: cut, not rounded, for 99.96 % is not all.
export function percent(value) {
  if (!known(value)) return UNKNOWN;
  const cut = Math.floor(value * 1000 + 1e-9) / 10;
  return `${cut === Math.floor(cut) ? cut : cut.toFixed(1)}\u202f%`;
}

// A span of computing or waiting.
export function span(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const ms = seconds * 1000;
  if (ms >= 10000) return `${seconds.toFixed(0)}\u202fs`;
  if (ms >= 1000) return `${seconds.toFixed(2)}\u202fs`;
  if (ms >= 100) return `${ms.toFixed(0)}\u202fms`;
  return ms === 0 ? "0\u202fms" : `${ms.toFixed(ms < 10 ? 2 : 1)}\u202fms`;
}

// A span of a person's day.
export function age(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const s = Math.floor(seconds);
  if (s < 60) return `${s}\u202fs`;
  if (s < 3600) return `${Math.floor(s / 60)}\u202fmin`;
  if (s < 86400) return `${Math.floor(s / 3600)}\u202fh ${Math.floor((s % 3600) / 60)}\u202fmin`;
  return `${Math.floor(s / 86400)}\u202fd ${Math.floor((s % 86400) / 3600)}\u202fh`;
}

// A time of day, from seconds since the epoch.
export const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

// A word of the contract, as in REAL_TIME, for people.
export function word(name) {
  const text = name.toLowerCase().replaceAll("_", " ");
  return text === "real time" ? "real-time" : text;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
