// Which colour a version has, the same in all panels. Versions get colours in the order in which they are seen.

const COLOURS = 4;
const seen = new Map();

// `version` is a name and a number, as in `cnn_lstm:2`.
export function colourOf(version) {
  if (!seen.has(version)) seen.set(version, seen.size % COLOURS);
  return `model-${seen.get(version)}`;
}
